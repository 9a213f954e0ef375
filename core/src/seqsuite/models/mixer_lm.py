"""A causal language model over a residual stack of mixers: Mamba's (Gu and Dao 2023) by default.

model = seqsuite.create_model("mamba_lm_debug")
logits = model(input_ids)                              # (B, L, V): position t predicts token t + 1
logits, state = model.prefill(prompt)                  # then, token by token in constant memory:
logits_t, state = model.step(token, state)
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
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
        return self.backbone(_embedded(self.embedding, input_ids), seq=seq)

    def forward_head(self, features: Tensor, *, seq: Seq | None = None) -> Tensor:
        """Return the logits (B, L, V) of the next token, V rounded up as in the config."""
        return F.linear(features, self.embedding.weight if self.lm_head is None else self.lm_head.weight)

    def prefill(
        self, input_ids: Tensor, state: Sequence[State] | None = None, *, seq: Seq | None = None
    ) -> tuple[Tensor, tuple[State, ...]]:
        """Continue with a chunk of tokens.

        Args:
            input_ids: (B, L) token ids.
            state: One of each block; None: the start. It is not changed.
            seq: Lengths, packing and resets of the chunk.

        Returns:
            Logits (B, L, V), and the state behind the chunk.

        Raises:
            NotImplementedError: A mixer has no recurrent form.
            TypeError: The ids are no integers.
            ValueError: Shapes do not fit, or one is no token id.
        """
        features, after = self.backbone.prefill(_embedded(self.embedding, input_ids), state, seq=seq)
        return self.forward_head(features), after

    def step(self, token: Tensor, state: Sequence[State]) -> tuple[Tensor, tuple[State, ...]]:
        """Continue with one token.

        Args:
            token: (B,) token ids.
            state: One of each block; it is not changed.

        Returns:
            Logits (B, V) of the token that follows, and the state behind.

        Raises:
            NotImplementedError: A mixer has no recurrent form.
            TypeError: The ids are no integers.
            ValueError: Shapes do not fit, or one is no token id.
        """
        features, after = self.backbone.step(_embedded(self.embedding, token, "token", "B"), state)
        return self.forward_head(features), after

    def init_state(self, batch_size: int, *, max_length: int | None = None) -> tuple[State, ...]:
        """Return the state before the first token.

        Args:
            batch_size: B.
            max_length: Longest sequence to come, in tokens; only mixers whose state grows need it.

        Returns:
            One state a block, on the model's device.

        Raises:
            NotImplementedError: A mixer has no recurrent form.
        """
        weight = self.embedding.weight
        return self.backbone.init_state(batch_size, device=weight.device, dtype=weight.dtype, max_length=max_length)


def _embedded(embedding: nn.Embedding, ids: Tensor, name: str = "input_ids", *axes: str) -> Tensor:
    """Return the embeddings of token ids, (B, L) unless other axes are named.

    Raises:
        TypeError: They are no integers.
        ValueError: They have other axes, or one is no id (on a GPU that is an assertion of the device).
    """
    axes = axes or ("B", "L")
    if ids.is_floating_point() or ids.dtype == torch.bool:
        raise TypeError(f"{name} must be integers, not {ids.dtype}")
    if ids.ndim != len(axes):
        raise ValueError(f"{name} must be ({', '.join(axes)}{',' if len(axes) == 1 else ''}), got {tuple(ids.shape)}")
    try:
        return embedding(ids)
    except IndexError:
        last = embedding.num_embeddings - 1
        found = f"{int(ids.min())} to {int(ids.max())}"
        raise ValueError(f"{name} must be token ids from 0 to {last}, got {found}") from None
