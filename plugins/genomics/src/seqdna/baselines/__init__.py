"""What a model of DNA must beat, by counting: see `seqdna.baselines.counts`."""

from __future__ import annotations

from seqdna.baselines.counts import CountBaselines, count_baselines

__all__ = ["CountBaselines", "count_baselines"]
