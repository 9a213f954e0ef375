"""Intervals: they cover what they say, on rows that did not set them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from seqchem.prediction import calibrate, predict_properties
from seqchem.prediction.calibration import calibration_of, interval_scale, label_calibration
from seqchem.tokenizers import NumberFormat


def _errors(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return truth, predictions and deviations that are three times too small, with heavy tails."""
    generator = np.random.default_rng(seed)
    std = generator.uniform(0.1, 2.0, count)
    truth = generator.normal(size=count)
    return truth, truth + 3 * std * generator.standard_t(4, count), std


def test_intervals_cover_new_rows_as_often_as_they_say() -> None:
    found = calibration_of(*_errors(2000, 1), resolution=1e-3)
    truth, predicted, std = _errors(20000, 2)
    for level in (0.5, 0.8, 0.9, 0.95):
        known = found["levels"][f"{level:g}"]
        covered = np.mean(np.abs(predicted - truth) <= known["scale"] * (std + 1e-3))
        assert covered == pytest.approx(level, abs=0.02)
        assert known["coverage"] == pytest.approx(level, abs=0.03)
        assert known["enough_rows"]


def test_the_scale_is_the_conformal_quantile() -> None:
    errors = np.arange(1.0, 20.0)  # 19 scores: the level 0.9 takes the 18th, 0.95 the 19th
    found = calibration_of(np.zeros(19), errors, np.ones(19), resolution=0.0)["levels"]
    assert [found[level]["scale"] for level in ("0.5", "0.8", "0.9", "0.95")] == [10, 16, 18, 19]
    assert found["0.95"]["enough_rows"]
    few = calibration_of(np.zeros(5), errors[:5], np.ones(5), resolution=0.0)["levels"]["0.9"]
    assert few["scale"] == 5
    assert not few["enough_rows"]


def test_the_reported_coverage_is_of_rows_that_did_not_set_the_scale() -> None:
    # One row of five is far off: whichever part it is in, the other four do not cover it at any level.
    found = calibration_of(np.zeros(5), np.array([1.0, 1.0, 1.0, 1.0, 9.0]), np.ones(5), resolution=0.0)
    assert found["levels"]["0.95"]["scale"] == 9
    assert found["levels"]["0.95"]["coverage"] == pytest.approx(4 / 5)


def test_one_row_has_a_scale_and_no_coverage() -> None:
    found = calibration_of(np.zeros(1), np.ones(1), np.ones(1), resolution=0.0)["levels"]["0.9"]
    assert found == {"scale": 1.0, "coverage": None, "enough_rows": False}


def test_probabilities_against_shares() -> None:
    found = label_calibration(np.array([1, 1, 0, 0, 1]), np.array([0.95, 0.95, 0.95, 0.05, 1.0]), bins=10)
    assert found["brier"] == pytest.approx((2 * 0.05**2 + 0.95**2 + 0.05**2) / 5)
    # Bins: 0.05 (0 of 1) and 0.9 .. 1 (3 of 4, said 0.9625).
    assert found["calibration_error"] == pytest.approx(0.2 * 0.05 + 0.8 * (0.9625 - 0.75))
    assert [point["rows"] for point in found["curve"]] == [1, 4]


def test_a_calibrated_model_gives_these_intervals(make_tokenizer: Any, oracle: Any) -> None:
    form = NumberFormat(0.0, 100.0, 0, 3, False, False)
    rows = ["C" * count for count in range(1, 40)]
    model = oracle(make_tokenizer(x=form), lambda name, text: float(len(text)))
    truth = np.array([len(text) + 3.0 for text in rows])  # always three off, with no deviation of the digits
    found = calibrate(model, rows, {"x": truth})
    assert found["x"]["rows"] == 39
    assert found["x"]["rmse"] == pytest.approx(3)
    entry = predict_properties(model, ["CCCCC"], calibration=found)["x"]
    assert entry.calibrated
    assert (entry.low[0], entry.high[0]) == pytest.approx((2, 8), abs=1e-3)
    assert entry.coverage == found["x"]["levels"]["0.9"]["coverage"]
    for options in ({"decode": "sequential"}, {"point": "mode"}, {"level": 0.7}):
        assert not predict_properties(model, ["CCCCC"], calibration=found, **options)["x"].calibrated
    assert interval_scale(None, 0.9, "mean", "independent")[0] == 0


def test_rows_without_a_value_or_a_molecule_do_not_count(make_tokenizer: Any, oracle: Any) -> None:
    form = NumberFormat(0.0, 100.0, 0, 3, False, False)
    model = oracle(make_tokenizer(x=form, y=form), lambda name, text: float(len(text)))
    rows, truth = ["C", "CC", "C1", "CCC"], np.array([1.0, np.nan, 5.0, 3.0])
    found = calibrate(model, rows, {"x": truth, "y": np.full(4, np.nan)})
    assert found["x"]["rows"] == 2
    assert "y" not in found
