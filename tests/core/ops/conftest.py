from __future__ import annotations

from collections.abc import Callable
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
