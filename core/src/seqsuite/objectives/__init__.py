"""Objectives: corruptions as pure functions of tokens and a generator, losses as sums with counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqsuite.objectives.losses import IGNORE, Loss, cross_entropy, next_token_labels
    from seqsuite.objectives.masking import Masked, mask_tokens

__all__ = ["IGNORE", "Loss", "Masked", "cross_entropy", "mask_tokens", "next_token_labels"]

__getattr__, __dir__ = lazy_names(
    __name__, {"losses": ["IGNORE", "Loss", "cross_entropy", "next_token_labels"], "masking": ["Masked", "mask_tokens"]}
)
