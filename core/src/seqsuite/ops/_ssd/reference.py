"""Gated linear attention as its formula: one loop over time. The truth that the other paths are held to.

unbind and stack, never slices inside the loop: the gradient of a slice is a zero tensor of the whole
length, which makes the backward pass quadratic.
"""

from __future__ import annotations

import torch
from torch import Tensor

from seqsuite.ops._operands import compute_dtype


def ssd_reference(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g: Tensor,
    *,
    scale: float = 1.0,
    initial_state: Tensor | None = None,
    reverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return o (B, L, H, V) and the final state (B, H, K, V); g is (B, L, H) or (B, L, H, K).

    See the public function for the rest.
    """
    dtype = compute_dtype(v)
    batch, _, heads, width = v.shape
    groups, keys = q.shape[2:]
    decay = torch.exp(g.to(dtype))
    decay = (decay if g.ndim == 4 else decay.unsqueeze(-1)).unsqueeze(-1)  # (B, L, H, K or 1, 1)
    state = v.new_zeros(batch, heads, keys, width, dtype=dtype) if initial_state is None else initial_state.to(dtype)

    steps = list(zip(*(x.to(dtype).unbind(1) for x in (q, k, v, decay)), strict=True))
    outputs = []
    for q_t, k_t, v_t, decay_t in reversed(steps) if reverse else steps:
        q_t, k_t = (x.repeat_interleave(heads // groups, 1) for x in (q_t, k_t))  # (B, H, K)
        state = decay_t * state + k_t[..., None] * v_t[..., None, :]
        outputs.append(scale * (q_t[..., None] * state).sum(2))
    o = torch.stack(outputs[::-1] if reverse else outputs, 1)
    return o.to(v.dtype), state
