"""Splits, scaling and windows of the standard protocol of long-horizon forecasting.

    splits = split_rows(len(series), "ett_h", source=series.source)
    scaling = fit_scaling(series, splits.train)
    windows = Windows(scaling.forward(series.values), splits.test, look_back=96, horizon=96)
    past, future = windows.arrays([0, 1, 2])          # (3, 96, C) each

Rows are split by time. A window belongs to the split that holds all of its horizon; its look-back may reach into
the split before, whose rows are known by then. Every window counts, at stride 1: nothing is dropped to fill batches.
Means and deviations are those of the training rows, over which the deviation divides by their number.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from seqsuite.errors import UserError
from seqvision.data.series import Series

_MONTH = 30 * 24
_ETT_MONTHS = (12, 4, 4)
DEFAULT_FRACTIONS = "70/10/20"


@dataclass(frozen=True)
class Splits:
    """Rows of the three splits, one after the other.

    Attributes:
        train: First row and the row behind the last.
        valid: Likewise.
        test: Likewise.
        name: ett_h, ett_m or the shares.
    """

    train: tuple[int, int]
    valid: tuple[int, int]
    test: tuple[int, int]
    name: str


def split_rows(rows: int, split: str, *, source: str = "the series") -> Splits:
    """Divide rows by time.

    Args:
        rows: T.
        split: ett_h and ett_m, the published 12, 4 and 4 months of 30 days of hourly rows and of quarters of an hour;
            shares of training, validation and test such as 70/10/20, of which training and test are rounded down; or
            auto, which is ett_h or ett_m for a file called ETTh... or ETTm..., else 70/10/20.
        source: The file, for auto and for messages.

    Raises:
        UserError: Such a split is not known, or the series is too short for it.
    """
    name = split
    if split == "auto":
        found = re.match(r"ett([hm])\d", Path(source).name.lower())
        name = f"ett_{found[1]}" if found else DEFAULT_FRACTIONS
    if name in ("ett_h", "ett_m"):
        each = _MONTH * (4 if name == "ett_m" else 1)
        sizes = tuple(months * each for months in _ETT_MONTHS)
        if sum(sizes) > rows:
            raise UserError(f"{source}: has {rows:,} rows, --split {name} takes {sum(sizes):,}; give shares, 70/10/20")
    else:
        shares = _shares(name)
        test, train = int(rows * shares[2]), int(rows * shares[0])
        sizes = (train, rows - train - test, test)
    first, second, third = np.cumsum(sizes).tolist()
    return Splits((0, first), (first, second), (second, third), name)


def _shares(text: str) -> tuple[float, float, float]:
    parts = text.split("/")
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = []
    total = sum(numbers)
    if len(numbers) != 3 or min(numbers) <= 0 or not (abs(total - 1) < 1e-9 or abs(total - 100) < 1e-9):
        raise UserError(
            f"--split {text}: must be auto, ett_h, ett_m, or shares of training, validation and test such as 70/10/20"
        )
    return numbers[0] / total, numbers[1] / total, numbers[2] / total


@dataclass(frozen=True)
class Scaling:
    """z-scores, a column each.

    Attributes:
        mean: (C,) of the training rows.
        deviation: (C,) above 0.
    """

    mean: np.ndarray = field(repr=False)
    deviation: np.ndarray = field(repr=False)

    def forward(self, values: np.ndarray) -> np.ndarray:
        """Return (..., C) in deviations from the mean."""
        return (values - self.mean) / self.deviation

    def inverse(self, values: np.ndarray) -> np.ndarray:
        """Return (..., C) in the units of the file."""
        return values * self.deviation + self.mean


def fit_scaling(series: Series, rows: tuple[int, int]) -> Scaling:
    """Measure mean and deviation of some rows.

    Raises:
        UserError: A column is constant over them; it has no z-score.
    """
    known = series.values[slice(*rows)]
    with np.errstate(over="ignore", invalid="ignore"):
        mean, deviation = known.mean(0), known.std(0)
    flat = np.flatnonzero(known.min(0) == known.max(0))
    if len(flat):
        names = [series.names[place] for place in flat]
        more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
        raise UserError(
            f"{series.source}, column {names[0]!r}{more}: is constant, {known[0, flat[0]]:g}, in the training rows "
            f"({rows[0] + 1:,} to {rows[1]:,}); leave it out: --drop {','.join(names)}"
        )
    lost = np.flatnonzero(~np.isfinite(deviation) | (deviation == 0))
    if len(lost):
        name = series.names[lost[0]]
        raise UserError(f"{series.source}, column {name!r}: its numbers are too large or too small to be squared")
    return Scaling(mean, deviation)


class Windows:
    """Pairs of look-back and horizon whose horizon lies within a split.

    Args:
        values: (T, C) scaled rows of the whole series; float32 is kept.
        rows: First row of the split and the row behind its last.
        look_back: Rows that a forecast sees, L.
        horizon: Rows that it forecasts, H.
        source: The file, for messages.
        split: The split's name, for messages.

    Attributes:
        starts: (W,) the first row of each window's look-back; its horizon begins L rows later.

    Raises:
        UserError: There is no such window.
    """

    def __init__(
        self,
        values: np.ndarray,
        rows: tuple[int, int],
        *,
        look_back: int,
        horizon: int,
        source: str = "the series",
        split: str = "",
    ) -> None:
        first = max(rows[0], look_back) - look_back
        count = rows[1] - horizon - look_back - first + 1
        if count < 1:
            there = max(0, rows[1] - rows[0])
            what = f"the {split} split ({there:,} rows) holds" if split else f"its {len(values):,} rows hold"
            raise UserError(
                f"{source}: {what} no window of horizon {horizon} behind a look-back of {look_back}; "
                "give a longer series, a shorter --horizons or another --split"
            )
        self.values = np.ascontiguousarray(values, dtype=np.float32)
        self.look_back, self.horizon = look_back, horizon
        self.starts = np.arange(first, first + count)

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def channels(self) -> int:
        """C."""
        return self.values.shape[1]

    def arrays(self, indices: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return look-backs (n, L, C) and horizons (n, H, C) of some windows, float32."""
        starts = self.starts[np.asarray(indices, dtype=np.int64)]
        rows = starts[:, None] + np.arange(self.look_back + self.horizon)
        both = self.values[rows]
        return both[:, : self.look_back], both[:, self.look_back :]
