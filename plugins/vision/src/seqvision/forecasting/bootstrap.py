"""Intervals of differences between two forecasters on the same windows.

Neighbouring windows share most of their rows, so blocks of consecutive windows are drawn (see
`seqsuite.reports.bootstrap`). A block is as long as a window, look-back and horizon, but at most a fifth of the
windows, with which few independent stretches are left: such intervals tell little, and `Difference.blocks` says how
many stretches there are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seqsuite.reports.bootstrap import block_means

_LEAST_BLOCKS = 5


@dataclass(frozen=True)
class Difference:
    """A mean difference with its interval.

    Attributes:
        mean: First minus second, over all windows.
        low: Lower end.
        high: Upper end.
        level: Share of resamples between the ends.
        block: Windows of a block.
        blocks: Blocks that the windows hold.
    """

    mean: float
    low: float
    high: float
    level: float
    block: int
    blocks: float


def paired_difference(
    first: np.ndarray,
    second: np.ndarray,
    *,
    span: int,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Difference:
    """Compare the errors of two forecasters on the same windows.

    Args:
        first: (W,) errors of the one, in the order of time.
        second: (W,) errors of the other.
        span: Rows of a window, look-back and horizon: the block's length where the windows allow it.
        level: Share of resamples between the ends.
        resamples: How many are drawn.
        seed: Of the draws.

    Raises:
        ValueError: The two do not have the same number of windows.
    """
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise ValueError(f"errors must be of the same windows, got {first.shape} and {second.shape}")
    difference = np.asarray(first, dtype=np.float64) - second
    count = len(difference)
    block = max(1, min(span, count // _LEAST_BLOCKS))
    means = block_means(difference, block=block, resamples=resamples, seed=seed)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Difference(float(difference.mean()), float(low), float(high), level, block, count / block)
