"""npz logs of stable-baselines and imitation: flat arrays and `episode_starts`.

Both hold `obs`, `actions`, `rewards`, `episode_starts` and `episode_returns`; imitation's also `next_obs` and one
`terminal` an episode.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seqrl.data.d4rl import inferred_spaces
from seqsuite.errors import UserError, suggest

if TYPE_CHECKING:
    from seqrl.data.episodes import Episodes

REQUIRED = ("obs", "actions", "rewards", "episode_starts")


def read_npz(path: str | os.PathLike[str]) -> Episodes:
    """Read an npz log of either kind.

    Args:
        path: The file.

    Returns:
        The episodes; spaces are inferred as for D4RL's files. Where the file does not say how episodes ended,
        they count as truncated, and a note says so.

    Raises:
        UserError: No npz, cut short, a key is missing, or lengths differ.
    """
    from seqrl.data.episodes import Episodes

    source = str(path)
    arrays = _load(Path(path))
    starts, actions = _checked(arrays, source)
    offsets = np.append(np.flatnonzero(starts), len(starts)).astype(np.int64)
    notes = ["the file does not say its spaces: they were inferred from the values"]
    ends = offsets[1:] - 1
    terminal = arrays.get("terminal")
    if terminal is None:
        terminal = np.zeros(len(ends), dtype=bool)
        notes.append("the file does not say how episodes ended: they count as truncated")
    elif terminal.shape != (len(ends),):
        raise UserError(f"{source}: 'terminal' has shape {terminal.shape}; the file has {len(ends)} episodes")
    else:
        notes.append("'terminal' is taken at its word; such logs set it at time limits too")
    terminations = np.zeros(len(starts), dtype=bool)
    truncations = np.zeros(len(starts), dtype=bool)
    terminations[ends], truncations[ends] = terminal, ~terminal.astype(bool)
    rewards = arrays["rewards"].reshape(-1)
    episodes = Episodes(
        observations=arrays["obs"],
        actions=actions,
        rewards=rewards.astype(np.float64),
        terminations=terminations,
        truncations=truncations,
        offsets=offsets,
        final_observations=arrays["next_obs"][ends] if "next_obs" in arrays else None,
        source=source,
        reward_type=rewards.dtype.name,
        notes=tuple(notes),
        **inferred_spaces(arrays["obs"], actions),
    )
    _check_returns(episodes, arrays)
    return episodes


def _load(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays; what would need pickle is refused, for a log must not run code."""
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise UserError(f"{path}: is empty")
    try:
        with np.load(path, allow_pickle=False) as file:
            if not hasattr(file, "files"):
                raise UserError(f"{path}: one array, no npz")
            for key in REQUIRED:
                if key not in file.files:
                    raise UserError(f"{path}: has no {key!r}, which a log must have.{suggest(key, file.files)}")
            known = (*REQUIRED, "next_obs", "terminal", "episode_returns")
            return {key: file[key] for key in known if key in file.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        why = "holds Python objects, which are not read" if "pickle" in str(error) else "is no npz, or cut short"
        raise UserError(f"{path}: {why} ({' '.join(str(error).split())})") from error


def _checked(arrays: dict[str, NDArray[Any]], source: str) -> tuple[NDArray[np.bool_], NDArray[Any]]:
    """Return where episodes begin and the actions, of one length with the rest."""
    rows = len(arrays["obs"])
    for key in ("actions", "rewards", "episode_starts", "next_obs"):
        if key in arrays and len(arrays[key]) != rows:
            raise UserError(
                f"{source}: {key!r} has {len(arrays[key])} rows, 'obs' {rows}; every step needs all of them"
            )
    if not rows:
        raise UserError(f"{source}: holds no steps")
    starts = arrays["episode_starts"].reshape(-1).astype(bool)
    if not starts[0]:
        raise UserError(f"{source}: row 0 begins no episode ('episode_starts')")
    actions = arrays["actions"]
    # stable-baselines keeps choices as a column.
    return starts, actions[:, 0] if actions.dtype.kind in "iu" and actions.shape[1:] == (1,) else actions


def _check_returns(episodes: Episodes, arrays: dict[str, NDArray[Any]]) -> None:
    """Compare with the returns that the file states: they tell whether episodes were cut where they should be."""
    stated = arrays.get("episode_returns")
    if stated is None:
        return
    if stated.shape != episodes.returns.shape:
        raise UserError(f"{episodes.source}: {len(stated)} 'episode_returns', {len(episodes)} episodes")
    wrong = np.flatnonzero(~np.isclose(stated, episodes.returns, rtol=1e-3, atol=1e-3, equal_nan=True))
    if len(wrong):
        episode = int(wrong[0])
        raise UserError(
            f"{episodes.source}: the rewards of episode {episode} sum to {episodes.returns[episode]:g}, "
            f"'episode_returns' says {stated[episode]:g}"
        )
