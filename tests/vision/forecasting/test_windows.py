"""Splits, scaling and windows against an independent statement of the standard protocol."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from seqsuite.errors import UserError
from seqvision.data.series import Series, read_series
from seqvision.data.series_windows import Windows, fit_scaling, split_rows


def published_borders(rows: int, name: str, look_back: int) -> dict[str, tuple[int, int]]:
    """The borders of the public benchmarks: slices of rows, the later two reaching back by the look-back."""
    if name == "fractions":
        train, test = int(rows * 0.7), int(rows * 0.2)
        ends = [train, rows - test, rows]
    else:
        month = 30 * 24 * (4 if name == "ett_m" else 1)
        ends = [12 * month, 16 * month, 20 * month]
    return {
        "train": (0, ends[0]),
        "valid": (ends[0] - look_back, ends[1]),
        "test": (ends[1] - look_back, ends[2]),
    }


@pytest.mark.parametrize(
    ("name", "rows"), [("ett_h", 17420), ("ett_m", 69680), ("fractions", 7588), ("fractions", 26304)]
)
@pytest.mark.parametrize("horizon", [96, 720])
def test_windows_are_those_of_the_public_benchmarks(name: str, rows: int, horizon: int) -> None:
    values = np.arange(rows, dtype=np.float32)[:, None]  # exact in float32: a row is its number
    look_back = 96
    splits = split_rows(rows, "70/10/20" if name == "fractions" else name)
    for split, (first, stop) in published_borders(rows, name, look_back).items():
        windows = Windows(values, getattr(splits, split), look_back=look_back, horizon=horizon)
        cut = values[first:stop]
        assert len(windows) == len(cut) - look_back - horizon + 1
        for index in (0, 1, len(windows) // 2, len(windows) - 1):
            past, future = windows.arrays([index])
            np.testing.assert_array_equal(past[0], cut[index : index + look_back])
            np.testing.assert_array_equal(future[0], cut[index + look_back : index + look_back + horizon])


def test_every_row_of_a_split_is_forecast_and_none_of_another() -> None:
    splits = split_rows(100, "60/20/20")
    assert (splits.train, splits.valid, splits.test) == ((0, 60), (60, 80), (80, 100))
    values = np.arange(100.0)[:, None]
    for rows in (splits.train, splits.valid, splits.test):
        windows = Windows(values, rows, look_back=8, horizon=4)
        future = windows.arrays(range(len(windows)))[1]
        first = max(rows[0], 8)  # the first rows of all have nothing behind them
        assert sorted(set(future.ravel().tolist())) == list(range(first, rows[1]))


def test_names_choose_the_split_of_ett() -> None:
    assert split_rows(17420, "auto", source="folder/ETTh1.csv.gz").name == "ett_h"
    assert split_rows(69680, "auto", source="ETTm2.csv").name == "ett_m"
    assert split_rows(17420, "auto", source="mine.csv").name == "70/10/20"
    assert split_rows(1000, "0.7/0.1/0.2").test == split_rows(1000, "70/10/20").test
    for wrong in ("ett", "70/30", "50/20/20", "70/10/x", "100/0/0"):
        with pytest.raises(UserError, match="--split"):
            split_rows(1000, wrong)
    with pytest.raises(UserError, match="has 1,000 rows, --split ett_h takes 14,400"):
        split_rows(1000, "ett_h")


def test_scaling_is_of_the_training_rows_alone(hourly: Path) -> None:
    series = read_series(hourly)
    scaling = fit_scaling(series, (0, 280))
    reference = StandardScaler().fit(series.values[:280])
    np.testing.assert_allclose(scaling.forward(series.values), reference.transform(series.values), rtol=1e-12)
    np.testing.assert_allclose(scaling.inverse(scaling.forward(series.values)), series.values, rtol=1e-12)
    changed = series.values.copy()
    changed[280:] = 1e6
    other = fit_scaling(Series("x", series.names, changed), (0, 280))
    np.testing.assert_array_equal(other.mean, scaling.mean)
    np.testing.assert_array_equal(other.deviation, scaling.deviation)


def test_a_column_that_is_constant_in_training_has_no_scale(hourly: Path) -> None:
    series = read_series(hourly)
    values = series.values.copy()
    values[:280, 1] = 3.0
    with pytest.raises(UserError, match=r"column 'wind': is constant, 3, in the training rows .* --drop wind"):
        fit_scaling(Series("x.csv", series.names, values), (0, 280))


def test_a_horizon_longer_than_the_split_is_told() -> None:
    with pytest.raises(UserError, match=r"x.csv: the test split \(20 rows\) holds no window of horizon 21"):
        Windows(np.zeros((100, 1)), (80, 100), look_back=8, horizon=21, source="x.csv", split="test")
    assert len(Windows(np.zeros((100, 1)), (80, 100), look_back=8, horizon=20)) == 1
