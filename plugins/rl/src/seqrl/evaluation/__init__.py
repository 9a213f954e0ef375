"""Playing with a trained policy, and what came of it.

result = evaluate(seqrl.load("runs/hopper"), targets="3600,1800", episodes=10)
result.table(), result.figure()
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqrl.evaluation.results import Evaluation, TargetResult
    from seqrl.evaluation.rollouts import Rollouts, episode_seeds, play
    from seqrl.evaluation.run import evaluate
    from seqrl.evaluation.statistics import bootstrap_interval, interquartile_mean
    from seqrl.evaluation.video import record

__all__ = [
    "Evaluation",
    "Rollouts",
    "TargetResult",
    "bootstrap_interval",
    "episode_seeds",
    "evaluate",
    "interquartile_mean",
    "play",
    "record",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "results": ["Evaluation", "TargetResult"],
        "rollouts": ["Rollouts", "episode_seeds", "play"],
        "run": ["evaluate"],
        "statistics": ["bootstrap_interval", "interquartile_mean"],
        "video": ["record"],
    },
)
