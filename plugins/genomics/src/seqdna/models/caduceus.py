"""Caduceus (Schiff et al. 2024): a two-way Mamba over DNA; PS is RC-equivariant, Ph is not.

    model = seqsuite.create_model("caduceus_ps", d_model=256, n_layer=16)
    logits = model(input_ids)                       # (B, L, V) masked-language-model logits
    features = model.forward_features(input_ids)    # (B, L, 2D), second half the other strand, flipped
    vectors = model.pool(features)                  # (B, D), the same for a sequence and its reverse complement

PS runs both strands as one batch of 2B rows (`seqdna.models.strands`). For it, exactly:
``model(rc(x)) == model(x).flip(1)[..., complement]``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from seqdna.configs.models import CaduceusConfig
from seqdna.models.base import DNAModel, causal_only
from seqdna.models.strands import StrandBlock
from seqsuite.backbones.bidirectional import Bidirectional
from seqsuite.backbones.residual import ResidualStack
from seqsuite.mixers.base import Mixer, State
from seqsuite.models.base import init_weights, mixer_stack, settle_mixer
from seqsuite.ops import Seq


class Caduceus(DNAModel):
    """The published architecture, with its heads; see `CaduceusConfig`."""

    config: CaduceusConfig
    backbone: ResidualStack

    def __init__(self, config: CaduceusConfig) -> None:
        config = settle_mixer(config)
        super().__init__(config)
        self.embedding = nn.Embedding(config.padded_vocab_size, config.d_model)
        block = partial(StrandBlock, swap_halves=config.swap_halves)
        self.backbone = mixer_stack(config, wrap=self._directions, block=block)
        init_weights(self, embedding_std=config.initializer_range)
        self.make_head()

    def _directions(self, mixer: Mixer) -> Mixer:
        config = self.config
        if not config.bidirectional:
            return mixer
        return Bidirectional(
            mixer,
            combine="multiply" if config.bidirectional_strategy == "ew_multiply" else "add",
            tie="projections" if config.bidirectional_weight_tie else "none",
        )

    def prefill(
        self, input_ids: Tensor, state: Sequence[State] | None = None, *, seq: Seq | None = None
    ) -> tuple[Tensor, tuple[State, ...]]:
        """Return the logits of a chunk (B, L) that follows `state`, and the state behind it; causal models only."""
        causal_only(self)
        features, after = self.backbone.prefill(self.embedding(input_ids), state, seq=seq)
        return F.linear(features, self.embedding.weight), after

    def step(self, token: Tensor, state: Sequence[State]) -> tuple[Tensor, tuple[State, ...]]:
        """Return the logits (B, V) behind one token (B,), and the state; causal models only."""
        causal_only(self)
        features, after = self.backbone.step(self.embedding(token), state)
        return F.linear(features, self.embedding.weight), after

    def init_state(self, batch_size: int, *, max_length: int | None = None) -> tuple[State, ...]:
        """Return the state before the first token; causal models only."""
        causal_only(self)
        weight = self.embedding.weight
        return self.backbone.init_state(batch_size, device=weight.device, dtype=weight.dtype, max_length=max_length)
