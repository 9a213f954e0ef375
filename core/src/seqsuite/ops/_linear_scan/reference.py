"""The linear recurrence as its formula: one loop over time. The truth that the other paths are held to."""

from __future__ import annotations

import torch
from torch import Tensor


def linear_scan_reference(
    a: Tensor, b: Tensor, initial_state: Tensor | None, reverse: bool, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Return h (B, L, D) in the dtype of `b` and the final state (B, D) in `dtype`, in which all is computed."""
    length = b.shape[1]
    factors = [a.to(dtype)] * length if a.ndim == 1 else list(a.to(dtype).unbind(1))
    steps = list(zip(factors, b.to(dtype).unbind(1), strict=True))
    h = torch.zeros_like(b[:, 0], dtype=dtype) if initial_state is None else initial_state.to(dtype)
    states = []
    for a_t, b_t in reversed(steps) if reverse else steps:
        h = a_t * h + b_t
        states.append(h)
    return torch.stack(states[::-1] if reverse else states, 1).to(b.dtype), h
