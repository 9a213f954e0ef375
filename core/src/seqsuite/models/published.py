"""Reading other people's checkpoints: config.json and tensors, without executing anything.

Shared by every `convert.py`. Tensors come from safetensors (one file or shards) or, where there is
nothing else, from a pickle of which tensors alone are read (`seqsuite.models.tensors_only`). A hub id
becomes a folder with `fetch_published`, which downloads weights and tables and never a program.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from seqsuite.errors import UserError
from seqsuite.models.files import read_tensors
from seqsuite.models.tensors_only import read_tensors_only

WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "weights.ckpt",
)
"""Where a folder's tensors may lie; the first that is there is read."""
WEIGHT_SUFFIXES = (".safetensors", ".bin", ".ckpt", ".pt", ".pth", ".pkl")
"""Endings of weights under any other name; such a file is read where it is named, or where it is the only one."""
TABLE_FILES = ("config.json", "config.yaml", "tokenizer.json", "vocab.json")
"""What else is read of a published checkpoint."""
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def is_hub_id(source: str | Path) -> bool:
    """Return whether a source that is no path reads as a hub id, ``"owner/name"``."""
    return not Path(source).exists() and _HUB_ID.fullmatch(str(source)) is not None


def fetch_published(
    repository: str,
    *,
    file: str | None = None,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    endpoint: str | None = None,
) -> Path:
    """Download the tensors, config and vocabulary of a hub repository and return their folder.

    Args:
        repository: ``"owner/name"``.
        file: Its file of weights, ``"folder/name.ckpt"``; None: as `find_weights` finds it.
        revision: Branch, tag or commit; None: the default branch.
        cache_dir: Where downloads are kept; None: huggingface_hub's own cache.
        endpoint: Address of the hub; None: what the variable HF_ENDPOINT says.

    Returns:
        The folder of the snapshot. Without a network, one that was fetched before.

    Raises:
        UserError: There is no such repository or revision, it holds no weights, or the hub cannot be reached.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, RevisionNotFoundError

    # The bases are the errors of the HTTP library underneath, which is not the same in every release.
    bases: tuple[Any, ...] = HfHubHTTPError.__bases__
    transport: tuple[type[Exception], ...] = (*bases, OSError, ValueError, RuntimeError)
    options: dict[str, Any] = {"cache_dir": cache_dir, "endpoint": endpoint}
    try:
        info = HfApi(endpoint=endpoint).model_info(repository, revision=revision)
        found = _chosen([sibling.rfilename for sibling in info.siblings or ()], file, repository)
        return Path(snapshot_download(repository, revision=revision, allow_patterns=_wanted(found), **options))
    except RevisionNotFoundError as error:
        raise UserError(f"{repository}: the hub has no revision {revision!r} of it") from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403, 404):
            raise UserError(
                f"{repository}: is no folder here, and the hub has no such model or does not give it (HTTP {status})"
            ) from error
        return _fetched_before(repository, file, revision, options, error)
    except transport as error:
        return _fetched_before(repository, file, revision, options, error)


def _chosen(files: Iterable[str], file: str | None, source: object) -> str:
    """Return the file of weights among those of a source: the one that is named, a usual one, or the only one.

    Raises:
        UserError: There is none, or several.
    """
    files = sorted(files)
    others = [name for name in files if name.endswith(WEIGHT_SUFFIXES)]
    if file is not None:
        if file not in files:
            raise UserError(f"{source}: has no file {file}" + (f"; it has {_few(others)}" if others else ""))
        return file
    found = next((name for name in WEIGHT_FILES if name in files), None)
    if found is not None:
        return found
    if len(others) != 1:
        several = f"; which of its files is it: {_few(others)}?" if others else ""
        raise UserError(f"{source}: holds none of {', '.join(WEIGHT_FILES)}{several}")
    return others[0]


def _wanted(weights: str) -> list[str]:
    """Return the patterns of the files to download with a file of weights: the tables, and its shards."""
    whole = weights.removesuffix(".index.json")
    stem, dot, kind = whole.rpartition(".")
    folder = weights.rpartition("/")[0]
    beside = [f"{folder}/{name}" for name in TABLE_FILES] if folder else []
    return [*TABLE_FILES, *beside, weights] + [f"{stem}-*{dot}{kind}"] * (whole != weights)


def _fetched_before(
    repository: str, file: str | None, revision: str | None, options: Mapping[str, Any], error: Exception
) -> Path:
    """Return the snapshot that an earlier download left, which holds one kind of weights and not the whole."""
    from huggingface_hub import snapshot_download

    for weights in WEIGHT_FILES if file is None else (file,):
        known: dict[str, Any] = {"revision": revision, "allow_patterns": _wanted(weights), "local_files_only": True}
        try:
            folder = Path(snapshot_download(repository, **known, **options))
        except (OSError, ValueError):
            continue
        if (folder / weights).is_file():
            return folder
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    raise UserError(f"{repository}: is no folder here, and the hub cannot be reached ({reason})") from error


def read_published(source: str | Path, config: Mapping[str, Any] | None = None) -> tuple[dict[str, Any], dict]:
    """Read a checkpoint.

    Args:
        source: A folder (config.json beside model.safetensors or pytorch_model.bin, whole or in shards, or
            weights.ckpt) or one weights file; its folder's config.json is read if there is one.
        config: The configuration, in place of config.json.

    Returns:
        The configuration and the tensors under their own names.

    Raises:
        UserError: A file is missing, damaged, or holds no tensors.
    """
    path = find_weights(source)
    if config is None:
        if not (path.parent / "config.json").is_file():
            raise UserError(f"{path.parent}: has no config.json; pass config= with the model's configuration")
        config = read_json(path.parent / "config.json")
    return dict(config), read_weights(path)


def find_weights(source: str | Path, file: str | None = None) -> Path:
    """Return the weights file of a folder, or the file itself.

    Args:
        source: The folder, or a file.
        file: The file within the folder; None: the first of `WEIGHT_FILES`, else the only one that ends as weights do.

    Raises:
        UserError: There is none, or several under other names.
    """
    path = Path(source)
    if not path.exists():
        raise UserError(f"{path}: does not exist")
    if not path.is_dir():
        return path
    usual = next((name for name in WEIGHT_FILES if (path / name).is_file()), None)
    if file is None and usual is not None:
        return path / usual
    names = (found.relative_to(path).as_posix() for found in path.rglob("*") if found.is_file())
    return path / _chosen(names, file, path)


def own_folder(path: Path) -> Path | None:
    """Return the folder of a model of ours: a run's `model`, or the path itself; None where there is none.

    Raises:
        UserError: There is a config.json that is no JSON.
    """
    for folder in (path / "model", path):
        config = folder / "config.json"
        if config.is_file() and isinstance(read_json(config).get("model"), str):
            return folder
    return None


def read_config_file(path: Path) -> dict[str, Any]:
    """Read a published configuration, JSON or YAML.

    Entries that refer to others (``${...}``) are left out: what they refer to is not known here.

    Raises:
        UserError: It is missing, damaged, or holds something else than an object.
    """
    if path.suffix not in (".yaml", ".yml"):
        return _settled(read_json(path))
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, OSError) as error:
        raise UserError(f"{path}: is not valid YAML ({' '.join(str(error).split())})") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: must hold an object, not a {type(values).__name__}")
    return _settled(values)


def _settled(values: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in values.items() if not (isinstance(value, str) and "${" in value)}
    return {name: _settled(value) if isinstance(value, dict) else value for name, value in kept.items()}


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Raises:
        UserError: It is missing, damaged, or holds something else.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: is not valid JSON ({error})") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: must hold an object, not a {type(values).__name__}")
    return values


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a weights file or an index of shards, under their own names.

    Raises:
        UserError: It is damaged or holds no tensors.
    """
    if path.name.endswith(".index.json"):
        places = read_json(path).get("weight_map")
        if not isinstance(places, dict) or not all(isinstance(shard, str) for shard in places.values()):
            raise UserError(f"{path}: has no weight_map that names a file for each tensor")
        # A shard lies beside its index: a name that leads elsewhere is not followed.
        shards = sorted({Path(shard).name for shard in places.values()})
        return {name: tensor for shard in shards for name, tensor in read_weights(path.parent / shard).items()}
    return read_tensors(path) if path.suffix == ".safetensors" else read_tensors_only(path)


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
