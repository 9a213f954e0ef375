"""Interquartile means and their bootstrap intervals, with the definitions of `rliable`.

    interquartile_mean(returns)                   # (E,): of episodes
    bootstrap_interval(scores)                    # (R, T): of R runs on T tasks, drawn within each task

Agarwal et al. 2021, "Deep RL at the Edge of the Statistical Precipice", https://arxiv.org/abs/2108.13264.
Episodes of one policy say how sure one is of that policy; only runs from several seeds say something of a method.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_AT_ONCE = 1 << 22
"""Numbers in memory at once."""


def interquartile_mean(scores: Any) -> float:
    """Return the mean of the middle half, a quarter of the values (rounded down) left out at each end.

    Args:
        scores: Any shape; all values count alike.

    Raises:
        ValueError: There are none.
    """
    values = np.sort(np.asarray(scores, dtype=np.float64), axis=None)
    if not values.size:
        raise ValueError("there are no scores")
    return float(_middle(values[None])[0])


def bootstrap_interval(
    scores: Any, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the interquartile mean.

    Args:
        scores: (R,) episodes or runs, or (R, T) runs of T tasks, drawn within each task.
        level: Its coverage, between 0 and 1.
        resamples: How many.
        seed: Of the draws.

    Raises:
        ValueError: There are no scores.
    """
    values = np.asarray(scores, dtype=np.float64)
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or not values.size:
        raise ValueError(f"scores must be (R,) or (R, T), got {np.shape(scores)}")
    runs, tasks = values.shape
    generator = np.random.default_rng(seed)
    some = max(1, _AT_ONCE // values.size)
    found = []
    for start in range(0, resamples, some):
        drawn = generator.integers(runs, size=(min(some, resamples - start), runs, tasks))
        found.append(_middle(np.sort(values[drawn, np.arange(tasks)].reshape(len(drawn), -1), axis=-1)))
    low, high = np.quantile(np.concatenate(found), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _middle(ordered: np.ndarray) -> np.ndarray:
    """Return the means (n,) of the middle halves of sorted rows (n, m)."""
    cut = ordered.shape[1] // 4
    return ordered[:, cut : ordered.shape[1] - cut].mean(-1)
