"""Training: Lightning's Trainer, made exact.

    from seqsuite.training import Task, TrainConfig, fit
    result = fit(task, train_data, valid_data, TrainConfig(steps=1000, out="runs/first"))

A run that is killed at any step and resumed ends with the bits of one that never was: the order of
samples is a function of the step, and a checkpoint carries every random generator. The names below
load torch on first use; importing the package does not.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from seqsuite.training.configs import Interrupted, TrainConfig

if TYPE_CHECKING:
    from seqsuite.training.generators import seed_everything
    from seqsuite.training.run_folder import RunFolder
    from seqsuite.training.task import Scores, Task
    from seqsuite.training.trainer import FitResult, fit

__all__ = ["FitResult", "Interrupted", "RunFolder", "Scores", "Task", "TrainConfig", "fit", "seed_everything"]

_HOME = {
    "FitResult": "trainer",
    "fit": "trainer",
    "RunFolder": "run_folder",
    "Scores": "task",
    "Task": "task",
    "seed_everything": "generators",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'seqsuite.training' has no attribute {name!r}")
    return getattr(importlib.import_module(f"seqsuite.training.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
