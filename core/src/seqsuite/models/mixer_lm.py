"""A causal language model over a residual stack of mixers: Mamba's (Gu and Dao 2023) by default.

model = seqsuite.create_model("mamba_lm_debug")
logits = model(input_ids)                              # (B, L, V): position t predicts token t + 1
logits, state = model.prefill(prompt)                  # then, token by token in constant memory:
logits_t, state = model.step(token, state)
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from seqsuite.errors import UserError
from seqsuite.mixers.base import State
from seqsuite.mixers.create import block_mixers
from seqsuite.models.base import Model, init_weights, mixer_stack, padding_of, settle_mixer
from seqsuite.models.configs import MixerLMConfig
from seqsuite.ops import Seq


class MixerLM(Model):
    """Embedding, residual stack, and a bias-free projection to the vocabulary.

    Raises:
        UserError: A mixer that is not causal: position t would see the token that it predicts.
    """

    config: MixerLMConfig

    def __init__(self, config: MixerLMConfig) -> None:
        config = settle_mixer(config)
        super().__init__(config)
        self.embedding = nn.Embedding(config.padded_vocab_size, config.d_model)
        self.backbone = mixer_stack(config)
        for name, block in zip(block_mixers(config.mixer, config.n_layer), self.backbone.layers, strict=True):
            if not block.mixer.causal:  # type: ignore[union-attr]
                raise UserError(f"mixer {name!r} is not causal: it would read the answers; choose another")
        self.lm_head = (
            None if config.tie_embeddings else nn.Linear(config.d_model, config.padded_vocab_size, bias=False)
        )
        init_weights(self, embedding_std=config.initializer_range)

    def forward_features(self, input_ids: Tensor, *, seq: Seq | None = None) -> Tensor:
        """Return the normalised features (B, L, D)."""
        if seq is None and self.config.pad_token_id is not None:
            seq = padding_of(input_ids, self.config.pad_token_id)
        return self.backbone(self.embedding(input_ids), seq=seq)

    def forward_head(self, features: Tensor, *, seq: Seq | None = None) -> Tensor:
        """Return the logits (B, L, V) of the next token, V rounded up as in the config."""
        return F.linear(features, self.embedding.weight if self.lm_head is None else self.lm_head.weight)

    def prefill(
        self, input_ids: Tensor, state: Sequence[State] | None = None, *, seq: Seq | None = None
    ) -> tuple[Tensor, tuple[State, ...]]:
        """Return the logits of a chunk (B, L) that follows `state`, and the state behind it."""
        features, after = self.backbone.prefill(self.embedding(input_ids), state, seq=seq)
        return self.forward_head(features), after

    def step(self, token: Tensor, state: Sequence[State]) -> tuple[Tensor, tuple[State, ...]]:
        """Return the logits (B, V) behind one token (B,), and the state."""
        features, after = self.backbone.step(self.embedding(token), state)
        return self.forward_head(features), after

    def init_state(self, batch_size: int, *, max_length: int | None = None) -> tuple[State, ...]:
        """Return the state before the first token."""
        weight = self.embedding.weight
        return self.backbone.init_state(batch_size, device=weight.device, dtype=weight.dtype, max_length=max_length)
