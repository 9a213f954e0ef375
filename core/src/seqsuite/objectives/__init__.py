"""Objectives: corruptions as pure functions of tokens and a generator, losses as sums with counts."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seqsuite.objectives.losses import IGNORE, Loss, cross_entropy, next_token_labels
    from seqsuite.objectives.masking import Masked, mask_tokens

_HOME = {
    "IGNORE": "seqsuite.objectives.losses",
    "Loss": "seqsuite.objectives.losses",
    "Masked": "seqsuite.objectives.masking",
    "cross_entropy": "seqsuite.objectives.losses",
    "mask_tokens": "seqsuite.objectives.masking",
    "next_token_labels": "seqsuite.objectives.losses",
}
__all__ = ["IGNORE", "Loss", "Masked", "cross_entropy", "mask_tokens", "next_token_labels"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'seqsuite.objectives' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
