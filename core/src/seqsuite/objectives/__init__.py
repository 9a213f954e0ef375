"""Objectives: corruptions as pure functions of tokens and a generator, losses as sums with counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqsuite.objectives.diffusion import FAST_BETAS, Diffusion, linear_betas
    from seqsuite.objectives.losses import IGNORE, Loss, cross_entropy, next_token_labels
    from seqsuite.objectives.masking import Masked, mask_tokens

__all__ = [
    "FAST_BETAS",
    "IGNORE",
    "Diffusion",
    "Loss",
    "Masked",
    "cross_entropy",
    "linear_betas",
    "mask_tokens",
    "next_token_labels",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "diffusion": ["FAST_BETAS", "Diffusion", "linear_betas"],
        "losses": ["IGNORE", "Loss", "cross_entropy", "next_token_labels"],
        "masking": ["Masked", "mask_tokens"],
    },
)
