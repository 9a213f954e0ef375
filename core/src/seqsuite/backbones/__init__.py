"""What is built from mixers: the two-way wrapper, norms and the residual stack."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seqsuite.backbones.bidirectional import Bidirectional
    from seqsuite.backbones.norms import RMSNorm, create_norm
    from seqsuite.backbones.residual import Block, ResidualStack

_HOME = {
    "Bidirectional": "seqsuite.backbones.bidirectional",
    "Block": "seqsuite.backbones.residual",
    "RMSNorm": "seqsuite.backbones.norms",
    "ResidualStack": "seqsuite.backbones.residual",
    "create_norm": "seqsuite.backbones.norms",
}
__all__ = ["Bidirectional", "Block", "RMSNorm", "ResidualStack", "create_norm"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'seqsuite.backbones' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
