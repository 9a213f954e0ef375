"""Open logged episodes, whatever they are stored in.

    open_episodes("hopper_medium-v2.hdf5")             # a D4RL file
    open_episodes("runs/cartpole")                     # a folder of a Minari set (HDF5 or Arrow)
    open_episodes("D4RL/pen/human-v2")                 # a Minari set that has been downloaded
    open_episodes("expert_cartpole.npz")               # a log of stable-baselines or imitation

All of it is read into memory and checked.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqrl.scores import reference_for
from seqsuite.errors import UserError, unknown_name

if TYPE_CHECKING:
    from seqrl.data.episodes import Episodes


def open_episodes(
    source: str | os.PathLike[str], *, env_id: str = "", max_episode_steps: int = 1000, check: bool = True
) -> Episodes:
    """Read all episodes of a source into memory.

    Args:
        source: A D4RL HDF5 file, the folder of a Minari set, the id of one in Minari's own folder, or an npz log.
        env_id: The environment of the data, where the source does not say it; its spaces are taken.
        max_episode_steps: Where D4RL files without timeouts are cut.
        check: Refuse what cannot be learned from, see `Episodes.check`.

    Raises:
        UserError: The source does not exist, is of no known kind, or holds bad values.
    """
    from seqrl.data.d4rl import read_d4rl
    from seqrl.data.minari_sets import local_folder, read_minari
    from seqrl.data.npz_logs import read_npz

    path = Path(source)
    if path.is_dir():
        episodes = read_minari(path)
    elif path.is_file():
        kind = _kind(path)
        if kind == "minari":
            episodes = read_minari(path.parent)
        else:
            episodes = read_npz(path) if kind == "npz" else read_d4rl(path, max_episode_steps=max_episode_steps)
    else:
        folder = None if isinstance(source, Path) else local_folder(str(source))
        if folder is None:
            raise _missing(source)
        episodes = read_minari(folder)
    if env_id:
        episodes = with_environment(episodes, env_id)
    return episodes.check() if check else episodes


def _kind(path: Path) -> str:
    """Tell a file's kind by its first bytes; names lie."""
    with open(path, "rb") as file:
        head = file.read(8)
    if not head:
        raise UserError(f"{path}: is empty")
    if head[:2] == b"PK":
        return "npz"
    if head != b"\x89HDF\r\n\x1a\n":
        raise UserError(
            f"{path}: neither HDF5 nor npz (it begins with {head!r}); give a D4RL file, the folder of a Minari set "
            "or an npz log"
        )
    return "minari" if path.name == "main_data.hdf5" and (path.parent / "metadata.json").is_file() else "d4rl"


def _missing(source: str | os.PathLike[str]) -> UserError:
    """Say that there is no such source, and how to get it where its name is known."""
    from seqrl.data.d4rl_table import D4RL_URLS
    from seqrl.data.minari_sets import local_ids

    name = os.fspath(source)
    if name in D4RL_URLS:
        return UserError(f"{name}: no such file; get it with `seqrl fetch {name}`")
    folder = Path(source).parent
    near = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    known = [*near, *(str(folder / entry) for entry in near), *local_ids()]
    return unknown_name("data (no such file, folder or Minari set)", name, known)


def with_environment(episodes: Episodes, env_id: str) -> Episodes:
    """Say which environment the episodes are of: its spaces and its references are taken.

    Args:
        episodes: What a file without spaces gave.
        env_id: As gymnasium names it.

    Raises:
        UserError: There is no such environment, or its shapes are not the data's.
    """
    from seqrl.environments import make_environment

    environment = make_environment(env_id)
    spec = environment.spec
    spaces: dict[str, Any] = {
        "observation_space": environment.observation_space,
        "action_space": environment.action_space,
    }
    environment.close()
    for name, values in (("observation_space", episodes.observations), ("action_space", episodes.actions)):
        shape = spaces[name].shape
        if shape is not None and shape != values.shape[1:]:
            raise UserError(
                f"{episodes.source}: one {name.removesuffix('_space')} has shape {values.shape[1:]}, in {env_id} "
                f"{shape}; name the environment of the data"
            )
    return replace(
        episodes,
        **spaces,
        env_id=env_id,
        env_spec="" if spec is None else spec.to_json(),
        reference=episodes.reference or reference_for(env_id),
        notes=tuple(note for note in episodes.notes if "space" not in note),
    )
