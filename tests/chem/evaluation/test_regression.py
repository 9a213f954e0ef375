"""Metrics of numbers against scikit-learn and SciPy, their intervals against a plain bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from seqchem.evaluation import paired_rmse, regression_scores
from seqchem.evaluation.regression import REGRESSION_METRICS


def _pairs(count: int = 200, seed: int = 0, scale: float = 1.0, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    truth = np.round(generator.normal(size=count), 1)  # ties
    return scale * truth + shift, scale * np.round(truth + generator.normal(size=count), 1) + shift


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (1e-3, 5.0), (2.0, 1e6)])
def test_metrics_are_those_of_the_libraries(scale: float, shift: float) -> None:
    truth, predicted = _pairs(scale=scale, shift=shift)
    found = regression_scores(truth, predicted, resamples=0)
    assert found.rmse == pytest.approx(metrics.mean_squared_error(truth, predicted) ** 0.5)
    assert found.mae == pytest.approx(metrics.mean_absolute_error(truth, predicted))
    assert found.r2 == pytest.approx(metrics.r2_score(truth, predicted), rel=1e-6)
    assert found.pearson == pytest.approx(stats.pearsonr(truth, predicted).statistic, rel=1e-6)
    assert found.spearman == pytest.approx(stats.spearmanr(truth, predicted).statistic, rel=1e-9)
    assert found.intervals == {}


def test_intervals_are_those_of_a_plain_bootstrap() -> None:
    truth, predicted = _pairs()
    found = regression_scores(truth, predicted, resamples=4000)
    generator = np.random.default_rng(99)
    drawn = generator.integers(len(truth), size=(4000, len(truth)))
    plain = {
        "rmse": [metrics.mean_squared_error(truth[rows], predicted[rows]) ** 0.5 for rows in drawn],
        "r2": [metrics.r2_score(truth[rows], predicted[rows]) for rows in drawn],
        "pearson": [np.corrcoef(truth[rows], predicted[rows])[0, 1] for rows in drawn],
    }
    for name, values in plain.items():
        low, high = np.quantile(values, [0.025, 0.975])
        assert found.intervals[name] == pytest.approx((low, high), abs=0.15 * (high - low))
    for name in REGRESSION_METRICS:
        low, high = found.intervals[name]
        assert low < getattr(found, name) < high
    again = regression_scores(truth, predicted, resamples=4000)
    assert again.intervals == found.intervals


def test_constants_have_no_correlation() -> None:
    constant = regression_scores(np.full(20, 0.1), np.linspace(0, 1, 20))
    assert np.isnan([constant.r2, constant.pearson, constant.spearman]).all()
    assert constant.rmse > 0
    said = regression_scores(np.linspace(0, 1, 20), np.full(20, 0.5))
    assert said.r2 == pytest.approx(0)
    assert np.isnan([said.pearson, said.spearman]).all()
    assert "pearson" not in said.intervals


def test_a_difference_is_of_the_same_rows() -> None:
    truth, predicted = _pairs()
    worse = truth + 1.5 * (predicted - truth)
    difference, (low, high) = paired_rmse(truth, predicted, worse)
    rmse = regression_scores(truth, predicted).rmse
    assert difference == pytest.approx(-0.5 * rmse)
    # The ratio of the errors is the same in every row, so that the interval is half that of the error.
    bounds = regression_scores(truth, predicted).intervals["rmse"]
    assert (low, high) == pytest.approx((-0.5 * bounds[1], -0.5 * bounds[0]))
    assert paired_rmse(truth, predicted, predicted)[0] == 0


@pytest.mark.parametrize(("truth", "predicted"), [([], []), ([1.0], [1.0, 2.0]), ([np.nan], [1.0]), ([1.0], [np.inf])])
def test_what_cannot_be_compared(truth: list[float], predicted: list[float]) -> None:
    with pytest.raises(ValueError, match="truth and predictions must be"):
        regression_scores(truth, predicted)
