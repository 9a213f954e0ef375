"""Block bootstrap: intervals of known width, pairing, and determinism."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from seqaudio.baselines import Blocks, blocks_of, difference_interval, mean_interval
from seqsuite.errors import UserError


def width(interval):
    return interval.high - interval.low


def test_blocks_do_not_reach_over_clips():
    blocks = blocks_of([np.arange(5.0), np.zeros(0), np.ones(3)], 2)
    np.testing.assert_array_equal(blocks.sums, [1, 5, 4, 2, 1])
    np.testing.assert_array_equal(blocks.sizes, [2, 2, 1, 2, 1])
    assert blocks.mean == 13 / 8


def test_the_interval_of_independent_values_is_the_normal_one():
    values = np.random.default_rng(0).normal(size=20_000)
    found = mean_interval(blocks_of([values], 10))
    assert found.mean == pytest.approx(values.mean())
    assert (found.blocks, found.samples, found.level) == (2000, 20_000, 0.95)
    assert width(found) == pytest.approx(2 * 1.96 / np.sqrt(20_000), rel=0.1)


def test_blocks_see_the_correlation_that_samples_hide():
    values = lfilter([1.0], [1, -0.95], np.random.default_rng(0).normal(size=200_000))
    # The long-run deviation of this process is 1 / (1 - 0.95) = 20.
    assert width(mean_interval(blocks_of([values], 2000))) == pytest.approx(2 * 1.96 * 20 / np.sqrt(2e5), rel=0.25)
    assert width(mean_interval(blocks_of([values[:20_000]], 1), resamples=200)) < 2 * 1.96 * 20 / np.sqrt(2e4) / 3


def test_pairing_removes_what_is_common():
    common = np.random.default_rng(0).normal(size=5000)
    first, second = blocks_of([common + 0.1], 50), blocks_of([common], 50)
    found = difference_interval(first, second)
    assert (found.low, found.mean, found.high) == pytest.approx((0.1, 0.1, 0.1))
    assert width(mean_interval(first)) > 0.03
    mirrored = difference_interval(second, first)
    assert mirrored.mean == pytest.approx(-found.mean)


def test_the_seed_decides(monkeypatch):
    blocks = blocks_of([np.random.default_rng(0).normal(size=1000)], 10)
    assert mean_interval(blocks, seed=1) == mean_interval(blocks, seed=1) != mean_interval(blocks, seed=2)
    once = mean_interval(blocks, seed=1)
    monkeypatch.setattr("seqaudio.baselines.bootstrap._DRAWN_AT_ONCE", 1000)
    assert mean_interval(blocks, seed=1) == once


def test_a_higher_level_is_wider():
    blocks = blocks_of([np.random.default_rng(0).normal(size=1000)], 10)
    assert width(mean_interval(blocks, level=0.5)) < width(mean_interval(blocks, level=0.9))


def test_bad_input_is_told():
    blocks = blocks_of([np.ones(10)], 5)
    with pytest.raises(UserError, match="two blocks of samples or more, not 1"):
        mean_interval(blocks_of([np.ones(10)], 10))
    with pytest.raises(ValueError, match="blocks of 0"):
        blocks_of([np.ones(10)], 0)
    with pytest.raises(ValueError, match="level 1"):
        mean_interval(blocks, level=1)
    with pytest.raises(ValueError, match="resamples 0"):
        mean_interval(blocks, resamples=0)
    with pytest.raises(ValueError, match="same clips"):
        difference_interval(blocks, Blocks(np.ones(2), np.array([5, 4])))
