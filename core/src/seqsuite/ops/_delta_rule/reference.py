"""The delta rule as its formula: one loop over time. The truth that the other paths are held to.

unbind and stack, never slices inside the loop: the gradient of a slice is a zero tensor of the whole
length, which makes the backward pass quadratic.
"""

from __future__ import annotations

import torch
from torch import Tensor


def delta_rule_reference(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor | None = None,
    g: Tensor | None = None,
    a: Tensor | None = None,
    b: Tensor | None = None,
    initial_state: Tensor | None = None,
    scale: float = 1.0,
    reverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return o (B, L, H, V) and the final state (B, H, K, V); see the public function."""
    dtype = torch.float64 if q.dtype == torch.float64 else torch.float32
    batch, length, heads, width = q.shape
    steps = range(length)
    ones = q.new_ones(batch, length, heads, 1, dtype=dtype)
    decay = ones if g is None else torch.exp(g.to(dtype))
    decay = decay[..., None] if decay.ndim == 3 else decay
    strength = ones if beta is None else beta.to(dtype)[..., None]
    queries, keys, values, decays, strengths = (x.to(dtype).unbind(1) for x in (q, k, v, decay, strength))
    writes = None if a is None else a.to(dtype).unbind(1)
    reads = None if b is None else b.to(dtype).unbind(1)
    S = q.new_zeros(batch, heads, width, v.shape[-1], dtype=dtype)
    if initial_state is not None:
        S = initial_state.to(dtype)
    outputs = []
    for t in reversed(steps) if reverse else steps:
        key, value = (strengths[t] * keys[t])[..., None], values[t]  # (B, H, K, 1), (B, H, V)
        kept = decays[t][..., None] * S
        if writes is None or reads is None:
            S = kept + key * (value - _read(keys[t], kept))[..., None, :]
        else:
            S = kept + writes[t][..., None] * _read(reads[t], S)[..., None, :] + key * value[..., None, :]
        outputs.append(scale * _read(queries[t], S))
    return torch.stack(outputs[::-1] if reverse else outputs, 1).to(q.dtype), S


def _read(vector: Tensor, state: Tensor) -> Tensor:
    """Return vector^T state: (B, H, K), (B, H, K, V) to (B, H, V)."""
    return (vector[..., None, :] @ state).squeeze(-2)
