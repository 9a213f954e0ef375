"""Forecasts without a network: the last value, the same time of the last season, and ridge regression.

    ridge = fit_ridge(train, valid)
    scores = score(ridge.forecast, test)
    scores.mse, scores.windows_mse              # mean over all windows, and each window's

All take look-backs (n, L, C) and give forecasts (n, H, C). NLinear is Zeng et al. 2023 (arXiv 2205.13504): a linear
map of the look-back, shared by all columns, of differences to the last value; here also in closed form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from seqvision.data.series_windows import Windows

Forecast = Callable[[np.ndarray], np.ndarray]
PENALTIES = tuple(10.0**exponent for exponent in range(-1, 6))
_AT_ONCE = 1 << 22
"""Numbers of windows in memory at once."""


@dataclass(frozen=True)
class WindowScores:
    """How good forecasts of windows are, in the units of their scaling.

    Attributes:
        windows_mse: (W,) mean squared error of each window, over its steps and columns.
        windows_mae: (W,) mean absolute error.
        columns_mse: (C,) mean squared error of each column, over windows and steps.
        columns_mae: (C,) mean absolute error.
        steps_mse: (H,) mean squared error of each step ahead, over windows and columns.
    """

    windows_mse: np.ndarray = field(repr=False)
    windows_mae: np.ndarray = field(repr=False)
    columns_mse: np.ndarray = field(repr=False)
    columns_mae: np.ndarray = field(repr=False)
    steps_mse: np.ndarray = field(repr=False)

    @property
    def mse(self) -> float:
        """Mean over all windows, steps and columns."""
        return float(self.windows_mse.mean())

    @property
    def mae(self) -> float:
        """Mean absolute error over all of them."""
        return float(self.windows_mae.mean())


def pieces(windows: Windows) -> Iterator[np.ndarray]:
    """Yield the indices of all windows, as many at once as fit into memory."""
    size = max(1, _AT_ONCE // ((windows.look_back + windows.horizon) * windows.channels))
    for first in range(0, len(windows), size):
        yield np.arange(first, min(first + size, len(windows)))


def score(forecast: Forecast, windows: Windows) -> WindowScores:
    """Score forecasts of every window.

    Args:
        forecast: From look-backs (n, L, C) to forecasts (n, H, C).
        windows: All of them count.
    """
    squared, absolute, steps = [], [], np.zeros(windows.horizon)
    columns = np.zeros((2, windows.channels))
    for indices in pieces(windows):
        past, future = windows.arrays(indices)
        error = forecast(past).astype(np.float64) - future
        squared.append(np.square(error).mean((1, 2)))
        absolute.append(np.abs(error).mean((1, 2)))
        columns += np.square(error).mean(1).sum(0), np.abs(error).mean(1).sum(0)
        steps += np.square(error).mean(2).sum(0)
    columns, count = columns / len(windows), len(windows)
    return WindowScores(np.concatenate(squared), np.concatenate(absolute), columns[0], columns[1], steps / count)


def last_value(horizon: int) -> Forecast:
    """Return the forecast that nothing changes."""

    def forecast(past: np.ndarray) -> np.ndarray:
        return np.repeat(past[:, -1:], horizon, axis=1)

    return forecast


def seasonal_naive(horizon: int, period: int) -> Forecast:
    """Return the forecast that repeats the last `period` rows.

    Args:
        horizon: H.
        period: Rows of a season, at most the look-back's.
    """

    def forecast(past: np.ndarray) -> np.ndarray:
        if not 1 <= period <= past.shape[1]:
            raise ValueError(f"a season of {period} rows does not lie within a look-back of {past.shape[1]}")
        places = past.shape[1] - period + np.arange(horizon) % period
        return past[:, places]

    return forecast


def choose_season(valid: Windows, periods: Sequence[int]) -> int | None:
    """Return the period whose repetition has the least squared error on validation windows; None where none fits.

    Args:
        valid: Validation windows.
        periods: Candidates; those longer than the look-back are left out.
    """
    fitting = [period for period in periods if period <= valid.look_back]
    errors = {period: score(seasonal_naive(valid.horizon, period), valid).mse for period in fitting}
    return min(errors, key=lambda period: errors[period]) if errors else None


@dataclass(frozen=True)
class RidgeNLinear:
    """A linear map of differences to the last value, shared by all columns.

    Attributes:
        weight: (L, H).
        bias: (H,).
        penalty: The ridge's, chosen on validation windows.
    """

    weight: np.ndarray = field(repr=False)
    bias: np.ndarray = field(repr=False)
    penalty: float

    def forecast(self, past: np.ndarray) -> np.ndarray:
        """Forecast (n, H, C) from (n, L, C)."""
        last = past[:, -1:].astype(np.float64)
        return np.einsum("nlc,lh->nhc", past - last, self.weight, optimize=True) + self.bias[:, None] + last


def fit_ridge(train: Windows, valid: Windows, penalties: Sequence[float] = PENALTIES) -> RidgeNLinear:
    """Fit NLinear in closed form: the least squared error plus `penalty` times the squared weights.

    Args:
        train: Windows that are fitted, each column a row of its own.
        valid: Windows that choose the penalty.
        penalties: Candidates.
    """
    gram, cross, inputs, outputs, count = _moments(train)
    # Centring takes the intercept out of the penalty.
    gram -= np.outer(inputs, inputs) / count
    cross -= np.outer(inputs, outputs) / count
    values, vectors = np.linalg.eigh(gram)
    turned = vectors.T @ cross
    best: tuple[float, RidgeNLinear] | None = None
    for penalty in penalties:
        weight = vectors @ (turned / (np.maximum(values, 0) + penalty)[:, None])
        model = RidgeNLinear(weight, (outputs - inputs @ weight) / count, float(penalty))
        error = score(model.forecast, valid).mse
        if best is None or error < best[0]:
            best = error, model
    assert best is not None
    return best[1]


def _moments(train: Windows) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]:
    """Return sums of x x', x y', x, y over all windows and columns, and their number."""
    length, horizon = train.look_back, train.horizon
    gram, cross = np.zeros((length, length)), np.zeros((length, horizon))
    inputs, outputs = np.zeros(length), np.zeros(horizon)
    for indices in pieces(train):
        past, future = (part.transpose(0, 2, 1).astype(np.float64) for part in train.arrays(indices))
        last = past[..., -1:]
        x, y = (past - last).reshape(-1, length), (future - last).reshape(-1, horizon)
        gram += x.T @ x
        cross += x.T @ y
        inputs += x.sum(0)
        outputs += y.sum(0)
    return gram, cross, inputs, outputs, len(train) * train.channels
