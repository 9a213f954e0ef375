"""What is wrong with a set of episodes, in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seqsuite.errors import UserError

if TYPE_CHECKING:
    from gymnasium import Space

    from seqrl.data.episodes import Episodes


def check_episodes(episodes: Episodes) -> None:
    """Raise the first fault found; see `Episodes.check`."""
    source = episodes.source or "episodes"
    _check_lengths(episodes, source)
    for name in ("observations", "actions", "rewards"):
        row = first_bad_row(getattr(episodes, name))
        if row is not None:
            raise UserError(f"{source}: {name}: {episodes.where(row)} is not finite (NaN or infinite)")
    if episodes.final_observations is not None:
        row = first_bad_row(episodes.final_observations)
        if row is not None:
            raise UserError(f"{source}: the final observation of episode {row} is not finite (NaN or infinite)")
    outside = outside_rows(episodes.action_space, episodes.actions)
    if outside.any():
        row = int(outside.argmax())
        raise UserError(
            f"{source}: actions: {episodes.where(row)} is {_short(episodes.actions[row])}, out of the space "
            f"{_space_words(episodes.action_space)}; {int(outside.sum())} such rows"
        )


def _check_lengths(episodes: Episodes, source: str) -> None:
    if len(episodes) < 1:
        raise UserError(f"{source}: holds no episode")
    empty = np.flatnonzero(episodes.lengths < 1)
    if len(empty):
        raise UserError(f"{source}: episode {empty[0]} has no steps; leave it out")
    for name in ("observations", "actions", "terminations", "truncations"):
        if len(getattr(episodes, name)) != episodes.steps:
            raise UserError(f"{source}: {name} has {len(getattr(episodes, name))} rows, rewards {episodes.steps}")
    if episodes.offsets[-1] != episodes.steps:
        raise UserError(f"{source}: the episodes end at row {episodes.offsets[-1]}, the arrays at {episodes.steps}")


def first_bad_row(array: NDArray[Any]) -> int | None:
    """Return the first row that holds NaN or an infinite number."""
    if not np.issubdtype(array.dtype, np.floating):
        return None
    good = np.isfinite(array).reshape(len(array), -1).all(1)
    return None if good.all() else int(good.argmin())


def outside_rows(space: Space[Any], values: NDArray[Any]) -> NDArray[np.bool_]:
    """Say of each row whether it lies outside a space; of spaces that are neither Box nor Discrete, of none.

    A Box is given a hundred-thousandth of slack: files keep 32-bit roundings of their bounds.
    """
    from gymnasium.spaces import Box, Discrete, MultiDiscrete

    if isinstance(space, Discrete):
        bad = (values < space.start) | (values >= space.start + space.n)
    elif isinstance(space, Box):
        low, high = space.low.astype(np.float64), space.high.astype(np.float64)
        floats = np.issubdtype(space.dtype, np.floating)
        with np.errstate(invalid="ignore"):
            slack = [
                np.where(np.isfinite(bound) & floats, 1e-5 * np.maximum(1, np.abs(bound)), 0) for bound in (low, high)
            ]
        bad = (values < low - slack[0]) | (values > high + slack[1])
    elif isinstance(space, MultiDiscrete):
        bad = (values < space.start) | (values >= space.start + space.nvec)
    else:
        return np.zeros(len(values), dtype=bool)
    return np.any(np.reshape(bad, (len(values), -1)), axis=1)


def _short(value: NDArray[Any]) -> str:
    return np.array2string(np.asarray(value), precision=4, threshold=8, separator=", ")


def _space_words(space: Space[Any]) -> str:
    text = str(space)
    return text if len(text) < 120 else f"{text[:117]}..."
