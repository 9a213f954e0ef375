"""Scores of segmentations from a confusion matrix over pixels.

IoU_k = pixels that are k and called k / pixels that are k or called k
mIoU = mean of IoU_k over the classes that occur, in truth or as predictions
pixel accuracy = share of the counted pixels that are called right
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


def confusion(truth: np.ndarray, found: np.ndarray, classes: int, ignore: int) -> np.ndarray:
    """Return how often class i (row) was called class j (column), (classes, classes) int64.

    Args:
        truth: True classes, of any shape.
        found: Called ones, of the same.
        classes: Their number.
        ignore: The true label that does not count.
    """
    counted = truth != ignore
    pairs = truth[counted].astype(np.int64) * classes + found[counted]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


@dataclass(frozen=True)
class PixelScores:
    """What a confusion matrix says.

    Attributes:
        miou: Mean of the IoUs that are numbers.
        accuracy: Of pixels.
        iou: One a class; NaN where it neither occurs nor is called.
        pixels: True pixels of each class.
    """

    miou: float
    accuracy: float
    iou: tuple[float, ...]
    pixels: tuple[int, ...]

    def to_dict(self, classes: tuple[str, ...]) -> dict[str, Any]:
        """Return plain values by class."""
        known = dict(zip(classes, self.iou, strict=True))
        return {"miou": self.miou, "pixel_accuracy": self.accuracy, "iou": known}


def pixel_scores(matrix: np.ndarray) -> PixelScores:
    """Return the scores of a confusion matrix (K, K); NaN where nothing was counted."""
    right, there, called = np.diag(matrix), matrix.sum(1), matrix.sum(0)
    either = there + called - right
    with np.errstate(invalid="ignore"):
        iou = np.where(either > 0, right / np.maximum(either, 1), np.nan)
    total = matrix.sum()
    mean = float(np.nanmean(iou)) if total else float("nan")
    accuracy = float(right.sum() / total) if total else float("nan")
    return PixelScores(mean, accuracy, tuple(map(float, iou)), tuple(map(int, there)))
