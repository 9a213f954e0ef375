"""Policies: Decision Transformer, behaviour cloning, RATE; and the Trajectory Transformer beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqrl.models.behavior_cloning import BehaviorCloning
    from seqrl.models.decision_transformer import DecisionTransformer
    from seqrl.models.heads import PolicyOutputs
    from seqrl.models.rate import RATE, Memory
    from seqrl.models.trajectory_transformer import TrajectoryTransformer

__all__ = ["RATE", "BehaviorCloning", "DecisionTransformer", "Memory", "PolicyOutputs", "TrajectoryTransformer"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "behavior_cloning": ["BehaviorCloning"],
        "decision_transformer": ["DecisionTransformer"],
        "heads": ["PolicyOutputs"],
        "rate": ["RATE", "Memory"],
        "trajectory_transformer": ["TrajectoryTransformer"],
    },
)
