"""The contract of a model size, each clause a function that raises AssertionError where it is broken.

    @pytest.mark.parametrize("clause", MODEL_CLAUSES)
    def test_contract(clause, tmp_path):
        clause("my_model_debug", tmp_path)

Run it over the `*_debug` sizes: every family has one.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import torch
from torch import Tensor

from seqsuite.errors import UnknownNameError
from seqsuite.models import Model, create_model, load_model, model_config


def _build(name: str) -> tuple[Model, Tensor]:
    torch.manual_seed(0)
    model = create_model(name).eval()
    generator = torch.Generator().manual_seed(1)
    return model, torch.randint(5, model.config.vocab_size, (2, 17), generator=generator)


def forward_is_head_of_features(name: str, folder: Path) -> None:
    """`forward` is `forward_head` of `forward_features`; the same input gives the same output."""
    model, tokens = _build(name)
    features = model.forward_features(tokens)
    assert features.shape[:2] == tokens.shape, f"{name}: features are {tuple(features.shape)}"
    assert features.isfinite().all(), f"{name}: features are not finite"
    torch.testing.assert_close(model.forward_head(features), model(tokens))
    assert torch.equal(model(tokens), model(tokens)), f"{name}: two calls in evaluation mode differ"


def every_parameter_learns(name: str, folder: Path) -> None:
    """Every parameter gets a finite gradient, and a few steps of Adam lower a loss."""
    model, tokens = _build(name)
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    target = torch.randn(model(tokens).shape, generator=torch.Generator().manual_seed(2))
    losses = []
    for _ in range(8):
        loss = (model(tokens).float() - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        for path, parameter in model.named_parameters():
            assert parameter.grad is not None, f"{name}: {path} gets no gradient"
            assert parameter.grad.isfinite().all(), f"{name}: the gradient of {path} is not finite"
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0], f"{name}: does not learn: {losses}"


def export_round_trips(name: str, folder: Path) -> None:
    """Saved and loaded it is the same function with the same config, and config.json holds every field."""
    model, tokens = _build(name)
    model.save_pretrained(folder / name)
    again = load_model(folder / name)
    assert type(again) is type(model), f"{name}: loads as {type(again).__name__}"
    assert again.config == model.config, f"{name}: the config changed"
    assert again.name == name, f"{name}: the size's name is lost"
    assert torch.equal(again(tokens), model(tokens)), f"{name}: the loaded model is another function"
    written = json.loads((folder / name / "config.json").read_text())
    missing = {field.name for field in dataclasses.fields(model.config)} - set(written)
    assert not missing, f"{name}: config.json lacks {missing}"


def options_are_checked(name: str, folder: Path) -> None:
    """A known field is taken over, an unknown one is refused."""
    assert dataclasses.is_dataclass(model_config(name)), f"{name}: its config is no dataclass"
    model = create_model(name, d_model=24)
    assert model.config.d_model == 24, f"{name}: d_model is not taken over"
    told = "nothing"
    try:
        create_model(name, no_such_option=1)
    except UnknownNameError as error:
        told = str(error)
    assert "no_such_option" in told, f"{name}: an unknown option is answered with: {told}"


def decay_names_exist(name: str, folder: Path) -> None:
    """What must not decay is named as `named_parameters` names it."""
    model, _ = _build(name)
    unknown = model.no_weight_decay() - {path for path, _ in model.named_parameters()}
    assert not unknown, f"{name}: no_weight_decay names {unknown}"


MODEL_CLAUSES = (
    forward_is_head_of_features,
    every_parameter_learns,
    export_round_trips,
    options_are_checked,
    decay_names_exist,
)
"""Every clause, for `pytest.mark.parametrize`."""


def check_model(name: str, folder: Path) -> None:
    """Check every clause for a named size.

    Args:
        name: A name of `list_models()`; a debug size, for speed.
        folder: An empty folder to write into.

    Raises:
        AssertionError: A clause is broken; the message says which.
    """
    for clause in MODEL_CLAUSES:
        clause(name, folder)
