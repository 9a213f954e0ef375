"""Scores of forecasts on a sphere, after WeatherBench 2 (Rasp et al. 2024, https://arxiv.org/abs/2308.15560).

With forecast f, truth o, climatology c, latitude i, longitude j, step t, and w the area of a cell over the mean area:

    w_i  = (sin upper_i - sin lower_i) / mean_i(...)          upper and lower: halfway to the neighbouring latitudes
    RMSE = sqrt( mean_t mean_ij w_i (f - o)^2 )
    ACC  = mean_t [ sum_ij w_i (f - c)(o - c) / sqrt( sum_ij w_i (f - c)^2  sum_ij w_i (o - c)^2 ) ]

WeatherBench 1 (Rasp et al. 2020, https://arxiv.org/abs/2002.00469) takes w_i = cos(latitude) over its mean and the
root before the mean over steps, which is never larger. Cells that are NaN in any of the maps are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from seqsuite.reports.bootstrap import block_means

_RESAMPLES = 4000


def area_weights(latitude: np.ndarray) -> np.ndarray:
    """Return the weights (H,) of rows of cells, of mean one; over a whole globe they are in proportion to its area.

    Args:
        latitude: (H,) degrees, rising or falling. The outermost cells end half a step further, at most at a pole.
    """
    radians = np.deg2rad(np.asarray(latitude, np.float64))
    middle = (radians[1:] + radians[:-1]) / 2
    ends = radians[0] - (middle[0] - radians[0]), radians[-1] + (radians[-1] - middle[-1])
    edges = np.clip(np.concatenate(((ends[0],), middle, (ends[1],))), -np.pi / 2, np.pi / 2)
    areas = np.abs(np.diff(np.sin(edges)))
    weights: np.ndarray = areas / areas.mean()
    return weights


def mean_square(forecast: np.ndarray, truth: np.ndarray, latitude: np.ndarray) -> np.ndarray:
    """Return the area-weighted mean squared error (T, C) of (T, C, H, W); NaN where a map has no cell."""
    error = (np.asarray(forecast, np.float64) - truth) ** 2
    return _weighted_mean(error, latitude)


def _weighted_mean(values: np.ndarray, latitude: np.ndarray) -> np.ndarray:
    known = np.isfinite(values)
    weights = np.where(known, area_weights(latitude)[:, None], 0.0)
    total = np.where(known, values * weights, 0.0).sum((-2, -1))
    with np.errstate(invalid="ignore"):
        mean: np.ndarray = total / weights.sum((-2, -1))
    return mean


def rmse(forecast: np.ndarray, truth: np.ndarray, latitude: np.ndarray) -> np.ndarray:
    """Return the RMSE (C,) of forecasts (T, C, H, W), as the module has it."""
    found: np.ndarray = np.sqrt(np.nanmean(mean_square(forecast, truth, latitude), 0))
    return found


def acc(forecast: np.ndarray, truth: np.ndarray, climatology: np.ndarray, latitude: np.ndarray) -> np.ndarray:
    """Return the anomaly correlation (C,) of (T, C, H, W); NaN for the climatology itself, which has no anomaly.

    Args:
        forecast: (T, C, H, W).
        truth: The same.
        climatology: The same, at the times of the truth.
        latitude: (H,) degrees.
    """
    first, second = np.asarray(forecast, np.float64) - climatology, np.asarray(truth, np.float64) - climatology
    hidden = np.where(np.isfinite(first * second), 0.0, np.nan)
    together = _weighted_mean(first * second, latitude)
    power = _weighted_mean(first**2 + hidden, latitude) * _weighted_mean(second**2 + hidden, latitude)
    with np.errstate(invalid="ignore", divide="ignore"):
        each = np.where(power > 0, together / np.sqrt(power), np.nan)
    found = np.full(each.shape[1], np.nan)
    some = np.isfinite(each).any(0)
    found[some] = np.nanmean(each[:, some], 0)
    return found


@dataclass(frozen=True)
class Interval:
    """A difference of RMSEs with its bootstrap interval.

    Attributes:
        difference: First less second; below zero the first is better.
        low: End of the interval.
        high: The other.
        steps: Steps that were drawn from.
        block: Consecutive steps that were drawn together.
    """

    difference: float
    low: float
    high: float
    steps: int
    block: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def skill_interval(
    first: np.ndarray, second: np.ndarray, *, block: int = 1, level: float = 0.95, seed: int = 0
) -> Interval:
    """Return the difference of two RMSEs over the same steps, with a paired bootstrap over blocks of steps.

    Args:
        first: (T,) mean squared errors of one forecast; NaN where a step has none.
        second: (T,) of the other.
        block: Steps of a block, see `seqsuite.reports.bootstrap`; errors of neighbouring steps are not independent.
        level: Of the interval.
        seed: Of the draws.
    """
    known = np.isfinite(first) & np.isfinite(second)  # a step may have no cell that is scored
    squares = np.stack((first[known], second[known]), 1)
    count = len(squares)
    if not count:
        return Interval(np.nan, np.nan, np.nan, 0, block)
    block = min(block, count)
    drawn = np.sqrt(np.maximum(block_means(squares, block=block, resamples=_RESAMPLES, seed=seed), 0)) @ (1, -1)
    low, high = np.quantile(drawn, ((1 - level) / 2, (1 + level) / 2))
    return Interval(float(np.sqrt(squares.mean(0)) @ (1, -1)), float(low), float(high), count, block)


@dataclass(frozen=True)
class ForecastScores:
    """The scores of one forecast.

    Attributes:
        name: Of the forecast.
        variables: What was forecast.
        rmse: One a variable, in its units.
        acc: One a variable; NaN for the climatology.
        squares: (T, C) area-weighted squared errors of each step.
    """

    name: str
    variables: tuple[str, ...]
    rmse: tuple[float, ...]
    acc: tuple[float, ...]
    squares: np.ndarray

    def row(self) -> dict[str, Any]:
        """Return a row of a table."""
        row: dict[str, Any] = {"forecast": self.name}
        for kind, values in (("RMSE", self.rmse), ("ACC", self.acc)):
            for name, value in zip(self.variables, values, strict=True):
                row[f"{kind} {name}"] = "-" if np.isnan(value) else f"{value:.3f}"
        return row

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        pairs = {"rmse": self.rmse, "acc": self.acc}
        return {kind: dict(zip(self.variables, values, strict=True)) for kind, values in pairs.items()}


def score(
    name: str,
    forecast: np.ndarray,
    truth: np.ndarray,
    climatology: np.ndarray,
    latitude: np.ndarray,
    variables: Sequence[str],
) -> ForecastScores:
    """Score forecasts (T, C, H, W)."""
    squares = mean_square(forecast, truth, latitude)
    roots = np.sqrt(np.nanmean(squares, 0))
    correlations = acc(forecast, truth, climatology, latitude)
    return ForecastScores(name, tuple(variables), tuple(map(float, roots)), tuple(map(float, correlations)), squares)
