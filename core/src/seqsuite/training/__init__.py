"""Training: Lightning's Trainer, made exact.

    from seqsuite.training import Task, TrainConfig, fit
    result = fit(task, train_data, valid_data, TrainConfig(steps=1000, out="runs/first"))

A run that is killed at any step and resumed ends with the bits of one that never was: the order of
samples is a function of the step, and a checkpoint carries every random generator. The names below
load torch on first use; importing the package does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names
from seqsuite.training.configs import Interrupted, TrainConfig

if TYPE_CHECKING:
    from seqsuite.training.generators import seed_everything
    from seqsuite.training.progress import say
    from seqsuite.training.run_folder import RunFolder
    from seqsuite.training.task import Scores, Task
    from seqsuite.training.trainer import FitResult, fit

__all__ = ["FitResult", "Interrupted", "RunFolder", "Scores", "Task", "TrainConfig", "fit", "say", "seed_everything"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "trainer": ["FitResult", "fit"],
        "run_folder": ["RunFolder"],
        "task": ["Scores", "Task"],
        "generators": ["seed_everything"],
        "progress": ["say"],
    },
)
