"""Published checkpoints made here, in the layouts of the public systems, and a local hub."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import seqsuite
from seqdna.convert import config_to_published, to_published
from seqsuite.models.base import Model


def _fixture(name: str) -> Any:
    # Test folders are no packages: the module is loaded by its path.
    path = Path(__file__).parents[2] / "fixtures" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"fixture_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build(name: str = "caduceus_ps_debug", seed: int = 0, **options: Any) -> Model:
    """A small model, told apart by its seed."""
    torch.manual_seed(seed)
    return seqsuite.create_model(name, padding="as_published", **options).eval()


def write_published(folder: Path, model: Model, *, kind: str = "safetensors", **changes: Any) -> Path:
    """Write a Caduceus as the reference would.

    Args:
        folder: Where.
        model: The model.
        kind: safetensors, bin or ckpt (Lightning's layout).
        changes: Fields of config.json to change; None removes one.
    """
    state = {name: tensor.clone() for name, tensor in to_published(model.state_dict(), model.config).items()}
    raw = config_to_published(model.config) | changes
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({name: value for name, value in raw.items() if value is not None}))
    if kind == "safetensors":
        save_file(state, folder / "model.safetensors")
    elif kind == "bin":
        torch.save(state, folder / "pytorch_model.bin")
    else:
        prefixed = {f"model.{name}": tensor for name, tensor in state.items()}
        torch.save({"state_dict": prefixed, "epoch": 1}, folder / "weights.ckpt")
    return folder


@pytest.fixture
def make() -> Callable[..., Model]:
    """`build` of this file."""
    return build


@pytest.fixture
def publish() -> Callable[..., Path]:
    """`write_published` of this file."""
    return write_published


@pytest.fixture
def hub() -> Iterator[Any]:
    """A local hub, running."""
    with _fixture("hub").running_hub() as running:
        yield running


@pytest.fixture
def tokens() -> torch.Tensor:
    """(2, 15) ids of bases of the published vocabulary."""
    return torch.randint(7, 11, (2, 15), generator=torch.Generator().manual_seed(1))
