"""Genome models: Caduceus and the lifting that makes any mixer RC-equivariant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqdna.models.caduceus import Caduceus
    from seqdna.models.strands import RCLift, StrandBlock

__all__ = ["Caduceus", "RCLift", "StrandBlock"]

__getattr__, __dir__ = lazy_names(__name__, {"caduceus": ["Caduceus"], "strands": ["RCLift", "StrandBlock"]})
