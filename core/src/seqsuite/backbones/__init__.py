"""What is built from mixers: the two-way wrapper, norms and the residual stack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqsuite.backbones.bidirectional import Bidirectional
    from seqsuite.backbones.norms import RMSNorm, create_norm
    from seqsuite.backbones.residual import Block, ResidualStack

__all__ = ["Bidirectional", "Block", "RMSNorm", "ResidualStack", "create_norm"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {"bidirectional": ["Bidirectional"], "residual": ["Block", "ResidualStack"], "norms": ["RMSNorm", "create_norm"]},
)
