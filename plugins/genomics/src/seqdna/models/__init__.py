"""Genome models: Caduceus, HyenaDNA, the leave-one-out model, and the lifting that makes any mixer RC-equivariant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqdna.models.base import DNAModel
    from seqdna.models.caduceus import Caduceus
    from seqdna.models.hyenadna import HyenaDNA
    from seqdna.models.leave_one_out import LeaveOneOut
    from seqdna.models.strands import RCLift, StrandBlock

__all__ = ["Caduceus", "DNAModel", "HyenaDNA", "LeaveOneOut", "RCLift", "StrandBlock"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "base": ["DNAModel"],
        "caduceus": ["Caduceus"],
        "hyenadna": ["HyenaDNA"],
        "leave_one_out": ["LeaveOneOut"],
        "strands": ["RCLift", "StrandBlock"],
    },
)
