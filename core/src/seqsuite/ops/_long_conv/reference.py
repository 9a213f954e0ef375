"""The long convolution as its formula: for each step the sum over all steps before it."""

from __future__ import annotations

import torch
from torch import Tensor

from seqsuite.ops._operands import compute_dtype


def long_conv_reference(u: Tensor, k: Tensor, D: Tensor | None = None, reverse: bool = False) -> Tensor:
    """Return y (B, L, D) for an input (B, L, D), taps (K, D) and a skip (D,)."""
    dtype = compute_dtype(u)
    steps = list(u.to(dtype).unbind(1))
    steps = steps[::-1] if reverse else steps
    taps = k.to(dtype).unbind(0)
    outputs = []
    for t, present in enumerate(steps):
        y = torch.zeros_like(present) if D is None else D.to(dtype) * present
        for lag, tap in enumerate(taps[: t + 1]):
            y = y + tap * steps[t - lag]
        outputs.append(y)
    return torch.stack(outputs[::-1] if reverse else outputs, 1).to(u.dtype)
