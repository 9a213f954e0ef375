"""Planning with a trajectory model: beam search over the tokens of what comes next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqrl.planning.attention_engine import AttentionEngine
    from seqrl.planning.beam import Plan, beam_plan
    from seqrl.planning.context import PlanContext
    from seqrl.planning.draws import Draws, RandomDraws, Replay, filter_cdf, filter_top_k
    from seqrl.planning.engines import Engine, PlainEngine, StateEngine, make_engine
    from seqrl.planning.likelihood import beam_search
    from seqrl.planning.options import PlanOptions
    from seqrl.planning.values import estimate

__all__ = [
    "AttentionEngine",
    "Draws",
    "Engine",
    "PlainEngine",
    "Plan",
    "PlanContext",
    "PlanOptions",
    "RandomDraws",
    "Replay",
    "StateEngine",
    "beam_plan",
    "beam_search",
    "estimate",
    "filter_cdf",
    "filter_top_k",
    "make_engine",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "attention_engine": ["AttentionEngine"],
        "beam": ["Plan", "beam_plan"],
        "context": ["PlanContext"],
        "draws": ["Draws", "RandomDraws", "Replay", "filter_cdf", "filter_top_k"],
        "engines": ["Engine", "PlainEngine", "StateEngine", "make_engine"],
        "likelihood": ["beam_search"],
        "options": ["PlanOptions"],
        "values": ["estimate"],
    },
)
