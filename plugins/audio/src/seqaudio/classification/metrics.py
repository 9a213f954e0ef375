"""Accuracy, macro F1 and the confusion matrix of predicted classes."""

from __future__ import annotations

import numpy as np


def confusion(truth: np.ndarray, found: np.ndarray, classes: int) -> np.ndarray:
    """Return how often class i (row) was called class j (column): (classes, classes) int64.

    Args:
        truth: (n,) true classes.
        found: (n,) predicted ones.
        classes: Number of classes.
    """
    return np.bincount(truth * classes + found, minlength=classes**2).reshape(classes, classes)


def measure(matrix: np.ndarray) -> dict[str, float]:
    """Return accuracy and macro F1 of a confusion matrix.

    The F1 is the mean over the classes that occur, in truth or as predictions.
    """
    right, called, there = np.diag(matrix), matrix.sum(0), matrix.sum(1)
    occurs = called + there > 0
    f1 = 2 * right[occurs] / (called + there)[occurs]
    return {"accuracy": float(right.sum() / matrix.sum()), "macro_f1": float(f1.mean())}
