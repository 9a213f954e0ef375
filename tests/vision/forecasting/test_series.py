"""Reading: values, timestamps and frequencies; what is wrong with a file is told with its line and column."""

from __future__ import annotations

import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from seqsuite.errors import UserError
from seqvision.data.series import read_series, series_of
from seqvision.data.series_times import seasons_of
from seqvision.data.series_windows import fit_scaling
from seqvision.forecasting import Forecast

from .conftest import waves, write_waves


def test_the_same_series_from_every_kind_of_file(hourly: Path, tmp_path: Path) -> None:
    plain = read_series(hourly)
    np.testing.assert_array_equal(plain.values, waves())
    assert plain.names == ("load", "wind")
    assert plain.frequency == "h"
    assert plain.times is not None
    assert plain.times[-1] == np.datetime64("2020-01-17T15:00")
    packed = tmp_path / "packed.csv.gz"
    packed.write_bytes(gzip.compress(hourly.read_bytes()))
    columns = tmp_path / "columns.parquet"
    pd.read_csv(hourly, parse_dates=["date"]).to_parquet(columns)
    frame = pd.read_csv(hourly, parse_dates=["date"]).set_index("date")
    for other in (read_series(packed), read_series(columns), series_of(frame)):
        assert other.fingerprint() == plain.fingerprint()
        assert other.frequency == "h"


def test_columns_are_chosen_and_left_out(hourly: Path) -> None:
    assert read_series(hourly, columns=("wind", "load")).names == ("wind", "load")
    np.testing.assert_array_equal(read_series(hourly, columns=("wind",)).values, waves()[:, 1:])
    assert read_series(hourly, drop=("load",)).names == ("wind",)
    with pytest.raises(UserError, match=r"hourly.csv: Unknown column 'winds'. Did you mean 'wind'\?"):
        read_series(hourly, columns=("winds",))


@pytest.mark.parametrize("name", ["Date", "ds", "when it was"])
def test_timestamps_are_found_by_name_or_by_value(hourly: Path, name: str) -> None:
    hourly.write_text(hourly.read_text().replace("date", name, 1))
    series = read_series(hourly)
    assert (series.date_column, series.names) == (name, ("load", "wind"))


def test_a_file_without_timestamps_counts_rows(hourly: Path) -> None:
    pd.read_csv(hourly).drop(columns="date").to_csv(hourly, index=False)
    series = read_series(hourly)
    assert series.times is None
    assert series.following(2).tolist() == [400, 401]
    frame = pd.DataFrame({"time": range(9), "load": range(9)})
    with pytest.raises(UserError, match=r"row 1, column 'time': '0' is no timestamp.* --drop time"):
        series_of(frame)
    assert series_of(frame, drop=("time",)).names == ("load",)


@pytest.mark.parametrize("freq", ["h", "15min", "D", "7D", "MS", "ME", "B", "QS", "YS"])
def test_timestamps_carry_on_as_they_began(tmp_path: Path, freq: str) -> None:
    path = write_waves(tmp_path / "series.csv", rows=40, freq=freq)
    expected = pd.date_range("2020-01-01", periods=52, freq=freq)
    np.testing.assert_array_equal(read_series(path).following(12), expected[40:].to_numpy())


def test_seasons_are_days_weeks_and_years() -> None:
    assert seasons_of("h") == (24, 168, 8760)
    assert seasons_of("15min") == (4, 96, 672, 35040)
    assert seasons_of("D") == (7, 365)
    assert seasons_of("MS") == (12,)
    assert seasons_of("B") == (5,)
    assert seasons_of("") == ()
    assert seasons_of("YS") == ()


def test_zones_become_utc(hourly: Path) -> None:
    frame = pd.read_csv(hourly, parse_dates=["date"])
    frame["date"] = frame["date"].dt.tz_localize("Etc/GMT-2")
    frame.to_csv(hourly, index=False)
    series = read_series(hourly)
    assert series.times is not None
    assert series.times[0] == np.datetime64("2019-12-31T22:00")
    assert series.select(series.names[:1]).zone == "+00:00"


def test_a_forecast_says_that_its_times_are_utc() -> None:
    midnights = np.array(["2020-01-01", "2020-01-02"], dtype="datetime64[s]")
    values = np.zeros((2, 1))
    assert Forecast(("load",), midnights, values, values, "date", "+00:00").shown_times() == [
        "2020-01-01 00:00:00+00:00", "2020-01-02 00:00:00+00:00"]  # fmt: skip
    assert Forecast(("load",), midnights, values, values).shown_times() == ["2020-01-01", "2020-01-02"]


def swap(lines: list[str], first: int, second: int) -> list[str]:
    lines[first], lines[second] = lines[second], lines[first]
    return lines


def cell(lines: list[str], line: int, column: int, text: str) -> list[str]:
    parts = lines[line - 1].split(",")
    parts[column] = text
    return [*lines[: line - 1], ",".join(parts), *lines[line:]]


BAD = {
    "a gap": (lambda x: x[:10] + x[12:], r"line 11, column 'date': 2020-01-01 11:00:00 is 0 days 03:00:00 after"),
    "a number missing": (lambda x: cell(x, 7, 1, ""), r"line 7, column 'load': is empty; fill it"),
    "two missing": (lambda x: cell(cell(x, 7, 1, "nan"), 9, 1, ""), r"line 7, column 'load': is empty \(and 1 more\)"),
    "a word": (lambda x: cell(x, 8, 2, "calm"), r"line 8, column 'wind': 'calm' is no finite number"),
    "infinite": (lambda x: cell(x, 8, 2, "inf"), r"line 8, column 'wind': 'inf' is no finite number"),
    "a timestamp missing": (lambda x: cell(x, 5, 0, ""), r"line 5, column 'date': is empty"),
    "no timestamp": (lambda x: cell(x, 5, 0, "noon"), r"line 5, column 'date': 'noon' is no timestamp"),
    "twice": (lambda x: x[:6] + x[5:], r"line 7, column 'date': 2020-01-01 04:00:00 repeats"),
    "out of order": (lambda x: swap(x, 5, 6), r"line 7, column 'date': 2020-01-01 04:00:00 is earlier"),
    "an empty line": (lambda x: [*x[:5], "", *x[5:]], r"line 6, column 'load': is empty"),
    "too many cells": (lambda x: [*x[:5], x[5] + ",1,2", *x[6:]], r"line 6, saw 5"),
    "names alone": (lambda x: x[:1], r"holds 0 rows"),
    "only dates": (lambda x: [line.split(",")[0] for line in x], r"no column of numbers beside the timestamps"),
    "a name twice": (lambda x: ["date,load,load", *x[1:]], r"."),
}


@pytest.mark.parametrize("what", BAD)
def test_a_wrong_file_is_told_with_its_line_and_column(edited: Callable[..., Path], what: str) -> None:
    change, said = BAD[what]
    path = edited(change)
    if what == "a name twice":  # pandas numbers them; both stay, under other names
        assert len(read_series(path).names) == 2
        return
    with pytest.raises(UserError, match=said) as told:
        read_series(path)
    assert str(path) in str(told.value)
    assert "\n" not in str(told.value)


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such file"):
        read_series(tmp_path / "none.csv")
    for name, content in {
        "empty.csv": b"",
        "torn.csv.gz": gzip.compress(b"date,a\n" * 99)[:40],
        "not.parquet": b"x",
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=name):
            read_series(tmp_path / name)
    with pytest.raises(UserError, match="give a series as"):
        read_series(tmp_path / "series.xlsx")
    with pytest.raises(UserError, match="two columns are called 'a'"):
        series_of(pd.DataFrame(np.ones((3, 2)), columns=["a", "a"]))


def test_damaged_archives_are_named(hourly: Path, tmp_path: Path) -> None:
    text = hourly.read_bytes()
    for name, whole in (("a.csv.gz", gzip.compress(text)), ("b.csv.xz", lzma.compress(text))):
        for spoiled in (whole[: len(whole) // 2], whole[:2000] + b"\7" * 100 + whole[2100:]):
            (tmp_path / name).write_bytes(spoiled)
            with pytest.raises(UserError, match=f"{name}: cannot be read"):
                read_series(tmp_path / name)


TEXTS = {
    "more cells than names": (
        lambda text: text.replace("\n", ",7\n").replace("wind,7", "wind", 1),
        "name every column",
    ),
    "semicolons": (lambda text: text.replace(",", ";"), "cells are divided by ';'"),
    "no names": (lambda text: text.partition("\n")[2], "first line holds numbers"),
}


@pytest.mark.parametrize("what", TEXTS)
def test_texts_that_would_be_read_wrongly(hourly: Path, what: str) -> None:
    change, said = TEXTS[what]
    hourly.write_text(change(hourly.read_text()))
    with pytest.raises(UserError, match=said):
        read_series(hourly)


def test_a_second_column_of_dates_is_no_number(hourly: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(hourly, parse_dates=["date"])
    frame["made"] = frame["date"]
    frame.to_parquet(tmp_path / "two.parquet")
    with pytest.raises(UserError, match=r"column 'made': holds datetime64.*--drop made"):
        read_series(tmp_path / "two.parquet")
    assert read_series(tmp_path / "two.parquet", drop=["made"]).names == ("load", "wind")


def test_dates_before_nanoseconds_begin() -> None:
    frame = pd.DataFrame({"year": [f"{year}-01-01" for year in range(1600, 1640)], "value": np.arange(40.0)})
    series = series_of(frame)
    assert str(series.following(1)[0])[:10] == "1640-01-01"


def test_few_rows_fit_the_frequency_that_is_known() -> None:
    """Five days of one week may be working days, and two steps of 31 days months; other days are neither."""
    week = series_of(pd.DataFrame({"date": pd.date_range("2024-01-01", periods=5), "value": np.arange(5.0)}))
    working = week.at("B")
    assert working is not None
    assert str(working.following(1)[0])[:10] == "2024-01-08"
    months = series_of(pd.DataFrame({"date": ["2024-07-01", "2024-08-01", "2024-09-01"], "value": [1.0, 2, 3]}))
    assert months.at("MS") is not None
    assert months.at("B") is None


@pytest.mark.parametrize("factor", [1e300, 1e-300])
def test_numbers_without_a_square_are_refused(hourly: Path, factor: float) -> None:
    frame = pd.read_csv(hourly)
    frame["wind"] *= factor
    with pytest.raises(UserError, match="column 'wind': its numbers are too"):
        fit_scaling(series_of(frame), (0, 300))
