"""Data: the order of samples as a pure function, loaders that start anywhere, random numbers per item.

    from seqsuite.data import ShuffledOrder, item_rng
    epoch, index = ShuffledOrder(n=1000, seed=0).locate(position=123_456)

The names load torch on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqsuite.data.loaders import PositionBatches, ScoringBatches, make_loader
    from seqsuite.data.order import ShuffledOrder, item_rng, item_seed
    from seqsuite.data.spill import Spill

__all__ = ["PositionBatches", "ScoringBatches", "ShuffledOrder", "Spill", "item_rng", "item_seed", "make_loader"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "loaders": ["PositionBatches", "ScoringBatches", "make_loader"],
        "order": ["ShuffledOrder", "item_rng", "item_seed"],
        "spill": ["Spill"],
    },
)
