"""Minari's sets (HDF5 and Arrow): read whole into flat arrays, written through Minari's storage classes, without JAX.

    write_minari(episodes, "runs/cartpole", data_format="arrow")       # a folder, wherever
    write_minari(episodes, "minari:cartpole/mixed-v0")                 # an id in Minari's own folder
    minari.MinariDataset("runs/cartpole/data")                         # Minari reads it

Minari keeps one observation more than actions. Where ours do not know the last one, the writer repeats the one
before and says so in its record, so that reading gives back what was written.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from seqrl.data.records import episode_records, pack, record_fields, unpack
from seqrl.scores import Reference, reference_for
from seqrl.spaces import flatten_elements, is_nested, space_from_json, space_to_json, unflatten_elements
from seqsuite.errors import UserError

if TYPE_CHECKING:
    from gymnasium import Space
    from minari.data_collector.episode_buffer import EpisodeBuffer

    from seqrl.data.episodes import Episodes

DataFormat = Literal["hdf5", "arrow"]

# What the format itself keeps; the rest of metadata.json is `Episodes.metadata`.
_STRUCTURE = (
    "total_episodes total_steps data_format jpeg_encoding observation_space action_space env_spec minari_version "
    "ref_min_score ref_max_score dataset_size dataset_id seqrl num_episodes_average_score"
).split()


def read_minari(folder: str | os.PathLike[str]) -> Episodes:
    """Read a Minari set whole.

    Args:
        folder: Its folder, the one that holds `data`, or `data` itself.

    Raises:
        UserError: No Minari set, a file is missing or damaged, or lengths differ.
    """
    from seqrl.data.episodes import Episodes
    from seqrl.data.minari_reading import read_steps

    source = str(folder)
    data = _data_folder(Path(folder))
    said = _metadata(data)
    record = said.get("seqrl", {})
    spaces = _spaces(said, source)
    steps, notes = read_steps(data, said, spaces, source)
    if record.get("final_observations") is False:
        steps["final_observations"] = None
    if record.get("final_infos") is False:
        steps["final_infos"] = {}
    rewards = steps.pop("rewards")
    env_spec = said.get("env_spec") or ""
    fields: dict[str, Any] = {"env_id": _env_id(env_spec), "env_spec": env_spec, "reference": _reference(said)}
    fields |= record_fields(record)
    return Episodes(
        **steps,
        **spaces,
        **fields,
        rewards=rewards.astype(np.float64),
        reward_type=rewards.dtype.name,
        metadata=unpack({name: value for name, value in said.items() if name not in _STRUCTURE}),
        source=source,
        notes=tuple(notes),
    )


def write_minari(
    episodes: Episodes,
    target: str | os.PathLike[str],
    *,
    data_format: DataFormat = "hdf5",
    overwrite: bool = False,
) -> Path:
    """Write episodes as a Minari set, whole or not at all.

    Images are kept as they are, not as JPEG, which Minari's own default would make of them.

    Args:
        episodes: The set; its `metadata` (author, description, ...) goes along.
        target: A folder, or "minari:ID" for a set in Minari's own folder.
        data_format: hdf5 or arrow.
        overwrite: Replace what is there.

    Returns:
        The folder of the set.

    Raises:
        UserError: Something is there, the id is malformed, or the disk refuses.
    """
    if data_format not in ("hdf5", "arrow"):
        raise UserError(f"data_format is {data_format!r}; it must be hdf5 or arrow")
    folder, identity = _place(target)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        if not overwrite:
            raise UserError(f"{folder} exists; give --overwrite to replace it")
        if not is_bare_set(folder):
            raise UserError(f"{folder} holds something other than a Minari set; it is not replaced")
    # Minari adds up relative paths twice.
    temporary = folder.absolute().with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        (temporary / "data").mkdir(parents=True)
        _write_data(episodes, temporary / "data", identity, data_format)
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(temporary, folder)
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _write_data(episodes: Episodes, data: Path, identity: str, data_format: DataFormat) -> None:
    """Fill the data folder with Minari's storage classes."""
    import minari
    from minari.dataset.minari_storage import MinariStorage

    storage = MinariStorage.new(
        data,
        observation_space=episodes.observation_space,
        action_space=episodes.action_space,
        data_format=data_format,
        jpeg_encoding=False,
    )
    record = episode_records(episodes, whole=False) | {
        "final_observations": episodes.final_observations is not None,
        "final_infos": bool(episodes.final_infos),
        "info_types": {name: [v.dtype.name, list(v.shape[1:])] for name, v in episodes.infos.items()},
    }
    # Minari counts the bytes of all files after every episode; once, at the end, is enough.
    storage.get_size = lambda: 0.0  # type: ignore[method-assign]
    storage.update_episodes(_buffers(episodes, alike=data_format == "arrow"))
    del storage.get_size
    said = {name: pack(value) for name, value in episodes.metadata.items() if name not in _STRUCTURE}
    said |= {"dataset_id": identity, "minari_version": minari.__version__, "seqrl": record}
    if episodes.env_spec:
        said["env_spec"] = episodes.env_spec
    if episodes.reference is not None:
        said |= {"ref_min_score": episodes.reference.minimum, "ref_max_score": episodes.reference.maximum}
    path = data / "metadata.json"
    saved = json.loads(path.read_text(encoding="utf-8")) | said | {"dataset_size": float(storage.get_size())}
    path.write_text(json.dumps(saved), encoding="utf-8")


def _buffers(episodes: Episodes, *, alike: bool) -> Iterator[EpisodeBuffer]:
    """Yield Minari's buffers; the last observation and infos are repeated where they are not known.

    Args:
        episodes: The set.
        alike: Infos get as many rows as observations, which Arrow's tables need.
    """
    from minari.data_collector.episode_buffer import EpisodeBuffer

    for number in range(len(episodes)):
        episode = episodes.episode(number)
        final = episode.final_observation
        last = episode.observations[-1:] if final is None else final[None]
        infos = {}
        for name, values in episode.infos.items():
            more = episodes.final_infos[name][number][None] if name in episodes.final_infos else values[-1:]
            infos[name] = np.concatenate([values, more]) if alike or name in episodes.final_infos else values
        yield EpisodeBuffer(
            id=number,
            seed=episodes.seeds[number] if episodes.seeds else None,
            options=episodes.options[number] if episodes.options else None,
            observations=_structured(episodes.observation_space, np.concatenate([episode.observations, last])),
            actions=_structured(episodes.action_space, episode.actions),
            rewards=episode.rewards.astype(episodes.reward_type),  # type: ignore[arg-type]
            terminations=episode.terminations,  # type: ignore[arg-type]
            truncations=episode.truncations,  # type: ignore[arg-type]
            infos=_nested(infos, flat=alike) or None,
        )


def _structured(space: Space[Any], values: NDArray[Any]) -> Any:
    return unflatten_elements(space, values) if is_nested(space) else values


def _nested(infos: dict[str, NDArray[Any]], *, flat: bool) -> dict[str, Any]:
    """Return "a/b" as b within a; for Arrow, where Minari cannot read that, full names."""
    nested: dict[str, Any] = {}
    for name, values in infos.items():
        if flat:
            nested[name] = values.reshape(len(values), -1)
            continue
        *above, last = name.split("/")
        group = nested
        for part in above:
            group = group.setdefault(part, {})
        group[last] = values
    return nested


def _place(target: str | os.PathLike[str]) -> tuple[Path, str]:
    """Return the folder and the id of a set to be written."""
    from minari.dataset.minari_dataset import DATASET_ID_RE

    if isinstance(target, str) and target.startswith("minari:"):
        identity = target.removeprefix("minari:")
        match = DATASET_ID_RE.fullmatch(identity)
        if match is None or match["version"] is None:
            raise UserError(f"{target}: no id of a Minari set; those are like minari:cartpole/mixed-v0")
        folder = _own_folder() / identity
        _register_namespace(match["namespace"])
        return folder, identity
    folder = Path(target)
    name = re.sub(r"[^-\w]", "-", folder.resolve().name) or "data"
    folder.parent.mkdir(parents=True, exist_ok=True)
    return folder, name if re.search(r"-v\d+$", name) else f"{name}-v0"


def _register_namespace(namespace: str | None) -> None:
    from minari.namespace import create_namespace, list_local_namespaces

    if namespace is not None and namespace not in list_local_namespaces():
        create_namespace(namespace)


def _own_folder() -> Path:
    """Minari's folder of sets, without making it."""
    named = os.environ.get("MINARI_DATASETS_PATH")
    return Path(named) if named else Path.home() / ".minari" / "datasets"


def local_ids() -> list[str]:
    """Return the ids of the Minari sets on this machine."""
    root = _own_folder()
    return sorted(str(path.parents[1].relative_to(root)) for path in root.glob("**/data/metadata.json"))


def local_folder(name: str) -> Path | None:
    """Return the folder of a set on this machine by its id ("minari:" before it is allowed), or None."""
    folder = _own_folder() / name.removeprefix("minari:")
    return folder if _is_set(folder) else None


def _is_set(folder: Path) -> bool:
    return (folder / "data" / "metadata.json").is_file() or (folder / "metadata.json").is_file()


def is_bare_set(folder: Path) -> bool:
    """Tell whether a folder holds a Minari set and nothing beside it, such as a run, that would be lost with it."""
    return (folder / "data" / "metadata.json").is_file() and [path.name for path in folder.iterdir()] == ["data"]


def _data_folder(folder: Path) -> Path:
    for data in (folder / "data", folder):
        if (data / "metadata.json").is_file():
            return data
    inside = sorted(path.name for path in folder.iterdir())[:5]
    holds = f"it holds {', '.join(inside)}" if inside else "it is empty"
    raise UserError(f"{folder}: no Minari set (no data/metadata.json; {holds})")


def _metadata(data: Path) -> dict[str, Any]:
    path = data / "metadata.json"
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: is no JSON, or cut short ({error})") from error
    if not isinstance(said, dict) or "data_format" not in said:
        raise UserError(f"{path}: has no 'data_format'; it is no Minari set's")
    return said


def _spaces(said: dict[str, Any], source: str) -> dict[str, Any]:
    """Return both spaces, from the metadata or from the environment that it names."""
    names = ("observation_space", "action_space")
    if all(name in said for name in names):
        try:
            return {name: space_from_json(said[name]) for name in names}
        except UserError as error:
            raise UserError(f"{source}: metadata.json: {error}") from error
    env_id = _env_id(said.get("env_spec") or "")
    if not env_id:
        raise UserError(f"{source}: metadata.json names neither its spaces nor its environment")
    from seqrl.environments import make_environment

    environment = make_environment(env_id)
    environment.close()
    return {name: space_from_json(space_to_json(getattr(environment, name))) for name in names}


def _env_id(env_spec: str) -> str:
    try:
        return str(json.loads(env_spec)["id"]) if env_spec else ""
    except (ValueError, KeyError, TypeError):
        warnings.warn("the environment's specification in metadata.json cannot be read", stacklevel=3)
        return ""


def _reference(said: dict[str, Any]) -> Reference | None:
    """Return the set's own references; of sets of D4RL's that state none, D4RL's."""
    low, high = said.get("ref_min_score"), said.get("ref_max_score")
    if low is not None and high is not None and low < high:
        return Reference(float(low), float(high), f"metadata of {said.get('dataset_id') or 'the data set'}")
    return reference_for(_env_id(said.get("env_spec") or ""))


def flattened(space: Space[Any], values: Any) -> NDArray[Any]:
    """Return elements as one array: those of Dict and Tuple flattened, others as they are."""
    return flatten_elements(space, values) if is_nested(space) else np.asarray(values)
