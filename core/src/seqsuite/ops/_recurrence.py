"""The linear recurrence x_t += decay_t x_{t-1} along the second axis, in place: the inner loop of CPU scans.

Wide states take one multiply-add a step. Narrow ones, where the cost of a call dominates, take two
levels: segments side by side, then the carry from segment to segment, then one correction of all.
Both only multiply and add decays, so decays that underflow or are exactly zero lose nothing.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

NARROW = 2048
"""Elements of a state below which the two-level form is faster."""


def recur_(x: Tensor, decay: Tensor, state: Tensor, *, reverse: bool = False) -> Tensor:
    """Run the recurrence over x (B, T, ...) in place and return the last state, a view of x if T > 0.

    Args:
        x: Inputs (B, T, ...), overwritten by the states.
        decay: Decays (B, T, ...), left as they are.
        state: The state before the first step (B, ...).
        reverse: Begin at the last step.
    """
    steps = x.shape[1]
    inner = math.isqrt(steps // 2) if state.numel() < NARROW else 0
    if inner < 4:
        return _sequential(x, decay, state, reverse)
    rest = steps % inner
    cut = rest if reverse else steps - rest
    (x_near, x_far), (decay_near, decay_far) = ((m[:, :cut], m[:, cut:]) for m in (x, decay))
    if reverse:
        state = _two_level(x_far, decay_far, state, inner, reverse)
        return _sequential(x_near, decay_near, state, reverse)
    state = _two_level(x_near, decay_near, state, inner, reverse)
    return _sequential(x_far, decay_far, state, reverse)


def _sequential(x: Tensor, decay: Tensor, state: Tensor, reverse: bool) -> Tensor:
    order = -1 if reverse else 1
    for x_t, decay_t in zip(x.unbind(1)[::order], decay.unbind(1)[::order], strict=True):
        state = x_t.addcmul_(decay_t, state)
    return state


def _two_level(x: Tensor, decay: Tensor, state: Tensor, inner: int, reverse: bool) -> Tensor:
    """Segments of `inner` steps: (B, S * inner, ...) as (B, S, inner, ...)."""
    order = -1 if reverse else 1
    segments, factors = (m.unflatten(1, (-1, inner)) for m in (x, decay))
    power = torch.empty_like(factors)  # product of the decays since the segment's start
    local, factor, product = (m.unbind(2)[::order] for m in (segments, factors, power))
    product[0].copy_(factor[0])
    for j in range(1, inner):
        local[j].addcmul_(factor[j], local[j - 1])
        torch.mul(factor[j], product[j - 1], out=product[j])
    entering = torch.empty_like(local[-1])
    ends = (m.unbind(1)[::order] for m in (entering, product[-1], local[-1]))
    for slot, total, end in zip(*ends, strict=True):
        slot.copy_(state)
        state = torch.addcmul(end, total, slot)
    segments.addcmul_(power, entering.unsqueeze(2))
    return local[-1].unbind(1)[::order][-1]
