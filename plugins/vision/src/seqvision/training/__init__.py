"""Training of classifiers of images and clips. Names load on first use; no torch until then.

from seqvision.training import train
result = train(VisionTrainConfig("digits", hflip=0.0, out="runs/digits"))
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqvision.training.run import TrainResult, train

__all__ = ["TrainResult", "train"]

__getattr__, __dir__ = lazy_names(__name__, {"run": ["TrainResult", "train"]})
