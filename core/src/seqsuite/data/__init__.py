"""Data: the order of samples as a pure function, loaders that start anywhere, random numbers per item.

from seqsuite.data import ShuffledOrder, item_rng
epoch, index = ShuffledOrder(n=1000, seed=0).locate(position=123_456)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seqsuite.data.loaders import PositionBatches, ScoringBatches, make_loader
    from seqsuite.data.order import ShuffledOrder, item_rng, item_seed

__all__ = ["PositionBatches", "ScoringBatches", "ShuffledOrder", "item_rng", "item_seed", "make_loader"]

_HOME = {
    "PositionBatches": "loaders",
    "ScoringBatches": "loaders",
    "ShuffledOrder": "order",
    "item_rng": "order",
    "item_seed": "order",
    "make_loader": "loaders",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'seqsuite.data' has no attribute {name!r}")
    return getattr(importlib.import_module(f"seqsuite.data.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
