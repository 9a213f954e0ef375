"""The linear recurrence x_t += decay_t x_{t-1} along the second axis, in place: the inner loop of CPU scans.

Wide states take one multiply-add a step. Narrow ones, where the cost of a call dominates, take two
levels: segments side by side, then the carry from segment to segment, then one correction of all.
Both only multiply and add decays, so decays that underflow or are exactly zero lose nothing. The
views of the steps are made once and used for every run, which halves the cost of a call.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

NARROW = 2048
"""Elements of a state below which the two-level form is faster."""


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
        self._segments = self._split(*near, inner) if inner else None
        self._steps = self._pairs(*far)

    def run(self, state: Tensor) -> Tensor:
        """Run from `state` (B, ...) and return the last state, a view of x if T > 0."""
        if self._segments:
            state = self._run_segments(state, *self._segments)
        for x_t, decay_t in self._steps:
            state = x_t.addcmul_(decay_t, state)
        return state

    def _pairs(self, *tensors: Tensor) -> list[tuple[Tensor, ...]]:
        """Give the steps along the second axis, in the order of the run."""
        return list(zip(*(m.unbind(1)[:: self._order] for m in tensors), strict=True))

    def _split(self, x: Tensor, decay: Tensor, inner: int) -> tuple:
        """Cut (B, S * inner, ...) into S segments: views of columns (B, S, ...), of ends (B, ...) and of all."""
        x, decay = (m.unflatten(1, (-1, inner)) for m in (x, decay))
        power = torch.empty_like(decay)  # product of the decays since the segment's start
        entering = torch.empty_like(decay[:, :, 0])
        columns = list(zip(*(m.unbind(2)[:: self._order] for m in (x, decay, power)), strict=True))
        ends = self._pairs(entering, columns[-1][2], columns[-1][0])
        return columns, ends, x, power, entering.unsqueeze(2)

    def _run_segments(
        self,
        state: Tensor,
        columns: list[tuple[Tensor, Tensor, Tensor]],
        ends: list[tuple[Tensor, Tensor, Tensor]],
        x: Tensor,
        power: Tensor,
        entering: Tensor,
    ) -> Tensor:
        local, _, product = columns[0]
        product.copy_(columns[0][1])
        for x_t, decay_t, power_t in columns[1:]:
            local = x_t.addcmul_(decay_t, local)
            product = torch.mul(decay_t, product, out=power_t)
        for slot, total, end in ends:
            slot.copy_(state)
            state = torch.addcmul(end, total, slot)
        x.addcmul_(power, entering)
        return ends[-1][2]
