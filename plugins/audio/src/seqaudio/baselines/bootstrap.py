"""Intervals of a mean of per-sample bits: neighbouring samples are alike, so whole blocks are drawn anew.

Each clip is cut into blocks of some tenths of a second (Carlstein 1986); a resample draws as many blocks as there
are, with replacement, and its mean is the blocks' sum over their number of samples. Two models scored on the same
clips are compared block by block, which removes what both find hard. Only sums a block are kept:

    mine, theirs = blocks_of(bits_a, 4000), blocks_of(bits_b, 4000)
    difference_interval(mine, theirs).high < 0         # mine is better
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from seqsuite.errors import UserError

_DRAWN_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class Blocks:
    """Sums over blocks.

    Attributes:
        sums: Sum of each block's values: (n,).
        sizes: Number of its samples: (n,).
    """

    sums: np.ndarray
    sizes: np.ndarray

    @property
    def mean(self) -> float:
        """Mean over all samples."""
        return float(self.sums.sum() / self.sizes.sum())


@dataclass(frozen=True)
class Interval:
    """A mean and its interval.

    Attributes:
        mean: Mean over all samples.
        low: Lower end.
        high: Upper end.
        level: Share of resamples between the ends.
        blocks: Number of blocks.
        samples: Number of samples.
    """

    mean: float
    low: float
    high: float
    level: float
    blocks: int
    samples: int


def blocks_of(clips: Iterable[np.ndarray], length: int) -> Blocks:
    """Sum per-sample values over blocks; no block reaches over the end of a clip.

    Args:
        clips: Values of each clip: (L,).
        length: Samples a block; what is left at a clip's end is a shorter block.

    Raises:
        ValueError: The length is below 1.
    """
    if length < 1:
        raise ValueError(f"length: blocks of {length} samples are none")
    sums, sizes = [np.zeros(0)], [np.zeros(0, dtype=np.int64)]
    for values in clips:
        if len(values):
            starts = np.arange(0, len(values), length)
            sums.append(np.add.reduceat(np.asarray(values, dtype=np.float64), starts))
            sizes.append(np.diff(np.append(starts, len(values))))
    return Blocks(np.concatenate(sums), np.concatenate(sizes))


def mean_interval(blocks: Blocks, *, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Interval:
    """Return the mean with its percentile interval.

    Args:
        blocks: Sums over blocks, from `blocks_of`.
        level: Share of resamples between the ends.
        resamples: How many are drawn.
        seed: Of the draws.

    Raises:
        UserError: There are fewer than two blocks.
        ValueError: A level outside (0, 1), or no resamples.
    """
    if not 0 < level < 1 or resamples < 1:
        raise ValueError(f"level {level} must lie between 0 and 1, and resamples {resamples} be 1 or more")
    count = len(blocks.sums)
    if count < 2:
        raise UserError(f"An interval needs two blocks of samples or more, not {count}: take shorter blocks.")
    generator = np.random.default_rng(seed)
    means = np.empty(resamples)
    some = max(1, _DRAWN_AT_ONCE // count)
    for first in range(0, resamples, some):
        drawn = generator.integers(count, size=(min(some, resamples - first), count))
        means[first : first + len(drawn)] = blocks.sums[drawn].sum(axis=1) / blocks.sizes[drawn].sum(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(blocks.mean, float(low), float(high), level, count, int(blocks.sizes.sum()))


def difference_interval(
    first: Blocks, second: Blocks, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Interval:
    """Return the mean of first - second, paired sample by sample; arguments as of `mean_interval`.

    Raises:
        UserError: There are fewer than two blocks.
        ValueError: The two were not scored on the same blocks.
    """
    if not np.array_equal(first.sizes, second.sizes):
        raise ValueError("the two models were not scored on the same clips in blocks of the same length")
    return mean_interval(Blocks(first.sums - second.sums, first.sizes), level=level, resamples=resamples, seed=seed)
