"""Both directions around any mixer: the wrapper of `seqsuite.mixers.bidirectional`, under its name as a backbone."""

from __future__ import annotations

from seqsuite.mixers.bidirectional import Bidirectional, Combine, Tie

__all__ = ["Bidirectional", "Combine", "Tie"]
