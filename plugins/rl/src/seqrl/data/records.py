"""What the formats cannot say by themselves, as one JSON record beside the data.

Spaces, environment, references, seeds and options of the resets, arrays among the metadata. D4RL's files carry it
as `metadata/seqrl`, Minari's as the key "seqrl" of metadata.json; other readers pass it by.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from seqrl.scores import Reference
from seqrl.spaces import space_from_json, space_to_json

if TYPE_CHECKING:
    from seqrl.data.episodes import Episodes


def episode_records(episodes: Episodes, *, whole: bool) -> dict[str, Any]:
    """Return the record of a set.

    Args:
        episodes: The set.
        whole: Also what Minari has places for (spaces, environment, references, seeds, metadata); for D4RL.
    """
    record: dict[str, Any] = {"env_id": episodes.env_id}
    if episodes.reference is not None:
        record["reference"] = episodes.reference.to_dict()
    if whole:
        record |= {
            "observation_space": space_to_json(episodes.observation_space),
            "action_space": space_to_json(episodes.action_space),
            "env_spec": episodes.env_spec,
            "seeds": list(episodes.seeds),
            "options": pack(list(episodes.options)),
            "metadata": {name: pack(value) for name, value in episodes.metadata.items() if name != "d4rl"},
            "final_infos": pack(episodes.final_infos),
        }
    return record


def record_fields(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields of `Episodes` that a record tells."""
    fields: dict[str, Any] = {name: record[name] for name in ("env_id", "env_spec") if record.get(name)}
    fields |= {
        name: space_from_json(record[name]) for name in ("observation_space", "action_space") if record.get(name)
    }
    if record.get("reference"):
        fields["reference"] = Reference.from_dict(record["reference"])
    if record.get("seeds"):
        fields["seeds"] = tuple(record["seeds"])
    if record.get("options"):
        fields["options"] = tuple(unpack(record["options"]))
    return fields


def pack(value: Any) -> Any:
    """Return a value as JSON can hold it; arrays keep type, shape and every bit."""
    if isinstance(value, Mapping):
        return {str(name): pack(part) for name, part in value.items()}
    if isinstance(value, list | tuple | set):
        return [pack(part) for part in (sorted(value, key=str) if isinstance(value, set) else value)]
    if isinstance(value, np.ndarray | np.generic):
        array = np.asarray(value)
        if array.dtype.kind in "OSU":
            return pack(array.tolist())
        content = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")
        return {"__array__": content, "dtype": array.dtype.str, "shape": list(array.shape)}
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    try:
        json.dumps(value)
    except TypeError:
        return str(value)
    return value


def unpack(value: Any) -> Any:
    """The inverse of `pack`: lists stay lists, arrays are arrays again."""
    if isinstance(value, dict):
        if "__array__" in value:
            flat = np.frombuffer(base64.b64decode(value["__array__"]), dtype=np.dtype(value["dtype"]))
            array = flat.reshape(value["shape"]).copy()
            return array if array.ndim else array[()]
        return {name: unpack(part) for name, part in value.items()}
    if isinstance(value, list):
        return [unpack(part) for part in value]
    return value
