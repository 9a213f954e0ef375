"""The steps of a Minari set as flat arrays: HDF5 through Minari's storage, Arrow column by column.

Minari's own Arrow reader makes a Python object of every row, and cannot read back infos that are nested or
one number a step; columns are read whole here instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seqsuite.errors import UserError

if TYPE_CHECKING:
    from gymnasium import Space

_FLAGS = ("rewards", "terminations", "truncations")


def read_steps(
    data: Path, said: dict[str, Any], spaces: dict[str, Space[Any]], source: str
) -> tuple[dict[str, Any], list[str]]:
    """Read all episodes.

    Args:
        data: The folder of metadata.json.
        said: Its contents.
        spaces: observation_space and action_space.
        source: For messages.

    Returns:
        Fields of `Episodes` (rewards in the type they are stored in), and notes.

    Raises:
        UserError: A file is missing or damaged, lengths differ, or there is no episode.
    """
    count = int(said.get("total_episodes", 0))
    if count < 1:
        raise UserError(f"{source}: holds no episode")
    kind = said["data_format"]
    if kind not in _READERS:
        raise UserError(f"{source}: its data_format is {kind!r}; {' and '.join(_READERS)} can be read")
    try:
        parts = list(_READERS[kind](data, said, spaces, count))
    except (OSError, RuntimeError, KeyError, ValueError, AssertionError) as error:
        raise UserError(
            f"{source}: its {kind} data cannot be read: cut short, damaged or with a part missing "
            f"({' '.join(str(error).split())[:200]})"
        ) from error
    for number, part in enumerate(parts):
        _check_part(part, number, source)
    return _joined(parts, said, source)


def _check_part(part: dict[str, Any], number: int, source: str) -> None:
    steps = len(part["rewards"])
    if not steps:
        raise UserError(f"{source}: episode {number} has no steps; leave it out")
    if len(part["observations"]) not in (steps, steps + 1):
        raise UserError(
            f"{source}: episode {number} has {len(part['observations'])} observations and {steps} rewards; "
            "there must be one observation more"
        )
    for name in ("actions", "terminations", "truncations"):
        if len(part[name]) != steps:
            raise UserError(f"{source}: episode {number} has {len(part[name])} {name} and {steps} rewards")


def _joined(parts: list[dict[str, Any]], said: dict[str, Any], source: str) -> tuple[dict[str, Any], list[str]]:
    """Put the episodes one after the other."""
    lengths = [len(part["rewards"]) for part in parts]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    full = all(len(part["observations"]) == steps + 1 for part, steps in zip(parts, lengths, strict=True))
    joined: dict[str, Any] = {name: np.concatenate([part[name] for part in parts]) for name in (*_FLAGS, "actions")}
    try:
        joined["observations"] = np.concatenate(
            [part["observations"][:steps] for part, steps in zip(parts, lengths, strict=True)]
        )
    except ValueError as error:
        raise UserError(f"{source}: observations differ in shape between episodes") from error
    joined["final_observations"] = np.stack([part["observations"][-1] for part in parts]) if full else None
    joined["offsets"] = offsets
    for name in ("terminations", "truncations"):
        joined[name] = joined[name].astype(bool)
    infos, finals, notes = _joined_infos(parts, lengths, said.get("seqrl", {}).get("info_types", {}))
    seeds = tuple(part.get("seed") for part in parts)
    options = tuple(part.get("options") for part in parts)
    joined |= {"infos": infos, "final_infos": finals}
    joined["seeds"] = seeds if any(seed is not None for seed in seeds) else ()
    joined["options"] = options if any(option is not None for option in options) else ()
    return joined, notes


def _joined_infos(
    parts: list[dict[str, Any]], lengths: list[int], types: dict[str, Any]
) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]], list[str]]:
    """Join the infos that every episode has as numbers; name those that are left out."""
    infos: dict[str, NDArray[Any]] = {}
    finals: dict[str, NDArray[Any]] = {}
    dropped = []
    for name in dict.fromkeys(name for part in parts for name in part["infos"]):
        values = [np.asarray(part["infos"][name]) if name in part["infos"] else None for part in parts]
        more = {None if v is None or v.ndim < 1 else len(v) - steps for v, steps in zip(values, lengths, strict=True)}
        shapes = {None if v is None or v.dtype.kind not in "biuf" else v.shape[1:] for v in values}
        if more not in ({0}, {1}) or len(shapes) != 1 or None in shapes:
            dropped.append(name)
            continue
        if name in types:
            values = [v.reshape(-1, *types[name][1]).astype(types[name][0]) for v in values if v is not None]
        infos[name] = np.concatenate([v[:steps] for v, steps in zip(values, lengths, strict=True) if v is not None])
        if more == {1}:
            finals[name] = np.stack([v[-1] for v in values if v is not None])
    notes = [f"infos left out, no numbers of every step: {', '.join(dropped)}"] if dropped else []
    return infos, finals, notes


def _read_hdf5(data: Path, said: dict[str, Any], spaces: dict[str, Space[Any]], count: int) -> Iterator[dict[str, Any]]:
    from minari.dataset._storages import get_minari_storage

    from seqrl.data.minari_sets import flattened

    jpeg = bool(said.get("jpeg_encoding", True))
    storage = get_minari_storage("hdf5")(data, spaces["observation_space"], spaces["action_space"], jpeg_encoding=jpeg)
    more = storage.get_episode_metadata(range(count))
    for part, known in zip(storage.get_episodes(range(count)), more, strict=True):
        yield {
            **{name: part[name] for name in _FLAGS},
            "observations": flattened(spaces["observation_space"], part["observations"]),
            "actions": flattened(spaces["action_space"], part["actions"]),
            "infos": _flat_names(part["infos"] or {}),
            "seed": known.get("seed"),
            "options": _plain(known.get("options")),
        }


def _plain(value: Any) -> Any:
    """Return HDF5's attributes as plain numbers, lists and texts."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _flat_names(infos: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Return b within a as "a/b"."""
    found: dict[str, Any] = {}
    for name, value in infos.items():
        found |= _flat_names(value, f"{above}{name}/") if isinstance(value, dict) else {f"{above}{name}": value}
    return found


def _read_arrow(
    data: Path, said: dict[str, Any], spaces: dict[str, Space[Any]], count: int
) -> Iterator[dict[str, Any]]:
    import json

    import pyarrow as pa
    from pyarrow import dataset

    from seqrl.data.minari_sets import flattened

    jpeg = bool(said.get("jpeg_encoding", True))
    for number in range(count):
        folder = data / str(number)
        files = sorted(str(path) for path in folder.glob(f"*.{said['data_format']}"))
        if not files:
            raise OSError(f"no {folder.name}/*.{said['data_format']}")
        try:
            table = dataset.dataset(files, format=said["data_format"]).to_table().combine_chunks()
        except pa.ArrowInvalid as error:
            raise OSError(f"{folder.name}: {error}") from error
        columns = {name: table[name].combine_chunks() for name in table.column_names}
        columns = {name: c.chunk(0) if isinstance(c, pa.ChunkedArray) else c for name, c in columns.items()}
        known = folder / "metadata.json"
        more = json.loads(known.read_text(encoding="utf-8")) if known.is_file() else {}
        steps = int(more.get("total_steps", len(table) - 1))
        yield {
            **{name: columns[name].to_numpy(zero_copy_only=False)[:steps] for name in _FLAGS},
            "observations": flattened(
                spaces["observation_space"], _elements(spaces["observation_space"], columns["observations"], jpeg)
            ),
            "actions": flattened(spaces["action_space"], _elements(spaces["action_space"], columns["actions"], jpeg))[
                :steps
            ],
            "infos": _column_infos(columns["infos"]) if "infos" in columns else {},
            "seed": more.get("seed"),
            "options": more.get("options"),
        }


def _elements(space: Space[Any], column: Any, jpeg: bool) -> Any:
    """Return a column as elements of a space."""
    from gymnasium import spaces
    from minari.dataset.minari_storage import is_image_space

    if isinstance(space, spaces.Dict):
        return {name: _elements(part, column.field(name), jpeg) for name, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(_elements(part, column.field(str(i)), jpeg) for i, part in enumerate(space.spaces))
    if jpeg and is_image_space(space):
        return np.stack([_image(content) for content in column.to_pylist()])
    if isinstance(space, spaces.Discrete):
        return column.to_numpy(zero_copy_only=False)
    return _rows(column).reshape(-1, *(space.shape or ()))


def _image(content: bytes) -> NDArray[np.uint8]:
    import io

    from PIL import Image

    return np.array(Image.open(io.BytesIO(content)), dtype=np.uint8)


def _rows(column: Any) -> NDArray[Any]:
    """Return a column of numbers or of lists of one size; those of other kinds as objects."""
    import pyarrow as pa

    if pa.types.is_fixed_size_list(column.type):
        return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)
    return column.to_numpy(zero_copy_only=False)


def _column_infos(column: Any, above: str = "") -> dict[str, Any]:
    import pyarrow as pa

    found: dict[str, Any] = {}
    for number, field in enumerate(column.type):
        values = column.field(number)
        if pa.types.is_struct(field.type):
            found |= _column_infos(values, f"{above}{field.name}/")
            continue
        rows = _rows(values)
        shape = (field.metadata or {}).get(b"shape")
        if shape is not None:
            rows = rows.reshape(len(rows), *(int(size) for size in shape.split(b",") if size))
        found[f"{above}{field.name}"] = rows
    return found


_READERS = {"hdf5": _read_hdf5, "arrow": _read_arrow, "parquet": _read_arrow}
