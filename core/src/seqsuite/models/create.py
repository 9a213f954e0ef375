"""Models by name, and from a folder or a hub id."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from torch import nn

from seqsuite.errors import UserError
from seqsuite.models.base import Model
from seqsuite.models.configs import ModelConfig
from seqsuite.models.files import CARD, CONFIG, WEIGHTS, load_weights, read_config, read_tensors
from seqsuite.models.registry import model_config
from seqsuite.plugins import import_target

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def create_model(name: str, **overrides: Any) -> Model:
    """Build a model with fresh weights by name.

    Args:
        name: A name of `list_models()`.
        overrides: Fields of its config (`seqsuite.models.model_config(name)` shows them).

    Raises:
        UnknownNameError: No such model or field; near names are suggested.
        UserError: A value of the wrong type, or values that do not fit together.
    """
    model = build_model(model_config(name, **overrides))
    model.name = name
    return model


def build_model(config: ModelConfig) -> Model:
    """Build the model that a config describes."""
    return import_target(config.model)(config)


def load_model(
    source: str | Path,
    *,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    token: str | bool | None = None,
) -> Model:
    """Load a model from a folder or a hub id, in evaluation mode, on the CPU.

    No pickle is read and no code comes from the source: the class must belong to an installed plugin.

    Args:
        source: A folder written by `save_pretrained`, or ``"owner/name"`` on the hub.
        revision: Branch, tag or commit on the hub.
        cache_dir: Where downloads are kept.
        local_files_only: Do not ask the hub.
        token: Token for private repositories.

    Raises:
        UserError: There is no such model, it is damaged, or it does not fit.
    """
    folder = Path(source)
    if not folder.is_dir():
        if folder.exists() or not _HUB_ID.fullmatch(str(source)):
            raise UserError(f"{source}: is no folder and no hub id (owner/name)")
        folder = _download(
            str(source), revision=revision, cache_dir=cache_dir, local_files_only=local_files_only, token=token
        )
    config, name = read_config(folder)
    tensors = read_tensors(folder / WEIGHTS)
    try:
        model = build_model(config)
    except UserError as error:  # options of the mixer are looked at here
        raise UserError(f"{folder / CONFIG}: {error}") from error
    load_weights(model, tensors, folder / WEIGHTS)
    model.name = name
    return model.eval()


def _download(repository: str, **options: Any) -> Path:
    try:
        return Path(snapshot_download(repository, allow_patterns=[CONFIG, WEIGHTS, CARD], **options))
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"{repository}: no such folder, and the hub does not give it ({reason})") from error


def to_device(model: nn.Module, device: str | torch.device) -> None:
    """Move a model to a device.

    Raises:
        UserError: The device cannot be used here.
    """
    try:
        if torch.device(device).type == "meta":
            raise RuntimeError("it holds no numbers")
        model.to(device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device {str(device)!r} cannot be used here: {str(error).splitlines()[0]}") from error
