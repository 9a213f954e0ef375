"""HyenaDNA (Nguyen et al. 2023, https://arxiv.org/abs/2306.15794): a causal Hyena language model of one strand.

    model = seqsuite.create_model("hyenadna_tiny_1k")
    logits = model(input_ids)                       # (B, L, V): position t predicts token t + 1
    features = model.forward_features(input_ids)    # (B, L, D)

Inputs may be as long as the mixer's `l_max` (the length in the size's name and two special tokens).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqdna.configs.hyenadna import HyenaDNAConfig
from seqdna.models.base import DNAModel
from seqsuite.backbones.mlp_block import MLP, MLPBlock
from seqsuite.backbones.norms import create_norm
from seqsuite.backbones.residual import ResidualStack
from seqsuite.mixers.create import build_mixer
from seqsuite.models.base import init_weights, settle_mixer
from seqsuite.ops import Seq


class HyenaDNA(DNAModel):
    """The published architecture, with its heads; see `HyenaDNAConfig`."""

    config: HyenaDNAConfig
    backbone: ResidualStack

    def __init__(self, config: HyenaDNAConfig) -> None:
        config = settle_mixer(config)
        super().__init__(config)
        width = config.d_model
        self.embedding = nn.Embedding(config.padded_vocab_size, width)
        blocks = [
            MLPBlock(
                build_mixer(config.mixer, width, config.mixer_options),
                create_norm("layer", width, config.norm_epsilon),
                create_norm("layer", width, config.norm_epsilon),
                MLP(width, config.mlp_width),
                dropout=config.resid_dropout,
                residual_in_fp32=config.residual_in_fp32,
            )
            for _ in range(config.n_layer)
        ]
        self.backbone = ResidualStack(blocks, create_norm("layer", width, config.norm_epsilon))
        untied = config.head == "causal_lm" and not config.tie_embeddings
        self.lm_head = nn.Linear(width, config.padded_vocab_size, bias=False) if untied else None
        self._draw(blocks)
        self.make_head(bias=config.score_bias)

    @torch.no_grad()
    def _draw(self, blocks: list[MLPBlock]) -> None:
        """Give every linear layer its initial distribution, the filters' too; the ends of the branches are smaller."""
        init_weights(self, embedding_std=self.config.initializer_range)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=self.config.initializer_range)
        factor = 1 / math.sqrt(2 * self.config.n_layer)
        for block in blocks:
            block.mixer.scale_output(factor)
            block.mlp.fc2.weight.mul_(factor)  # type: ignore[operator, union-attr]

    def encode(self, rows: Tensor, seq: Seq | None) -> Tensor:
        """Return the features (R, L, D) of rows of ids (R, L)."""
        words = F.dropout(self.embedding(rows), self.config.embed_dropout, self.training)
        return self.backbone(words, seq=seq)

    def logits_of(self, rows: Tensor, *, strands: int) -> Tensor:
        """Return vocabulary logits (B, L, V) of the features of one strand's rows (B, L, D)."""
        if self.lm_head is None:
            return super().logits_of(rows, strands=strands)
        logits = self.lm_head(rows)
        return logits if logits.dtype == torch.float64 else logits.float()
