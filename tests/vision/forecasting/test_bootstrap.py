"""Intervals of paired differences: against a plain loop, and where dependence must widen them."""

from __future__ import annotations

import numpy as np
import pytest

from seqvision.forecasting.bootstrap import paired_difference


def test_the_interval_is_that_of_resampled_blocks() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((2, 103))
    found = paired_difference(first, second, span=10, resamples=4000)
    assert (found.block, found.blocks) == (10, 10.3)
    assert found.mean == pytest.approx(float(np.mean(first - second)))
    means = []
    other = np.random.default_rng(1)
    for _ in range(4000):  # 11 blocks around the circle
        rows = np.concatenate([(start + np.arange(10)) % 103 for start in other.integers(103, size=11)])
        means.append((first - second)[rows].mean())
    np.testing.assert_allclose([found.low, found.high], np.quantile(means, [0.025, 0.975]), atol=0.02)


def test_equal_forecasters_and_constant_differences_have_no_width() -> None:
    errors = np.random.default_rng(0).random(50)
    same = paired_difference(errors, errors, span=5)
    assert (same.mean, same.low, same.high) == (0, 0, 0)
    better = paired_difference(errors - 1, errors, span=7)
    np.testing.assert_allclose([better.mean, better.low, better.high], -1)


def test_blocks_widen_the_interval_of_dependent_differences() -> None:
    rng = np.random.default_rng(0)
    slow = np.repeat(rng.standard_normal(40), 25)
    alone, blocks = (paired_difference(slow, np.zeros(1000), span=span) for span in (1, 100))
    assert blocks.high - blocks.low > 3 * (alone.high - alone.low)


def test_few_windows_shorten_the_block() -> None:
    assert paired_difference(np.ones(20), np.zeros(20), span=96).block == 4
    assert paired_difference(np.ones(2), np.zeros(2), span=96).block == 1
    with pytest.raises(ValueError, match="same windows"):
        paired_difference(np.ones(3), np.zeros(4), span=1)
