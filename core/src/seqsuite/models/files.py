"""An export on disk: config.json, model.safetensors and a model card; strict in both directions.

The config names the model class, which is looked up in the tables of the installed plugins: a file can
never make us import or run anything else. Tensors that share memory are stored once.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import seqsuite
from seqsuite.errors import UserError
from seqsuite.mixers.options import build_config, convert
from seqsuite.models.configs import ModelConfig
from seqsuite.models.registry import config_class

if TYPE_CHECKING:
    from seqsuite.models.base import Model

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
_GENERATED = "<!-- Generated. Delete this line and a new export keeps your text. -->"
_OWN_KEYS = ("model", "name", "seqsuite_version")


def shared_tensors(state: Mapping[str, Tensor]) -> dict[str, str]:
    """Return ``duplicate -> first name`` of the tensors of a state dict that are the same memory."""
    first: dict[tuple, str] = {}
    same: dict[str, str] = {}
    for name, tensor in state.items():
        key = (tensor.device, tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
        if tensor.numel() and key in first:
            same[name] = first[key]
        else:
            first[key] = name
    return same


def config_to_dict(config: ModelConfig, name: str | None) -> dict[str, Any]:
    """Return what config.json holds: the class, the size's name, our version and every field."""
    own = {"model": config.model, "name": name, "seqsuite_version": seqsuite.__version__}
    return own | dataclasses.asdict(config)


def write_export(model: Model, folder: Path) -> None:
    """Write a model into a folder: all files aside, then each renamed into place, the config last.

    Raises:
        UserError: The folder cannot be written.
    """
    state = model.state_dict()
    same = shared_tensors(state)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items() if name not in same}
    described = config_to_dict(model.config, model.name)
    aside: Path | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        save_file(tensors, aside / WEIGHTS, metadata={"format": "pt"})
        (aside / CARD).write_text(_card(model, described))
        (aside / CONFIG).write_text(json.dumps(described, indent=2) + "\n")
        shutil.copymode(aside / CONFIG, aside / WEIGHTS)  # safetensors writes for the owner only
        for file in (WEIGHTS, CARD, CONFIG):
            with open(aside / file, "rb") as handle:
                os.fsync(handle.fileno())
        for file in (WEIGHTS, CARD, CONFIG):
            if file != CARD or not _has_own_card(folder):
                os.replace(aside / file, folder / file)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{folder}: cannot write the model ({' '.join(str(error).split())})") from error
    finally:
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)


def read_config(folder: Path) -> tuple[ModelConfig, str | None]:
    """Read config.json and return the config and the size's name.

    Raises:
        UserError: It is missing, damaged, of another program, or of a plugin that is not installed.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise UserError(f"{folder}: holds no {CONFIG}; a model is a folder written by save_pretrained")
    try:
        values = json.loads(path.read_text())
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: is not valid JSON ({error})") from error
    if not isinstance(values, dict) or not isinstance(values.get("model"), str):
        raise UserError(f"{path}: was not written by SeqSuite (it names no model); use the plugin's import command")
    fields = {key: value for key, value in values.items() if key not in _OWN_KEYS}
    try:
        name = convert(CONFIG, "name", values.get("name"), str | None)
        return build_config(config_class(values["model"]), fields), name
    except UserError as error:
        written = values.get("seqsuite_version")
        hint = (
            ""
            if written == seqsuite.__version__
            else f" (written by SeqSuite {written}, this is {seqsuite.__version__})"
        )
        raise UserError(f"{path}: {error}{hint}") from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises:
        UserError: It is missing or damaged.
    """
    if not path.is_file():
        raise UserError(f"{path}: is missing")
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path}: is damaged or no safetensors file ({error})") from error


def load_weights(model: nn.Module, tensors: Mapping[str, Tensor], source: object) -> None:
    """Load tensors into a model: no name missing, none left over, every shape right.

    Args:
        model: Receives them.
        tensors: By the model's own names; of shared tensors one name is enough.
        source: Where they come from, for messages.

    Raises:
        UserError: Names or shapes differ; the first three of each kind are told.
    """
    state = model.state_dict()
    tensors = dict(tensors)
    for duplicate, first in shared_tensors(state).items():
        known = tensors.get(duplicate, tensors.get(first))
        if known is not None:
            tensors.setdefault(duplicate, known)
            tensors.setdefault(first, known)
    shapes = [
        f"{name} is {tuple(tensors[name].shape)}, not {tuple(state[name].shape)}"
        for name in state
        if name in tensors and tensors[name].shape != state[name].shape
    ]
    wrong = {
        "lacks": [name for name in state if name not in tensors],
        "has unknown": [name for name in tensors if name not in state],
        "has wrong shapes:": shapes,
    }
    told = [f"{what} {_few(names)}" for what, names in wrong.items() if names]
    if told:
        raise UserError(f"{source}: does not fit the model: {'; '.join(told)}")
    model.load_state_dict(tensors)


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _has_own_card(folder: Path) -> bool:
    """Return whether the folder holds a card that somebody has made their own."""
    card = folder / CARD
    return card.exists() and _GENERATED not in card.read_text(errors="replace")


def _card(model: Model, described: Mapping[str, Any]) -> str:
    title = model.name or type(model).__name__
    fields = "\n".join(f"| {key} | {value} |" for key, value in described.items() if key not in _OWN_KEYS)
    return f"""---
library_name: seqsuite
tags:
- seqsuite
- {model.config.model.split(".")[0]}
---

{_GENERATED}
# {title}

`{type(model).__name__}` with {model.num_parameters():,} parameters, written by SeqSuite {seqsuite.__version__}.

```python
import seqsuite

model = seqsuite.load_model("path/to/this/folder")
```

| field | value |
| --- | --- |
{fields}
"""
