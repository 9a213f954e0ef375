"""A class for every pixel: `segment_train` trains and measures a model, `segment` uses it on images.

    from seqvision.segmentation import segment, segment_train
    trained = segment_train(SegmentTrainConfig("composed_digits"))
    found = segment(SegmentConfig("runs/segment", "pictures/"))

The names load torch on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqvision.segmentation.losses import enet_weights, soft_dice
    from seqvision.segmentation.predict import segment
    from seqvision.segmentation.results import Segmented, TrainedSegmentation
    from seqvision.segmentation.scores import PixelScores, confusion, pixel_scores
    from seqvision.segmentation.train import segment_train

__all__ = [
    "PixelScores",
    "Segmented",
    "TrainedSegmentation",
    "confusion",
    "enet_weights",
    "pixel_scores",
    "segment",
    "segment_train",
    "soft_dice",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "losses": ["enet_weights", "soft_dice"],
        "predict": ["segment"],
        "results": ["Segmented", "TrainedSegmentation"],
        "scores": ["PixelScores", "confusion", "pixel_scores"],
        "train": ["segment_train"],
    },
)
