"""Reference cases: numbers of a public implementation that ours must reproduce.

A case is a folder with config.json, io.safetensors, perhaps weights.safetensors and JSON files. An
adapter is a short function that rebuilds the case's expected tensors from its inputs and weights
through public functions; one serves all cases of a system::

    @adapter("caduceus")
    def caduceus(case): ...            # -> dict of tensor name -> tensor

`check_case` demands that every expected tensor comes back and agrees within the case's tolerance.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

Adapter = Callable[["Case"], Mapping[str, Any]]
ADAPTERS: dict[str, Adapter] = {}
_GRADIENTS = ("grad.", "grad_cg.")


def adapter(system: str) -> Callable[[Adapter], Adapter]:
    """Register a function as the adapter of a system."""

    def register(function: Adapter) -> Adapter:
        ADAPTERS[system] = function
        return function

    return register


class Case:
    """One reference case; an adapter sees what is given, not what is expected.

    Args:
        folder: Where its files are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._config: dict[str, Any] = json.loads((self.folder / "config.json").read_text())
        self.system: str = self._config["system"]
        self.hyperparameters: dict[str, Any] = self._config.get("hyperparameters", {})
        self.source: dict[str, Any] = self._config.get("source", {})

    def __repr__(self) -> str:
        return f"Case({self.system}/{self.folder.name})"

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """The reference's state dict under its own names; empty if the case has none."""
        path = self.folder / "weights.safetensors"
        return load_file(path) if path.exists() else {}

    @cached_property
    def _io(self) -> dict[str, Tensor]:
        path = self.folder / "io.safetensors"
        return load_file(path) if path.exists() else {}

    @property
    def inputs(self) -> list[str]:
        """Names of what is given."""
        return list(self._config.get("inputs", []))

    def take(self, name: str) -> Tensor:
        """Return a copy of an input; what is expected is refused."""
        if name not in self.inputs:
            raise KeyError(f"{self}: {name!r} is not an input; the inputs are {self.inputs}")
        return self._io[name].clone()

    def json(self, name: str) -> Any:
        """Return the content of a JSON file beside the tensors."""
        return json.loads((self.folder / name).read_text())

    @property
    def expected(self) -> dict[str, Tensor]:
        """What an adapter must return: everything that is neither an input nor informative."""
        free = {*self.inputs, *self._config.get("informative", [])}
        return {name: tensor for name, tensor in self._io.items() if name not in free}

    def tolerance(self, name: str) -> tuple[float, float]:
        """Return (atol, rtol) of a tensor."""
        given = self._config.get("tolerance", {})
        prefix = "grad_" if name.startswith(_GRADIENTS) else ""
        return (given.get(f"{prefix}atol", given.get("atol", 0.0)), given.get(f"{prefix}rtol", given.get("rtol", 0.0)))

    def mask_of(self, name: str) -> Tensor | None:
        """Return where a tensor is compared: (B, T) bool, or None for everywhere."""
        rule = self._config.get("compare_where", {}).get(name)
        if rule is None:
            return None
        # A rule is an input's name, perhaps with a remark: an entry may stand for several steps.
        mask = self._io[rule.split(",")[0].strip()] != 0
        return mask.repeat_interleave(self._io[name].shape[1] // mask.shape[1], dim=1)


def check_case(case: Case, adapter: Adapter | None = None) -> None:
    """Run a case and compare.

    Args:
        case: The case.
        adapter: In place of the registered one.

    Raises:
        AssertionError: There is no adapter, or tensors are missing or differ; all of them are listed.
    """
    adapter = adapter or ADAPTERS.get(case.system)
    assert adapter is not None, f"{case}: no adapter for the system {case.system!r}"
    ours = adapter(case)
    faults = [fault for name, tensor in case.expected.items() if (fault := _compare(case, name, tensor, ours))]
    # Only the adapter knows which of the JSON files is an expectation: it returns that under the file's name.
    for name, value in ours.items():
        if name.endswith(".json") and value != case.json(name):
            faults.append(f"{name}: is not equal to the file")
    assert not faults, f"{case}: {len(faults)} of {len(case.expected)} do not agree\n  " + "\n  ".join(faults)


def _compare(case: Case, name: str, expected: Tensor, ours: Mapping[str, Any]) -> str | None:
    """Return what is wrong with one tensor, or None."""
    if name not in ours:
        return f"{name}: missing"
    if not isinstance(ours[name], Tensor):
        return f"{name}: is a {type(ours[name]).__name__}, not a tensor"
    got = ours[name].detach().cpu()
    if got.shape != expected.shape:
        return f"{name}: shape {tuple(got.shape)}, expected {tuple(expected.shape)}"
    exact = not (expected.is_floating_point() or expected.is_complex())
    if exact and (got.is_floating_point() or got.is_complex()):
        return f"{name}: dtype {got.dtype}, expected {expected.dtype}"
    mask = case.mask_of(name)
    if mask is not None:
        got, expected = got[mask], expected[mask]
    if exact:
        wrong = got != expected
        return f"{name}: {int(wrong.sum())} of {wrong.numel()} differ" if wrong.any() else None
    got = got.to(expected.dtype)
    atol, rtol = case.tolerance(name)
    close = torch.isclose(got, expected, rtol=rtol, atol=atol, equal_nan=True)
    if close.all():
        return None
    worst = (got - expected).abs().max().item()
    return f"{name}: {int((~close).sum())} of {close.numel()} differ, by up to {worst:.3g} (atol {atol}, rtol {rtol})"


def find_cases(folders: Iterable[Path]) -> list[Path]:
    """Return the case folders below some folders, sorted: those that hold a config.json."""
    return sorted({path.parent for folder in folders for path in Path(folder).rglob("config.json")})
