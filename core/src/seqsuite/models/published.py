"""Reading other people's checkpoints: config.json and tensors, without executing anything.

Shared by every `convert.py`. Tensors come from safetensors (one file or shards) or, where there is
nothing else, from a pickle read with ``weights_only=True``, which refuses everything but tensors.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seqsuite.errors import UserError
from seqsuite.models.files import read_tensors

_FILES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "weights.ckpt")


def read_published(source: str | Path, config: Mapping[str, Any] | None = None) -> tuple[dict[str, Any], dict]:
    """Read a checkpoint.

    Args:
        source: A folder (config.json beside model.safetensors, its shards, pytorch_model.bin or
            weights.ckpt) or one weights file; its folder's config.json is read if there is one.
        config: The configuration, in place of config.json.

    Returns:
        The configuration and the tensors under their own names.

    Raises:
        UserError: A file is missing, damaged, or holds more than tensors.
    """
    path = Path(source)
    if not path.exists():
        raise UserError(f"{path}: does not exist")
    folder = path if path.is_dir() else path.parent
    if path.is_dir():
        found = [path / name for name in _FILES if (path / name).is_file()]
        if not found:
            raise UserError(f"{path}: holds none of {', '.join(_FILES)}")
        path = found[0]
    if config is None:
        if not (folder / "config.json").is_file():
            raise UserError(f"{folder}: has no config.json; pass config= with the model's configuration")
        config = _read_json(folder / "config.json")
    return dict(config), _read_weights(path)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text())
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: is not valid JSON ({error})") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: must hold an object, not a {type(values).__name__}")
    return values


def _read_weights(path: Path) -> dict[str, Tensor]:
    if path.name.endswith(".index.json"):
        places = _read_json(path).get("weight_map")
        if not isinstance(places, dict) or not all(isinstance(shard, str) for shard in places.values()):
            raise UserError(f"{path}: has no weight_map that names a file for each tensor")
        shards = sorted(set(places.values()))
        return {name: tensor for shard in shards for name, tensor in read_tensors(path.parent / shard).items()}
    if path.suffix == ".safetensors":
        return read_tensors(path)
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"{path}: is no file of tensors alone, and nothing else is read ({reason})") from error
    values = values.get("state_dict", values) if isinstance(values, dict) else values
    if not isinstance(values, dict) or not all(isinstance(value, Tensor) for value in values.values()):
        raise UserError(f"{path}: holds no state dict")
    return dict(values)


def rename(
    state: Mapping[str, Tensor],
    names: Mapping[str, str],
    *,
    ties: Mapping[str, str] | None = None,
    optional: Iterable[str] = (),
    canonical: Callable[[str], str] = str,
) -> dict[str, Tensor]:
    """Rename a published state dict, strictly and differentiably.

    Args:
        state: Tensors under the published names.
        names: Our name -> published name.
        ties: Published duplicate -> the published name it is tied to. A missing one is filled from the
            other; where both are there, their values must agree, and the first carries the gradient.
        optional: Published names that may be there and are not ours (constant buffers).
        canonical: Brings a name of the file into the form of `names`.

    Raises:
        UserError: A name is missing or left over, or tied tensors differ.
    """
    given = {canonical(name): tensor for name, tensor in state.items()}
    for duplicate, first in (ties or {}).items():
        if duplicate not in given:
            continue
        if first not in given:
            given[first] = given[duplicate]
        elif not torch.equal(given[duplicate].detach(), given[first].detach()):
            raise UserError(f"the checkpoint's {duplicate} and {first} differ, but its config ties them")
    missing = sorted(set(names.values()) - set(given))
    surplus = sorted(set(given) - set(names.values()) - set(ties or {}) - set(optional))
    if missing or surplus:
        told = [f"lacks {_few(missing)}"] * bool(missing) + [f"has unknown {_few(surplus)}"] * bool(surplus)
        raise UserError(f"the checkpoint does not fit its config: {'; '.join(told)}")
    return {ours: given[theirs] for ours, theirs in names.items()}


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
