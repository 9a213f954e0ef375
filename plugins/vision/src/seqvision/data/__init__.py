"""Inputs of every task: images, clips, grids, series. Names load on first use; no torch until then.

from seqvision.data import open_labelled
data = open_labelled(VisionTrainConfig("digits", hflip=0.0))
data.train.training(0, seed=1)               # (C, H, W) float32
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqvision.data.images import open_images
    from seqvision.data.labelled import Items, Labelled, ScoringItems, TrainingItems
    from seqvision.data.opening import open_labelled
    from seqvision.data.video import open_clips

__all__ = ["Items", "Labelled", "ScoringItems", "TrainingItems", "open_clips", "open_images", "open_labelled"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "images": ["open_images"],
        "labelled": ["Items", "Labelled", "ScoringItems", "TrainingItems"],
        "opening": ["open_labelled"],
        "video": ["open_clips"],
    },
)
