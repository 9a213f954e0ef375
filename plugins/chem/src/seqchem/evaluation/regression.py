"""Metrics of predicted numbers in the units of the property, with bootstrap intervals.

    scores = regression_scores(truth, predicted)
    scores.rmse, scores.intervals["rmse"]

Intervals are percentiles over resampled rows. All metrics but Spearman's follow from means of rows, so a resample is a
few numbers; Spearman's is Pearson's of the ranks, which are not ranked again in a resample.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from seqsuite.reports import TableView
from seqsuite.reports.bootstrap import block_means

__all__ = ["REGRESSION_METRICS", "RegressionScores", "paired_rmse", "regression_scores"]

REGRESSION_METRICS = ("rmse", "mae", "r2", "pearson", "spearman")
"""Names of the metrics, in the order in which they are shown."""


@dataclass(frozen=True)
class RegressionScores(TableView):
    """How far predicted numbers are from measured ones.

    Attributes:
        rows: How many were compared.
        rmse: Root of the mean squared error.
        mae: Mean absolute error.
        r2: 1 - squared error over the variance of the truth (of these rows); NaN where the truth is constant.
        pearson: Correlation; NaN where either is constant.
        spearman: Correlation of ranks, ties at their mean rank; NaN where either is constant.
        intervals: Metric -> (low, high).
        level: What share the intervals are to cover.
    """

    rows: int
    rmse: float
    mae: float
    r2: float
    pearson: float
    spearman: float
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict, repr=False)
    level: float = 0.95

    def table(self) -> list[dict[str, Any]]:
        """Return one row a metric."""
        return [
            {"metric": name, "value": getattr(self, name), "interval": interval_text(self.intervals.get(name))}
            for name in REGRESSION_METRICS
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        values: dict[str, Any] = {name: getattr(self, name) for name in REGRESSION_METRICS}
        return {"rows": self.rows, **values, "intervals": {k: list(v) for k, v in self.intervals.items()}}


def interval_text(interval: tuple[float, float] | None) -> str:
    """Return an interval as people read it; empty where there is none."""
    if interval is None or not all(map(np.isfinite, interval)):
        return ""
    return f"{interval[0]:.4g} to {interval[1]:.4g}"


def regression_scores(
    truth: Any, predicted: Any, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> RegressionScores:
    """Compare predicted with measured numbers.

    Args:
        truth: (n,) measured.
        predicted: (n,) predicted, in the same units.
        level: Coverage of the intervals.
        resamples: Of the bootstrap; 0: no intervals.
        seed: Of its draws.

    Raises:
        ValueError: The shapes differ, there are no rows, or a number is not finite.
    """
    y, p = (np.asarray(values, dtype=np.float64) for values in (truth, predicted))
    if y.shape != p.shape or y.ndim != 1 or not len(y):
        raise ValueError(f"truth and predictions must be (n,) with n > 0, got {y.shape} and {p.shape}")
    if not (np.isfinite(y).all() and np.isfinite(p).all()):
        raise ValueError("truth and predictions must be finite")
    moments = _moments(y, p)
    values = {name: float(value) for name, value in _metrics(moments.mean(0)).items()}
    intervals = {}
    if resamples:
        drawn = _metrics(block_means(moments, block=1, resamples=resamples, seed=seed))
        for name in REGRESSION_METRICS:
            if np.isfinite(values[name]):  # a resample of one value repeated has no correlation
                intervals[name] = _percentiles(drawn[name], level)
    return RegressionScores(len(y), **values, intervals=intervals, level=level)


def paired_rmse(
    truth: Any, ours: Any, theirs: Any, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, tuple[float, float]]:
    """Return our RMSE less theirs, on the same rows, and its bootstrap interval; below zero ours is the better.

    Args:
        truth: (n,) measured.
        ours: (n,) predicted by one model.
        theirs: (n,) predicted by another.
        level: Coverage of the interval.
        resamples: Of the bootstrap.
        seed: Of its draws.
    """
    y, *both = (np.asarray(values, dtype=np.float64) for values in (truth, ours, theirs))
    squares = np.stack([(values - y) ** 2 for values in both], axis=1)  # (n, 2)
    first, second = np.sqrt(squares.mean(0))
    drawn = np.sqrt(block_means(squares, block=1, resamples=resamples, seed=seed))
    return float(first - second), _percentiles(drawn[:, 0] - drawn[:, 1], level)


def _percentiles(drawn: np.ndarray, level: float) -> tuple[float, float]:
    low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _moments(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return the columns (n, 12) whose means give every metric."""
    from scipy.stats import rankdata

    error = p - y
    columns = [error**2, np.abs(error)]
    for a, b in ((y, p), (rankdata(y), rankdata(p))):
        # About their means: the squares of large numbers would leave no digits for the variance.
        a, b = a - a.mean(), b - b.mean()
        columns += [a, b, a * a, b * b, a * b]
    return np.stack(columns, axis=1)


def _metrics(means: np.ndarray) -> dict[str, np.ndarray]:
    """Return the metrics of means (..., 12)."""
    squared, absolute, *rest = np.moveaxis(means, -1, 0)
    variance, pearson = _correlation(*rest[:5])
    _, spearman = _correlation(*rest[5:])
    with np.errstate(divide="ignore", invalid="ignore"):
        r2 = np.where(variance > 0, 1 - squared / variance, np.nan)
    return {"rmse": np.sqrt(squared), "mae": absolute, "r2": r2, "pearson": pearson, "spearman": spearman}


def _correlation(
    a: np.ndarray, b: np.ndarray, aa: np.ndarray, bb: np.ndarray, ab: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the variance of a, and the correlation of a and b, from means."""
    # What rounding leaves of the variance of a constant is no variance.
    first, second = (np.where(s - m * m > 1e-13 * s, s - m * m, 0.0) for s, m in ((aa, a), (bb, b)))
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (ab - a * b) / np.sqrt(first * second)
        return first, np.where(first * second > 0, np.clip(found, -1, 1), np.nan)
