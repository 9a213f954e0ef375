"""Metrics of predicted probabilities of 0/1 columns, with bootstrap intervals.

    scores = classification_scores(labels, probability)
    scores.roc_auc, scores.intervals["roc_auc"]

The definitions are scikit-learn's: `pr_auc` is average precision; `accuracy`, `balanced_accuracy`, `f1` and `mcc` take
a probability of one half or more as 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from seqchem.evaluation.regression import interval_text
from seqsuite.reports import TableView

__all__ = ["CLASSIFICATION_METRICS", "ClassificationScores", "classification_scores", "is_binary"]

CLASSIFICATION_METRICS = ("roc_auc", "pr_auc", "accuracy", "balanced_accuracy", "f1", "mcc", "brier")
"""Names of the metrics, in the order in which they are shown."""


@dataclass(frozen=True)
class ClassificationScores(TableView):
    """How well probabilities tell ones from zeros.

    Attributes:
        rows: How many were compared.
        positives: How many of them are 1.
        roc_auc: Chance that a one is ranked above a zero; NaN where there is only one class, as the next.
        pr_auc: Average precision; the share of ones is what a coin gets.
        accuracy: Share of rows told right.
        balanced_accuracy: Mean of the shares among ones and among zeros; NaN where there is only one class.
        f1: Of the ones.
        mcc: Matthews' correlation; NaN where there is only one class.
        brier: Mean squared error of the probability.
        intervals: Metric -> (low, high), of the areas and the accuracy.
        level: What share the intervals are to cover.
    """

    rows: int
    positives: int
    roc_auc: float
    pr_auc: float
    accuracy: float
    balanced_accuracy: float
    f1: float
    mcc: float
    brier: float
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict, repr=False)
    level: float = 0.95

    def table(self) -> list[dict[str, Any]]:
        """Return one row a metric."""
        return [
            {"metric": name, "value": getattr(self, name), "interval": interval_text(self.intervals.get(name))}
            for name in CLASSIFICATION_METRICS
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        values: dict[str, Any] = {name: getattr(self, name) for name in CLASSIFICATION_METRICS}
        intervals = {name: list(bounds) for name, bounds in self.intervals.items()}
        return {"rows": self.rows, "positives": self.positives, **values, "intervals": intervals}


def is_binary(values: Any) -> bool:
    """Return whether numbers, missing ones aside, are zeros and ones, both of them there."""
    found = np.asarray(values, dtype=np.float64)
    return set(np.unique(found[~np.isnan(found)]).tolist()) == {0.0, 1.0}


def classification_scores(
    labels: Any, probability: Any, *, level: float = 0.95, resamples: int = 500, seed: int = 0
) -> ClassificationScores:
    """Compare probabilities of 1 with labels.

    Args:
        labels: (n,) zeros and ones.
        probability: (n,) between 0 and 1.
        level: Coverage of the intervals.
        resamples: Of the bootstrap over rows; 0: no intervals.
        seed: Of its draws.

    Raises:
        ValueError: The shapes differ, there are no rows, a label is neither 0 nor 1, or a probability is not finite.
    """
    y, p = (np.asarray(values, dtype=np.float64) for values in (labels, probability))
    if y.shape != p.shape or y.ndim != 1 or not len(y):
        raise ValueError(f"labels and probabilities must be (n,) with n > 0, got {y.shape} and {p.shape}")
    if not set(np.unique(y).tolist()) <= {0.0, 1.0} or not np.isfinite(p).all():
        raise ValueError("labels must be 0 or 1, and probabilities finite")
    truth = y.astype(int)
    values = _values(truth, p)
    generator = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {"roc_auc": [], "pr_auc": [], "accuracy": []}
    for _ in range(resamples):
        rows = generator.integers(len(y), size=len(y))
        for name, value in _areas(truth[rows], p[rows]).items():
            drawn[name].append(value)
    bounds = [(1 - level) / 2, (1 + level) / 2]
    intervals = {}
    for name, found in drawn.items():
        if found and np.isfinite(values[name]):
            low, high = np.nanquantile(found, bounds)
            intervals[name] = (float(low), float(high))
    return ClassificationScores(len(y), int(truth.sum()), **values, intervals=intervals, level=level)


def _areas(truth: np.ndarray, probability: np.ndarray) -> dict[str, float]:
    """Return the metrics that are resampled; a library call for each of them would take seconds."""
    both = 0 < truth.sum() < len(truth)
    return {
        "roc_auc": _roc_auc(truth, probability) if both else float("nan"),
        "pr_auc": _average_precision(truth, probability) if both else float("nan"),
        "accuracy": float(np.mean((probability >= 0.5) == truth)),
    }


def _roc_auc(truth: np.ndarray, score: np.ndarray) -> float:
    """Return the share of pairs of a one and a zero in their order, ties counting one half (Mann and Whitney)."""
    from scipy.stats import rankdata

    ones = int(truth.sum())
    above = rankdata(score)[truth == 1].sum() - ones * (ones + 1) / 2
    return float(above / (ones * (len(truth) - ones)))


def _average_precision(truth: np.ndarray, score: np.ndarray) -> float:
    """Return the mean precision over the ones, rows of equal score taken at once."""
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    found = np.cumsum(truth[order])[ends]
    gained = np.diff(found, prepend=0)
    return float((gained * found / (ends + 1)).sum() / truth.sum())


def _values(truth: np.ndarray, probability: np.ndarray) -> dict[str, float]:
    from sklearn import metrics

    said = (probability >= 0.5).astype(int)
    both = 0 < truth.sum() < len(truth)
    missing = float("nan")
    return _areas(truth, probability) | {
        "balanced_accuracy": float(metrics.balanced_accuracy_score(truth, said)) if both else missing,
        "f1": float(metrics.f1_score(truth, said, zero_division=0)),
        "mcc": float(metrics.matthews_corrcoef(truth, said)) if both else missing,
        "brier": float(np.mean((probability - truth) ** 2)),
    }
