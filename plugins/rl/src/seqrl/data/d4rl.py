"""D4RL's HDF5 files (Fu et al. 2020, arXiv:2004.07219): flat arrays over all steps, written and read without `d4rl`.

A file holds `observations`, `actions`, `rewards`, `terminals`, mostly `timeouts`, sometimes `next_observations`,
`infos/...` and `metadata/...`. Rows after the last terminal or timeout are dropped, as the public readers do.
What the format cannot say (spaces, environment, seeds) our writer adds as one text, `metadata/seqrl`.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seqrl.data.records import episode_records, record_fields, unpack
from seqrl.scores import reference_for
from seqsuite.errors import UserError, suggest

if TYPE_CHECKING:
    import h5py

    from seqrl.data.episodes import Episodes

REQUIRED = ("observations", "actions", "rewards", "terminals")
_KNOWN = (*REQUIRED, "timeouts", "next_observations")
_ENVIRONMENTS = {"hopper": "Hopper-v2", "halfcheetah": "HalfCheetah-v2", "walker2d": "Walker2d-v2", "ant": "Ant-v2"}


def read_d4rl(path: str | os.PathLike[str], *, max_episode_steps: int = 1000) -> Episodes:
    """Read a D4RL file whole.

    Args:
        path: The HDF5 file.
        max_episode_steps: In a file without timeouts, episodes are cut after so many steps.

    Returns:
        The episodes. `final_observations` are known where the file has `next_observations`. Spaces, which D4RL's
        own files do not hold, are inferred: floats as unbounded observations and as actions within -1 and 1
        (or what occurs, if that is wider), integers as Discrete actions.

    Raises:
        UserError: No HDF5, cut short, a key is missing, lengths differ, or no episode ends.
    """
    from seqrl.data.episodes import Episodes

    if max_episode_steps < 1:
        raise UserError(f"max_episode_steps is {max_episode_steps}; it must be at least 1")
    source = str(path)
    with _opened(path) as file:
        arrays = _read_arrays(file, source)
    _check_rows(arrays, source)
    terminals = _flags(arrays["terminals"], "terminals", source)
    notes: list[str] = []
    timeouts, offsets = _episode_ends(arrays, terminals, max_episode_steps, source, notes)
    steps = int(offsets[-1])
    metadata, record = _metadata(arrays)
    infos = {key.removeprefix("infos/"): values[:steps] for key, values in arrays.items() if key.startswith("infos/")}
    extra = [key for key in arrays if key not in _KNOWN and not key.startswith(("infos/", "metadata/"))]
    if extra:
        notes.append(f"left out: {', '.join(extra)}")
    finals = None
    if "next_observations" in arrays:
        finals, surplus = _final_observations(arrays["observations"], arrays["next_observations"], offsets)
        infos |= {"next_observations": surplus} if surplus is not None else {}
    final_infos = unpack(record.pop("final_infos", {}))
    fields = _inferred(source, arrays, notes) | record_fields(record)
    return Episodes(
        observations=arrays["observations"][:steps],
        actions=arrays["actions"][:steps],
        rewards=_column(arrays["rewards"])[:steps].astype(np.float64),
        terminations=terminals[:steps],
        truncations=timeouts[:steps],
        offsets=offsets,
        final_observations=finals,
        infos=infos,
        final_infos=final_infos,
        metadata=metadata,
        source=source,
        reward_type=arrays["rewards"].dtype.name,
        notes=tuple(notes),
        **fields,
    )


def write_d4rl(episodes: Episodes, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write episodes as a D4RL file, whole or not at all.

    Args:
        episodes: Observations and actions of one array each; those of Dict and Tuple spaces stay flattened.
        path: The HDF5 file.
        overwrite: Replace an existing file.

    Returns:
        The path.

    Raises:
        UserError: The file exists, or an episode does not end with a termination or truncation, which this
            format needs to tell episodes apart.
    """
    import h5py

    target = Path(path)
    if target.exists() and not overwrite:
        raise UserError(f"{target} exists; give --overwrite to replace it")
    arrays = _to_arrays(episodes)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with h5py.File(temporary, "w") as file:
            for key, values in arrays.items():
                packed = isinstance(values, np.ndarray) and values.ndim > 0 and values.size > 0
                file.create_dataset(key, data=values, compression="gzip" if packed else None)
        os.replace(temporary, target)
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return target


def _to_arrays(episodes: Episodes) -> dict[str, Any]:
    """Return the contents of the file: key -> array or text."""
    ends = episodes.offsets[1:] - 1
    flags = episodes.terminations | episodes.truncations
    open_ended = np.flatnonzero(~flags[ends])
    inside = np.flatnonzero(flags)
    inside = inside[~np.isin(inside, ends)]
    if len(open_ended):
        raise UserError(
            f"{episodes.source}: episode {open_ended[0]} neither terminates nor is truncated; D4RL needs it"
        )
    if len(inside):
        raise UserError(
            f"{episodes.source}: {episodes.where(int(inside[0]))} ends an episode that goes on; D4RL cannot"
        )
    arrays: dict[str, Any] = {
        "observations": episodes.observations,
        "actions": episodes.actions,
        "rewards": episodes.rewards.astype(episodes.reward_type),
        "terminals": episodes.terminations,
        "timeouts": episodes.truncations,
    }
    infos = dict(episodes.infos)
    if episodes.final_observations is not None:
        following = np.roll(episodes.observations, -1, axis=0)
        following[ends] = episodes.final_observations
        arrays["next_observations"] = infos.pop("next_observations", following)
    arrays |= {f"infos/{name}": values for name, values in infos.items()}
    arrays |= {f"metadata/{name}": values for name, values in episodes.metadata.get("d4rl", {}).items()}
    arrays["metadata/seqrl"] = json.dumps(episode_records(episodes, whole=True))
    return arrays


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """Open a file for reading; faults of the file become one line."""
    import h5py

    if not Path(path).is_file():
        raise UserError(f"{path}: no such file")
    if Path(path).stat().st_size == 0:
        raise UserError(f"{path}: is empty")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        what = "is cut short" if "truncated" in str(error) else "is no HDF5 file, or a damaged one"
        raise UserError(f"{path}: {what} ({' '.join(str(error).split())}); fetch it again") from error
    with file:
        yield file


def _read_arrays(file: h5py.File, source: str) -> dict[str, Any]:
    """Return all datasets by their full names."""
    import h5py

    keys: list[str] = []
    file.visititems(lambda name, item: keys.append(name) if isinstance(item, h5py.Dataset) else None)
    for key in REQUIRED:
        if key not in keys:
            others = [name for name in keys if not name.startswith(("infos/", "metadata/"))]
            raise UserError(f"{source}: has no {key!r}, which a D4RL file must have.{suggest(key, others)}")
    arrays = {}
    for key in keys:
        try:
            arrays[key] = file[key][()]
        except (OSError, RuntimeError) as error:
            raise UserError(
                f"{source}: {key!r} cannot be read: the file is cut short or damaged; fetch it again"
            ) from error
    return arrays


def _check_rows(arrays: dict[str, Any], source: str) -> None:
    """Refuse step arrays that are not numbers or not of one length."""
    for key, values in arrays.items():
        if key.startswith("metadata/"):
            continue
        if key in _KNOWN and (not isinstance(values, np.ndarray) or values.ndim < 1 or values.dtype.kind not in "biuf"):
            raise UserError(f"{source}: {key!r} is no array of numbers")
        if (key in _KNOWN or key.startswith("infos/")) and len(values) != len(arrays["observations"]):
            raise UserError(
                f"{source}: {key!r} has {len(values)} rows, 'observations' {len(arrays['observations'])}; "
                "every step needs all of them"
            )
    if not len(arrays["observations"]):
        raise UserError(f"{source}: holds no steps")


def _column(values: NDArray[Any]) -> NDArray[Any]:
    """Return (N,) of (N,) or (N, 1)."""
    return values.reshape(len(values), -1)[:, 0]


def _flags(values: NDArray[Any], key: str, source: str) -> NDArray[np.bool_]:
    column = _column(values)
    if values.size != len(values) or not np.isin(column, (0, 1)).all():
        raise UserError(f"{source}: {key!r} must be one 0 or 1 a row")
    return column.astype(bool)


def _episode_ends(
    arrays: dict[str, Any], terminals: NDArray[np.bool_], max_episode_steps: int, source: str, notes: list[str]
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Return the timeouts, the file's or ours, and where episodes begin and end."""
    if arrays["rewards"].size != len(terminals):
        raise UserError(f"{source}: 'rewards' has shape {arrays['rewards'].shape}; it must be one number a row")
    if "timeouts" in arrays:
        timeouts = _flags(arrays["timeouts"], "timeouts", source)
    else:
        timeouts = _cut(terminals, max_episode_steps)
        notes.append(f"the file has no timeouts: episodes were cut after {max_episode_steps} steps")
    ends = np.flatnonzero(terminals | timeouts) + 1
    if not len(ends):
        raise UserError(
            f"{source}: none of its {len(terminals)} rows ends an episode (no terminal, no timeout"
            + (")" if "timeouts" in arrays else f", fewer than {max_episode_steps} steps)")
        )
    rest = len(terminals) - int(ends[-1])
    if rest:
        notes.append(f"dropped the last {rest} rows: no terminal or timeout ends them")
    return timeouts, np.concatenate([[0], ends]).astype(np.int64)


def _cut(terminals: NDArray[np.bool_], limit: int) -> NDArray[np.bool_]:
    """Mark every limit-th step of what lies between terminals."""
    rows = np.arange(len(terminals))
    starts = np.concatenate([[0], np.flatnonzero(terminals)[:-1] + 1, np.flatnonzero(terminals)[-1:] + 1])
    starts = np.unique(starts[starts < len(terminals)])
    since = rows - starts[np.searchsorted(starts, rows, side="right") - 1]
    return (since % limit == limit - 1) & ~terminals


def _final_observations(
    observations: NDArray[Any], following: NDArray[Any], offsets: NDArray[np.int64]
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Return what followed each episode, and all of `next_observations` if it is not just the next row."""
    steps = int(offsets[-1])
    ends = offsets[1:] - 1
    inside = np.ones(steps, dtype=bool)
    inside[ends] = False
    rows = np.flatnonzero(inside)
    same = np.array_equal(following[rows], observations[rows + 1])
    return following[ends], None if same else following[:steps]


def _metadata(arrays: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the file says of itself, and our own record in it."""
    said = {key.removeprefix("metadata/"): value for key, value in arrays.items() if key.startswith("metadata/")}
    text = said.pop("seqrl", b"{}")
    record = json.loads(text)
    metadata = unpack(record.pop("metadata", {}))
    return metadata | ({"d4rl": {name: _plain(value) for name, value in said.items()}} if said else {}), record


def _plain(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _inferred(source: str, arrays: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    """Return spaces, environment and references of a file that does not say them."""
    stem = Path(source).stem
    name = stem.replace("_", "-")
    fields = inferred_spaces(arrays["observations"], arrays["actions"])
    fields |= {"reference": reference_for(name), "env_id": _ENVIRONMENTS.get(name.partition("-")[0], "")}
    if "metadata/seqrl" not in arrays:
        notes.append("the file does not say its spaces: they were inferred from the values")
    return fields


def inferred_spaces(observations: NDArray[Any], actions: NDArray[Any]) -> dict[str, Any]:
    """Return the spaces that values suggest, see `read_d4rl`."""
    from gymnasium.spaces import Box, Discrete, MultiDiscrete

    def box(values: NDArray[Any], bound: float) -> Box:
        if values.dtype == np.uint8:
            return Box(0, 255, values.shape[1:], np.uint8)
        return Box(-bound, bound, values.shape[1:], values.dtype.type)

    if observations.dtype.kind in "iu" and observations.dtype != np.uint8 and observations.ndim == 1:
        seen: Any = Discrete(int(observations.max()) + 1)
    elif observations.dtype.kind in "iu" and observations.dtype != np.uint8:
        limits = np.iinfo(observations.dtype)
        seen = Box(limits.min, limits.max, observations.shape[1:], observations.dtype.type)
    else:
        seen = box(observations, np.inf)
    if actions.dtype.kind in "iub":
        single = actions.ndim == 1
        done: Any = Discrete(int(actions.max()) + 1) if single else MultiDiscrete(actions.max(0).astype(np.int64) + 1)
    else:
        finite = actions[np.isfinite(actions)]
        done = box(actions, max(1.0, float(np.abs(finite).max(initial=0.0))))
    return {"observation_space": seen, "action_space": done}
