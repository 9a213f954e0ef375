from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch


@pytest.fixture
def relative_l2() -> Callable[[torch.Tensor, torch.Tensor], float]:
    """Distance of two tensors in units of the second one's norm."""

    def measure(found: torch.Tensor, expected: torch.Tensor) -> float:
        assert found.shape == expected.shape
        found, expected = found.detach().double(), expected.detach().double()
        return float((found - expected).norm() / expected.norm().clamp_min(1e-30))

    return measure


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fill fresh uninitialised memory with NaN, so that an element nobody wrote is seen."""

    def poison(maker: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        def make(*args: Any, **options: Any) -> torch.Tensor:
            made = maker(*args, **options)
            return made.fill_(torch.nan) if made.is_floating_point() else made

        return make

    for owner, name in ((torch, "empty"), (torch, "empty_like"), (torch.Tensor, "new_empty")):
        monkeypatch.setattr(owner, name, poison(getattr(owner, name)))


@pytest.fixture(scope="session")
def interpreted() -> Callable[[str], dict[str, dict[str, float]]]:
    """Run a program of the folder `interpreted` in Triton's interpreter, once, and return what it found."""

    @cache
    def run(program: str) -> dict[str, dict[str, float]]:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TRITON_INTERPRET": "1"}
        path = Path(__file__).parent / "interpreted" / program
        done = subprocess.run([sys.executable, path], capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run
