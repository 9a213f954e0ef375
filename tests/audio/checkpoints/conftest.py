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
from seqaudio import convert, convert_diffwave
from seqaudio.cli import main
from seqsuite.models.base import Model

TESTS = Path(__file__).parents[2]
LENGTH = 48


def _module(path: Path) -> Any:
    # Test folders are no packages: a module is loaded by its path.
    spec = importlib.util.spec_from_file_location(f"of_checkpoints_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SPELLINGS: dict[str, Callable] = _module(TESTS / "audio" / "models" / "test_convert.py").SPELLINGS
"""Every generation of names, as functions from today's; those of the converter's own tests."""


def build(name: str = "sashimi_debug", seed: int = 0, **options: Any) -> Model:
    """A small model, told apart by its seed; its head says something."""
    torch.manual_seed(seed)
    model = seqsuite.create_model(name, **options).eval()
    with torch.no_grad():
        for parameter in model.head.parameters():
            parameter.normal_()
    return model


def published_of(model: Model, *, layout: str = "v3") -> dict[str, torch.Tensor]:
    """The tensors of a model under the published names, attuned to `LENGTH`."""
    if type(model).__name__ == "DiffWave":
        return convert_diffwave.to_published(model.state_dict(), model.config, layout=layout, length=LENGTH)
    return convert.to_published(model.state_dict(), model.config, length=LENGTH)


def write_file(path: Path, state: dict[str, torch.Tensor], key: str | None = "state_dict", **more: Any) -> Path:
    """Write tensors as safetensors, or as a trainer would, beside whatever else it keeps."""
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = {name: tensor.detach().clone().contiguous() for name, tensor in state.items()}
    if path.suffix == ".safetensors":
        save_file(plain, path)
    else:
        torch.save(plain if key is None else {key: plain, **more}, path)
    return path


def write_config(path: Path, values: dict[str, Any]) -> Path:
    """Write a published config as JSON, which is YAML too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))
    return path


def same_outputs(one: Model, other: Model, tolerance: float = 1e-4) -> None:
    """Compare what two models say of one input."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        if type(one).__name__ == "DiffWave":
            x, steps = torch.randn(2, 30, 1, generator=generator), torch.tensor([1, 50])
            mel = {}
            if one.config.conditional:
                frames = 1 + 30 // one.config.hop
                mel = {"mel": torch.randn(2, one.config.n_mels, frames, generator=generator)}
            pair = one(x, steps, **mel), other(x, steps, **mel)
        else:
            codes = torch.randint(256, (2, 30), generator=generator)
            pair = one(codes), other(codes)
    torch.testing.assert_close(*pair, rtol=tolerance, atol=tolerance)


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run the program, expect exit code 2, and give its one line."""

    def run(*arguments: object) -> str:
        capsys.readouterr()
        assert main([str(argument) for argument in arguments]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1, lines
        return lines[0]

    return run


@pytest.fixture
def kit() -> Any:
    """The functions of this file."""
    import types

    names = (build, published_of, write_file, write_config, same_outputs)
    return types.SimpleNamespace(**{function.__name__: function for function in names}, spellings=SPELLINGS)


@pytest.fixture(params=list(SPELLINGS))
def spelling(request: pytest.FixtureRequest) -> Callable:
    """Each generation of names."""
    return SPELLINGS[request.param]


@pytest.fixture
def hub() -> Iterator[Any]:
    """A local hub, running."""
    with _module(TESTS / "fixtures" / "hub.py").running_hub() as running:
        yield running
