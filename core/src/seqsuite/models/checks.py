"""What every plugin's look at a checkpoint shares: measured numbers with limits, a checksum, differences.

Check("causality", difference(before, after), LIMITS[torch.float64], "change of earlier outputs").passed
checksum(model.state_dict())                # the same before an import and after it

What is a law of an architecture has a limit; what is a property of weights is told and not judged.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from seqsuite.models.files import shared_tensors

LIMITS = {torch.float32: 1e-4, torch.float64: 1e-9}
"""Largest allowed difference, in units of the largest output: rounding of a deep model, and no more."""


@dataclass(frozen=True)
class Check:
    """One measured number.

    Attributes:
        name: What was measured.
        value: The number.
        limit: What it must not exceed; None: it is told and not judged.
        about: What it means.
    """

    name: str
    value: float
    limit: float | None
    about: str

    @property
    def passed(self) -> bool | None:
        """Whether it obeys its limit; None where there is none."""
        return None if self.limit is None else bool(self.value <= self.limit)

    def row(self) -> dict[str, str]:
        """Return a row of a table."""
        result = {True: "ok", False: "FAILED", None: ""}[self.passed]
        return {"what": self.name, "value": f"{self.value:.3g}", "result": result, "about": self.about}

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON; a value that is not finite is None."""
        value = self.value if math.isfinite(self.value) else None
        return {
            "name": self.name,
            "value": value,
            "limit": self.limit,
            "passed": self.passed,
            "about": self.about,
        }


def fact_rows(facts: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return rows that stand above those of checks."""
    return [{"what": name, "value": str(value), "result": "", "about": ""} for name, value in facts.items()]


def checksum(state: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 over names, types, shapes and bytes of tensors, sorted by name; shared ones once."""
    same = shared_tensors(state)
    digest = hashlib.sha256()
    for name in sorted(set(state) - set(same)):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def not_finite(tensors: Iterable[Tensor]) -> float:
    """Return how many values of floating-point tensors are infinite or no number."""
    return float(sum(int((~torch.isfinite(t)).sum()) for t in tensors if t.is_floating_point()))


def difference(one: Tensor, other: Tensor) -> float:
    """Return the largest difference in units of the largest output; infinite where something is no number."""
    if not one.numel():
        return 0.0
    value = float((one - other).abs().max() / one.abs().max().clamp(min=1e-30))
    return value if math.isfinite(value) else math.inf
