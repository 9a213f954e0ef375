"""Angles of rotary positions (https://arxiv.org/abs/2104.09864), from float64 wherever the positions lie."""

from __future__ import annotations

import torch
from torch import Tensor

WITHOUT_DOUBLE = ("mps",)
"""Devices that have no float64: angles are computed on the CPU."""


def cos_sin(place: Tensor, count: int, base: float, *, span: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return cosines and sines of place times base^(-i / span) for i < count.

    In float32 an angle of 80,000 would be known to 0.004 only, so the angles are float64.

    Args:
        place: (...) positions.
        count: Number of frequencies.
        base: Of the frequencies.
        span: Steps until they have fallen to 1 / base.
        dtype: Of the result.

    Returns:
        Two tensors (..., count).
    """
    device = torch.device("cpu") if place.device.type in WITHOUT_DOUBLE else place.device
    rate = base ** (-torch.arange(count, device=device, dtype=torch.float64) / max(span, 1))
    angle = place.to(device).double()[..., None] * rate
    return angle.cos().to(dtype).to(place.device), angle.sin().to(dtype).to(place.device)
