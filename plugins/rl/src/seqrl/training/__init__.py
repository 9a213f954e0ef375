"""Training policies on logged episodes.

from seqrl.configs.train import PolicyTrainConfig
from seqrl.training import train
result = train(PolicyTrainConfig("hopper_medium-v2.hdf5", out="runs/hopper"))
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqrl.training.playing import Played
    from seqrl.training.results import TrainResult
    from seqrl.training.run import train

__all__ = ["Played", "TrainResult", "train"]

__getattr__, __dir__ = lazy_names(__name__, {"playing": ["Played"], "results": ["TrainResult"], "run": ["train"]})
