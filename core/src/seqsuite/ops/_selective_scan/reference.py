"""The selective scan as its formula: one loop over time. The truth that the other paths are held to.

unbind and stack, never slices inside the loop: the gradient of a slice is a zero tensor of the whole
length, which makes the backward pass quadratic.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def selective_scan_reference(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    *,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    initial_state: Tensor | None = None,
    reset: Tensor | None = None,
    delta_softplus: bool = False,
    reverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return y (B, L, D) and the final state (B, D, N); B and C are (B, L, G, N) or (D, N).

    `reset` (B, L) is True where the state is dropped before the step. See the public function for the rest.
    """
    dtype = torch.float64 if u.dtype == torch.float64 else torch.float32
    batch, length, width = u.shape
    x, dt, decay_rate = u.to(dtype), delta.to(dtype), A.to(dtype)
    if delta_bias is not None:
        dt = dt + delta_bias.to(dtype)
    if delta_softplus:
        dt = F.softplus(dt)
    keep = x.new_ones(batch, length) if reset is None else (~reset).to(dtype)
    B_steps, C_steps = (_per_channel(m.to(dtype), length, width) for m in (B, C))
    h = x.new_zeros(batch, width, A.shape[1]) if initial_state is None else initial_state.to(dtype)

    steps = list(zip(x.unbind(1), dt.unbind(1), B_steps, C_steps, keep.unbind(1), strict=True))
    outputs = []
    for x_t, dt_t, B_t, C_t, keep_t in reversed(steps) if reverse else steps:
        decay = torch.exp(dt_t[..., None] * decay_rate) * keep_t[:, None, None]
        h = decay * h + (dt_t * x_t)[..., None] * B_t  # (B, D, N)
        outputs.append((h * C_t).sum(-1))
    y = torch.stack(outputs[::-1] if reverse else outputs, 1)
    if D is not None:
        y = y + x * D.to(dtype)
    if z is not None:
        y = y * F.silu(z.to(dtype))
    return y.to(u.dtype), h


def _per_channel(matrix: Tensor, length: int, width: int) -> list[Tensor]:
    """Give B or C of every step as (B, D, N), or (D, N) where it is constant."""
    if matrix.ndim == 2:
        return [matrix] * length
    return [step.repeat_interleave(width // matrix.shape[2], 1) for step in matrix.unbind(1)]
