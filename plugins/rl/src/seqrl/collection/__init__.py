"""Collecting logged episodes from an environment with policies of graded quality.

from seqrl.collection import collect
from seqrl.configs.collect import CollectConfig
result = collect(CollectConfig("CartPole-v1", policy="scripted", epsilon=(0.0, 0.3, 1.0), episodes=300))
result                       # a table in a notebook
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqrl.collection.results import CollectionResult
    from seqrl.collection.run import collect

__all__ = ["CollectionResult", "collect"]

__getattr__, __dir__ = lazy_names(__name__, {"results": ["CollectionResult"], "run": ["collect"]})
