"""The linear recurrence x_t += decay_t x_{t-1} along the second axis, in place: the inner loop of CPU scans.

Wide states take one multiply-add a step. Narrow ones, where the cost of a call dominates, take two
levels: segments side by side, then the carry from segment to segment, then one correction of all.
Both only multiply and add decays, so decays that underflow or are exactly zero lose nothing. The
views of the steps are made once and used for every run.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

NARROW = 2048
"""Elements of a state below which the two-level form is faster."""
Chain = tuple[list[Tensor], list[Tensor], list[Tensor]]


class Recurrence:
    """The recurrence over two buffers that are filled anew before each run."""

    def __init__(self, x: Tensor, decay: Tensor, *, reverse: bool = False) -> None:
        """Bind the buffers.

        Args:
            x: Inputs (B, T, ...), overwritten by the states.
            decay: Decays (B, T, ...), left as they are.
            reverse: Begin at the last step.
        """
        steps = x.shape[1]
        inner = math.isqrt(steps // 2) if steps and x[:, 0].numel() < NARROW else 0
        inner = inner if inner >= 4 else 0
        rest = steps % inner if inner else steps
        cut = rest if reverse else steps - rest
        halves = [(x[:, :cut], decay[:, :cut]), (x[:, cut:], decay[:, cut:])]
        near, far = halves[::-1] if reverse else halves
        self._order = -1 if reverse else 1
        self._segments = _Segments(*near, inner, self._order) if inner else None
        self._steps, self._decays = (list(m.unbind(1)[:: self._order]) for m in far)

    def run(self, state: Tensor) -> Tensor:
        """Run from `state` (B, ...) and return the last state, a view of x if T > 0."""
        if self._segments:
            state = self._segments.run(state)
        if not self._steps:
            return state
        _chain((self._steps, self._decays, [state, *self._steps[:-1]]))
        return self._steps[-1]


class _Segments:
    """The two-level form for (B, S * inner, ...), seen as S segments of `inner` steps side by side."""

    def __init__(self, x: Tensor, decay: Tensor, inner: int, order: int) -> None:
        self._x, self._decay = (m.unflatten(1, (-1, inner)) for m in (x, decay))
        self._power = torch.empty_like(self._decay)  # product of the decays since the segment's start
        entering = torch.empty_like(self._decay[:, :, 0])
        self._entering = entering.unsqueeze(2)
        local, factors, powers = (list(m.unbind(2)[::order]) for m in (self._x, self._decay, self._power))
        self._local: Chain = (local[1:], factors[1:], local[:-1])
        self._products = (powers[1:], powers[:-1])
        starts, totals, ends = (list(m.unbind(1)[::order]) for m in (entering, powers[-1], local[-1]))
        self._first, self._last = starts[0], ends[-1]
        self._carry: Chain = (starts[1:], totals[:-1], starts[:-1])
        later, earlier = (slice(1, None), slice(None, -1))[::order]
        self._inherit = (entering[:, later], local[-1][:, earlier])

    def run(self, state: Tensor) -> Tensor:
        _chain(self._local)
        self._power.copy_(self._decay)
        _chain_products(*self._products)
        self._first.copy_(state)
        self._inherit[0].copy_(self._inherit[1])
        _chain(self._carry)
        self._x.addcmul_(self._power, self._entering)
        return self._last


def _chain(chain: Chain) -> None:
    """x_i += a_i b_i one after the other, where b_i may be x_{i-1}.

    On a CPU a foreach call is this very loop without the cost of Python; elsewhere it may run all at once.
    """
    if not chain[0]:
        return
    if chain[0][0].device.type == "cpu":
        torch._foreach_addcmul_(*chain)
        return
    for x, a, b in zip(*chain, strict=True):
        x.addcmul_(a, b)


def _chain_products(x: list[Tensor], factors: list[Tensor]) -> None:
    """x_i *= f_i one after the other, where f_i may be x_{i-1}."""
    if x and x[0].device.type == "cpu":
        torch._foreach_mul_(x, factors)
        return
    for product, factor in zip(x, factors, strict=True):
        product.mul_(factor)
