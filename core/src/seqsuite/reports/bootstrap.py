"""Resampling of values that depend on their neighbours: blocks of consecutive ones are drawn, around a circle.

    means = block_means(errors, block=24)                  # (T, K) -> (resamples, K)
    low, high = np.quantile(means[:, 0] - means[:, 1], [0.025, 0.975])

Blocks of consecutive values keep the dependence within them (Kunsch 1989); the end is joined to the start, so that
every value is drawn as often as any other (Politis and Romano 1992).
"""

from __future__ import annotations

import numpy as np

_AT_ONCE = 1 << 22
"""Numbers of blocks in memory at once."""


def block_means(values: np.ndarray, *, block: int, resamples: int = 2000, seed: int = 0) -> np.ndarray:
    """Return the means of resamples, each of whole blocks that hold as many values as there are, or a few more.

    Args:
        values: (T,) or (T, K), in their order; the K columns are drawn together.
        block: Consecutive values that are drawn together, 1 to T.
        resamples: How many.
        seed: Of the draws.

    Returns:
        (resamples,) or (resamples, K) float64.

    Raises:
        ValueError: There are no values, or the block is none of them.
    """
    values = np.asarray(values, dtype=np.float64)
    count = len(values)
    if not 1 <= block <= count:
        raise ValueError(f"a block of {block} does not lie within {count} values")
    need = -(-count // block)
    # Sums of every block from a running sum: a resample is then a few numbers.
    around = np.concatenate((values, values[: block - 1]))
    running = np.concatenate((np.zeros_like(values[:1]), np.cumsum(around, axis=0)))
    sums = running[block:] - running[:-block]  # (T, ...)
    generator = np.random.default_rng(seed)
    means = []
    some = max(1, _AT_ONCE // (need * max(1, values[0].size)))
    for start in range(0, resamples, some):
        drawn = generator.integers(count, size=(min(some, resamples - start), need))
        means.append(sums[drawn].sum(1) / (need * block))
    return np.concatenate(means)
