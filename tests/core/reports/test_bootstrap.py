"""Block resampling against a plain loop, and what every resample keeps."""

from __future__ import annotations

import numpy as np
import pytest

from seqsuite.reports.bootstrap import block_means


def test_means_are_those_of_blocks_around_the_circle() -> None:
    values = np.random.default_rng(0).normal(size=(11, 2))
    found = block_means(values, block=4, resamples=50, seed=3)
    starts = np.random.default_rng(3).integers(11, size=(50, 3))
    for mean, row in zip(found, starts, strict=True):
        drawn = np.concatenate([values[(start + np.arange(4)) % 11] for start in row])
        np.testing.assert_allclose(mean, drawn.mean(0), atol=1e-12)


def test_columns_are_drawn_together() -> None:
    values = np.random.default_rng(0).normal(size=20)
    both = block_means(np.stack((values, values + 3), 1), block=5)
    np.testing.assert_allclose(both[:, 1] - both[:, 0], 3)
    np.testing.assert_allclose(both[:, 0], block_means(values, block=5))


def test_one_block_of_everything_is_the_mean() -> None:
    values = np.arange(7.0)
    np.testing.assert_allclose(block_means(values, block=7, resamples=9), 3)


@pytest.mark.parametrize("block", [0, 8])
def test_a_block_lies_within_the_values(block) -> None:
    with pytest.raises(ValueError, match="does not lie within 7 values"):
        block_means(np.arange(7.0), block=block)
