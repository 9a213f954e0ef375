"""Weights, RMSE and ACC against integrals over the sphere and an independent computation."""

from __future__ import annotations

import numpy as np
import pytest

from seqvision.weather.baselines import anomaly_terms, cell_regression, climatology_of
from seqvision.weather.scores import acc, area_weights, mean_square, rmse, skill_interval

GRIDS = {
    "with the poles": np.linspace(-90, 90, 73),
    "cell centres": np.arange(-88.75, 90, 2.5),
    "falling": np.linspace(90, -90, 37),
}


@pytest.mark.parametrize("latitude", GRIDS.values(), ids=GRIDS)
def test_weights_integrate_over_the_sphere(latitude) -> None:
    """The mean of sin^2 of the latitude over a sphere is 1/3, that of cos is pi/4."""
    weights, radians = area_weights(latitude), np.deg2rad(latitude)
    assert weights.mean() == pytest.approx(1)
    assert (weights * np.sin(radians) ** 2).mean() == pytest.approx(1 / 3, abs=2e-3)
    assert (weights * np.cos(radians)).mean() == pytest.approx(np.pi / 4, abs=2e-3)
    np.testing.assert_allclose(weights, weights[::-1], atol=1e-12)


def test_weights_of_a_region_are_those_of_the_globe_up_to_a_factor() -> None:
    whole = np.linspace(-90, 90, 73)
    part = slice(40, 60)
    np.testing.assert_allclose(
        area_weights(whole[part]), area_weights(whole)[part] / area_weights(whole)[part].mean(), rtol=1e-9
    )


@pytest.fixture
def maps() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=(5, 2, 7, 9)) for name in ("forecast", "truth", "climatology")}


LATITUDE = np.linspace(-60, 60, 7)


def test_rmse_against_a_loop(maps) -> None:
    edges = np.deg2rad(np.linspace(-70, 70, 8))
    area = np.sin(edges[1:]) - np.sin(edges[:-1])
    for channel in range(2):
        total = weight = 0.0
        for step in range(5):
            for row in range(7):
                for column in range(9):
                    error = maps["forecast"][step, channel, row, column] - maps["truth"][step, channel, row, column]
                    total, weight = total + area[row] * error**2, weight + area[row]
        found = rmse(maps["forecast"], maps["truth"], LATITUDE)[channel]
        assert found == pytest.approx(np.sqrt(total / weight))


def test_acc_is_a_weighted_cosine(maps) -> None:
    weights = np.repeat(area_weights(LATITUDE), 9)
    for channel in range(2):
        cosines = []
        for step in range(5):
            first, second = (
                ((maps[name] - maps["climatology"])[step, channel].ravel() * np.sqrt(weights))
                for name in ("forecast", "truth")
            )
            cosines.append(first @ second / np.linalg.norm(first) / np.linalg.norm(second))
        assert acc(maps["forecast"], maps["truth"], maps["climatology"], LATITUDE)[channel] == pytest.approx(
            np.mean(cosines)
        )


def test_acc_of_the_truth_is_one_of_its_mirror_minus_one_of_the_climatology_nothing(maps) -> None:
    truth, usual = maps["truth"], maps["climatology"]
    np.testing.assert_allclose(acc(truth, truth, usual, LATITUDE), 1)
    np.testing.assert_allclose(acc(2 * usual - truth, truth, usual, LATITUDE), -1)
    assert np.isnan(acc(usual, truth, usual, LATITUDE)).all()


def test_missing_cells_are_left_out(maps) -> None:
    truth = maps["truth"].copy()
    truth[:, :, 3, 4] = np.nan
    spoiled = maps["forecast"].copy()
    spoiled[:, :, 3, 4] = 1e6
    np.testing.assert_array_equal(mean_square(spoiled, truth, LATITUDE), mean_square(maps["forecast"], truth, LATITUDE))
    assert np.isfinite(acc(maps["forecast"], truth, maps["climatology"], LATITUDE)).all()


def test_the_bootstrap_covers_and_orders() -> None:
    """Equal errors have the interval zero; a difference that is the same in every step is certain."""
    squares = np.random.default_rng(0).uniform(1, 2, 24)
    same = skill_interval(squares, squares)
    assert (same.low, same.difference, same.high) == (0, 0, 0)
    better = skill_interval(squares, squares + 1, block=3)
    assert better.low <= better.difference <= better.high < 0
    turned = skill_interval(squares + 1, squares, block=3)
    assert turned.difference == pytest.approx(-better.difference)


def test_climatology_is_the_mean_of_each_month() -> None:
    values = np.random.default_rng(0).normal(size=(30, 1, 2, 3))
    phases = np.arange(30) % 12
    found = climatology_of(values, phases, "month")
    for month in range(12):
        rows = [step for step in range(30) if step % 12 == month]
        np.testing.assert_allclose(found[month], sum(values[row] for row in rows) / len(rows))


def test_daily_climatology_goes_around_the_year() -> None:
    """A field that is the day's number: the window around new year's day has the first and the last days."""
    phases = np.arange(366)
    values = phases.astype(float)[:, None, None, None]
    found = climatology_of(values, phases, "day")[:, 0, 0, 0]
    near = [*range(351, 366), *range(16)]
    assert found[0] == pytest.approx(np.mean(near))
    assert found[100] == pytest.approx(100)


def test_regression_without_penalty_is_least_squares_and_with_much_the_shared_one() -> None:
    rng = np.random.default_rng(0)
    terms, target = rng.normal(size=(40, 2, 1, 3, 4)), rng.normal(size=(40, 1, 3, 4))
    free = cell_regression(terms, target, np.ones(3), 0.0)
    for row in range(3):
        for column in range(4):
            expected = np.linalg.lstsq(terms[:, :, 0, row, column], target[:, 0, row, column], rcond=None)[0]
            np.testing.assert_allclose(free[:, 0, row, column], expected, rtol=1e-6)
    stiff = cell_regression(terms, target, np.ones(3), 1e9)
    flat = terms[:, :, 0].transpose(0, 2, 3, 1).reshape(-1, 2)
    shared = np.linalg.lstsq(flat, target.reshape(-1), rcond=None)[0]
    np.testing.assert_allclose(stiff[:, 0], np.broadcast_to(shared[:, None, None], (2, 3, 4)), rtol=1e-4)


def test_terms_are_the_latest_and_the_mean_of_what_came_before() -> None:
    anomalies = np.random.default_rng(0).normal(size=(10, 1, 2, 2))
    found = anomaly_terms(anomalies, np.array([4, 9]), 3)
    np.testing.assert_array_equal(found[:, 0], anomalies[[4, 9]])
    np.testing.assert_allclose(found[0, 1], (anomalies[2] + anomalies[3] + anomalies[4]) / 3)
