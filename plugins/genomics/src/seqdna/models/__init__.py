"""Genome models: Caduceus and the lifting that makes any mixer RC-equivariant."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seqdna.models.caduceus import Caduceus
    from seqdna.models.strands import RCLift, StrandBlock

_HOME = {
    "Caduceus": "seqdna.models.caduceus",
    "RCLift": "seqdna.models.strands",
    "StrandBlock": "seqdna.models.strands",
}
__all__ = ["Caduceus", "RCLift", "StrandBlock"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'seqdna.models' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
