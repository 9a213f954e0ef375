"""A masked language model over a bidirectional residual stack of any mixers of the suite.

    model = seqsuite.create_model("mixer_mlm_debug", mixer="mamba*3, attention", n_layer=4)
    logits = model(input_ids)                    # (B, L, V): what stands at the masked positions

Attention looks both ways by itself; mixers that are causal run in both directions (`Bidirectional`). Masked tokens are
predicted all at once and from both sides: the objective of BERT (Devlin et al. 2018, https://arxiv.org/abs/1810.04805).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqsuite.backbones.mlp_block import MLP, MLPBlock
from seqsuite.backbones.norms import create_norm
from seqsuite.backbones.residual import Block
from seqsuite.mixers.base import Mixer
from seqsuite.mixers.bidirectional import Bidirectional
from seqsuite.mixers.create import is_pattern, parse_pattern
from seqsuite.models.base import Model, init_weights, mixer_stack, padding_of, settle_mixer
from seqsuite.models.configs import MixerMLMConfig
from seqsuite.models.mixer_lm import _embedded
from seqsuite.ops import Seq


class MixerMaskedLM(Model):
    """Embedding, residual stack, and a projection to the vocabulary that is tied to the embedding; has a bias."""

    config: MixerMLMConfig

    def __init__(self, config: MixerMLMConfig) -> None:
        config = settle_mixer(config)
        config = dataclasses.replace(config, mixer_options=two_sided(config.mixer, config.mixer_options))
        super().__init__(config)
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.backbone = mixer_stack(config, wrap=self._directions, block=self._block)
        self.head_bias = nn.Parameter(torch.zeros(config.vocab_size))
        init_weights(self, embedding_std=config.initializer_range)

    def no_weight_decay(self) -> set[str]:
        """Return what the mixers ask for, and the bias of the head."""
        return super().no_weight_decay() | {"head_bias"}

    def forward_features(  # type: ignore[override]
        self, input_ids: Tensor | None = None, *, inputs_embeds: Tensor | None = None, seq: Seq | None = None
    ) -> Tensor:
        """Return the normalised features (B, L, D); arguments as those of `forward`."""
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give either input_ids or inputs_embeds")
        if input_ids is not None:
            inputs_embeds = _embedded(self.embedding, input_ids)
            if seq is None and self.config.pad_token_id is not None:
                seq = padding_of(input_ids, self.config.pad_token_id)
        assert inputs_embeds is not None
        return self.backbone(F.dropout(inputs_embeds, self.config.dropout, self.training), seq=seq)

    def forward_head(self, features: Tensor, *, seq: Seq | None = None) -> Tensor:
        """Return the logits (..., V) of features (..., D)."""
        return F.linear(features, self.embedding.weight, self.head_bias)

    def forward(  # type: ignore[override]
        self, input_ids: Tensor | None = None, *, inputs_embeds: Tensor | None = None, seq: Seq | None = None
    ) -> Tensor:
        """Return the logits (B, L, V).

        Args:
            input_ids: (B, L) token ids.
            inputs_embeds: (B, L, D) in place of the ids.
            seq: Lengths, packing and resets; None: taken from the padding where there are ids and the config names
                the id of padding.

        Raises:
            TypeError: The ids are no integers.
            ValueError: Both or neither of ids and embeddings, shapes that do not fit, or one is no token id.
        """
        return self.forward_head(self.forward_features(input_ids, inputs_embeds=inputs_embeds, seq=seq))

    def _directions(self, mixer: Mixer) -> Mixer:
        return Bidirectional(mixer, self.config.combine, self.config.tie) if mixer.causal else mixer

    def _block(self, mixer: Mixer, norm: nn.Module, *, residual_in_fp32: bool) -> Block:
        config = self.config
        if config.d_inner is None:
            return _DroppedBlock(mixer, norm, dropout=config.dropout, residual_in_fp32=residual_in_fp32)
        mlp = MLP(config.d_model, config.d_inner, activation=config.activation)
        with torch.no_grad():
            mlp.fc2.weight.mul_(1 / math.sqrt(config.n_layer))  # as `mixer_stack` scales the mixers
        second = create_norm(config.norm, config.d_model, config.norm_epsilon)
        return MLPBlock(mixer, norm, second, mlp, dropout=config.dropout, residual_in_fp32=residual_in_fp32)


class _DroppedBlock(Block):
    """A block that drops out its branch."""

    def __init__(self, mixer: Mixer, norm: nn.Module, *, dropout: float, residual_in_fp32: bool) -> None:
        super().__init__(mixer, norm, residual_in_fp32=residual_in_fp32)
        self.dropout = dropout

    def forward(self, hidden: Tensor, residual: Tensor | None, *, seq: Seq | None = None) -> tuple[Tensor, Tensor]:
        """Run one block; see `Block.forward`."""
        hidden, residual = super().forward(hidden, residual, seq=seq)
        return F.dropout(hidden, self.dropout, self.training), residual


def two_sided(mixer: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a mixer or a pattern, with attention looking both ways unless they say otherwise."""
    if not is_pattern(mixer):
        return {"causal": False} | dict(options) if mixer == "attention" else dict(options)
    if "attention" not in dict(parse_pattern(mixer)):
        return dict(options)
    return dict(options) | {"attention": {"causal": False} | dict(options.get("attention", {}))}
