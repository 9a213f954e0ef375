"""The linear recurrence in PyTorch: fast on a CPU, correct on any device, memory-bounded.

Tiles of steps, small enough for the cache, with time outermost so that every call runs over solid
memory. A narrow state, where the cost of a call dominates, takes two levels: S segments of Q steps
advance side by side, the carry walks from segment to segment, and one multiply-add corrects all. A
wide state takes one multiply-add a step. Both only multiply and add, so factors that underflow or are
zero lose nothing. The backward pass is the same recurrence from the other end.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

NARROW = 1024
"""Numbers in a state (a complex has two) from which on one step at a time is faster than two levels."""
WIDE = 4096
"""Elements of a state from which on it is faster to work in the result than in a buffer that stays in the cache."""
TILE = 2**17
"""Elements of a tile."""


def state_dtype(b: Tensor) -> torch.dtype:
    """Return the dtype of states and of the computation: that of a complex or float64 `b`, else float32."""
    return b.dtype if b.is_complex() or b.dtype == torch.float64 else torch.float32


class _Tile:
    """S segments of Q steps of x_t += a_t x_{t-1}, in place, in buffers (Q, S, B, D) that are filled anew each time.

    `x` is the input and becomes the states. `scratch` holds the factors, which are spent; where they are constant in
    time, `constant` (D,) holds them.
    """

    def __init__(self, x: Tensor, scratch: Tensor, constant: Tensor | None, reverse: bool) -> None:
        self.x, self.scratch = x, scratch
        self.inner, segments = x.shape[:2]
        self.steps = self.inner * segments
        order = -1 if reverse else 1
        self._powers = scratch  # products of the factors since the segment's start
        factors = list(scratch.unbind(0))[::order]
        if constant is not None:
            powers = constant.expand(self.inner, -1).cumprod(0)[:, None, None]
            self._powers = powers.flip(0) if reverse else powers
            factors = [constant] * self.inner
        steps, powers_of_steps = (list(m.unbind(0))[::order] for m in (x, self._powers))
        entering = x.new_empty(segments + 1, *x.shape[2:])
        states, totals = (list(m.unbind(0))[::order] for m in (entering, powers_of_steps[-1].expand_as(steps[-1])))
        self._entering, self._leaving = (entering[1:], entering[:-1]) if reverse else (entering[:-1], entering[1:])
        self._states, self._ends = states, steps[-1]
        self.first = steps[0][-1 if reverse else 0]  # (B, D), the first step of the run
        self._first_factor = factors[0].expand_as(steps[0])[0]
        self._local = (steps[1:], factors[1:], steps[:-1])
        self._products = ([], []) if constant is not None else (powers_of_steps[1:], powers_of_steps[:-1])
        self._carry = (states[1:], totals, states[:-1])

    def view(self, buffer: Tensor) -> Tensor:
        """Return a buffer as (B, S, Q, D)."""
        return buffer.permute(2, 1, 0, 3)

    def fit(self, steps: Tensor) -> Tensor:
        """Return (B, S * Q, D) as (B, S, Q, D)."""
        return steps.unflatten(1, (-1, self.inner))

    def run(self, state: Tensor) -> Tensor:
        """Run from `state` (B, D) and return the last state."""
        if len(self._ends) == 1:
            self.first.addcmul_(self._first_factor, state)
            _chain(*self._local)
            return self._ends[0].clone()
        _chain(*self._local)
        _multiply(*self._products)
        self._states[0].copy_(state)
        self._leaving.copy_(self._ends)
        _chain(*self._carry)
        self.x.addcmul_(self._powers, self._entering)
        return self._states[-1].clone()


class _Tiles:
    """The tiles of a (B, L, D) run in its order; all share the same two buffers."""

    def __init__(self, b: Tensor, dtype: torch.dtype, constant: Tensor | None, reverse: bool) -> None:
        self._batch, self._length, self._width = b.shape
        self._constant, self._reverse = None if constant is None else constant.to(dtype), reverse
        size = self._batch * self._width
        self._narrow = size * (2 if dtype.is_complex else 1) < NARROW
        self._room = max(4, TILE // size)
        flat = (min(self._room, self._length) * size,)
        self._buffers = [b.new_empty(flat, dtype=dtype) for _ in range(2)]
        self._known: dict[int, _Tile] = {}

    def __iter__(self) -> Iterator[tuple[int, int, _Tile]]:
        """Yield (start, stop, tile)."""
        done = 0
        while done < self._length:
            tile = self._tile(min(self._room, self._length - done))
            start, done = done, done + tile.steps
            yield (self._length - done, self._length - start, tile) if self._reverse else (start, done, tile)

    def _tile(self, steps: int) -> _Tile:
        """Return the tile for at most that many steps: what does not fill a segment is left for the next one."""
        if steps not in self._known:
            inner = math.isqrt(steps // 2) if self._narrow else 0
            inner = inner if inner >= 4 else steps
            shape = (inner, steps // inner, self._batch, self._width)
            x, scratch = (buffer[: math.prod(shape)].view(shape) for buffer in self._buffers)
            self._known[steps] = _Tile(x, scratch, self._constant, self._reverse)
        return self._known[steps]


def forward(a: Tensor, b: Tensor, initial_state: Tensor | None, reverse: bool) -> tuple[Tensor, Tensor]:
    """Return the states (B, L, D) in the dtype of `b` and the final state (B, D)."""
    return _scan(a, b, initial_state, reverse, b.dtype)


def _scan(
    a: Tensor, b: Tensor, initial_state: Tensor | None, reverse: bool, out_dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    dtype = state_dtype(b)
    y = b.new_empty(b.shape, dtype=out_dtype)
    state = b.new_zeros(b[:, 0].shape, dtype=dtype) if initial_state is None else initial_state.to(dtype)
    if b[:, 0].numel() >= WIDE and a.dtype == b.dtype == out_dtype == dtype:
        return y, _scan_in(y, a, b, state, reverse)
    for start, stop, tile in _Tiles(b, dtype, a if a.ndim == 1 else None, reverse):
        tile.view(tile.x).copy_(tile.fit(b[:, start:stop]))
        if a.ndim == 3:
            tile.view(tile.scratch).copy_(tile.fit(a[:, start:stop]))
        state = tile.run(state)
        tile.fit(y[:, start:stop]).copy_(tile.view(tile.x))
    return y, state


def _scan_in(y: Tensor, a: Tensor, b: Tensor, state: Tensor, reverse: bool) -> Tensor:
    """Fill `y`, a few steps at a time so that they are in the cache when they are worked on."""
    order, length, count = -1 if reverse else 1, b.shape[1], max(4, TILE // state.numel())
    for done in range(0, length, count):
        start, stop = done, min(done + count, length)
        part = slice(length - stop, length - start) if reverse else slice(start, stop)
        y[:, part].copy_(b[:, part])
        steps = list(y[:, part].unbind(1))[::order]
        factors = [a] * len(steps) if a.ndim == 1 else list(a[:, part].unbind(1))[::order]
        _chain(steps, factors, [state, *steps[:-1]])
        state = steps[-1]
    return state.clone()


def backward(
    dy: Tensor, dfinal: Tensor, kept: Tensor, a: Tensor, initial_state: Tensor | None, reverse: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of a, b and the state before the first step, the last one in compute precision.

    `kept` is the output of the forward pass if that was in compute precision, else its input b.
    What runs is the conjugate of the gradient, because then the factors need no conjugation. Lazy conjugates would be
    lost where torch.compile calls this below their dispatch key.
    """
    dtype = state_dtype(dy)
    h = kept if kept.dtype == dtype else _scan(a, kept, initial_state, reverse, dtype)[0]
    da = a.new_zeros(a.shape, dtype=dtype) if a.ndim == 1 else a.new_empty(a.shape)
    db = dy.new_empty(dy.shape)
    before = dy.new_zeros(dy[:, 0].shape, dtype=dtype) if initial_state is None else initial_state.to(dtype)
    state: Tensor | None = None
    for start, stop, tile in _Tiles(dy, dtype, a if a.ndim == 1 else None, not reverse):
        tile.view(tile.x).copy_(tile.fit(dy[:, start:stop]))
        if a.ndim == 3:
            _shifted(a, start, stop, -1 if reverse else 1, None, tile)
        if dtype.is_complex:
            tile.x.conj_physical_()
        if state is None:
            tile.first.add_(dfinal.conj_physical())
            state = torch.zeros_like(before)
        state = tile.run(state)
        h_before = _shifted(h, start, stop, 1 if reverse else -1, before, tile)
        _finish(tile, h_before, da if a.ndim == 1 else da[:, start:stop], db[:, start:stop])
    assert state is not None
    first = a if a.ndim == 1 else a[:, -1 if reverse else 0]
    return da.to(a.dtype), db, (first.to(dtype) * state).conj_physical()


def _shifted(source: Tensor, start: int, stop: int, by: int, edge: Tensor | None, tile: _Tile) -> Tensor:
    """Fill the tile's scratch with ``source[:, t + by]`` for t in start .. stop - 1 and return it.

    Outside the sequence lies `edge` (B, D), zero if None.
    """
    low, high = max(start + by, 0), min(stop + by, source.shape[1])
    scratch = tile.view(tile.scratch)
    if high - low == tile.steps:
        scratch.copy_(tile.fit(source[:, low:high]))
        return tile.scratch
    outside = torch.zeros_like(source[:, :1]) if edge is None else edge[:, None].to(source.dtype)
    parts = (source[:, low:high], outside) if by > 0 else (outside, source[:, low:high])
    scratch.copy_(tile.fit(torch.cat(parts, 1)))
    return tile.scratch


def _finish(tile: _Tile, h_before: Tensor, da: Tensor, db: Tensor) -> None:
    """Write what a tile of conjugate gradients gives; `da` is the tile's part, or the sum (D,) of a constant a."""
    product = h_before.mul_(tile.x)
    if product.is_complex():
        tile.x.conj_physical_()
        product.conj_physical_()
    tile.fit(db).copy_(tile.view(tile.x))
    if da.ndim == 1:
        da.add_(product.sum((0, 1, 2)))
    else:
        tile.fit(da).copy_(tile.view(product))


def _chain(x: list[Tensor], factors: list[Tensor], before: list[Tensor]) -> None:
    """x_i += a_i b_i one after the other, where b_i may be x_{i-1}.

    On a CPU a foreach call is this very loop without the cost of Python; elsewhere it may run all at once.
    """
    if x and x[0].device.type == "cpu":
        torch._foreach_addcmul_(x, factors, before)
        return
    for target, factor, source in zip(x, factors, before, strict=True):
        target.addcmul_(factor, source)


def _multiply(x: list[Tensor], factors: list[Tensor]) -> None:
    """x_i *= f_i one after the other, where f_i may be x_{i-1}."""
    if x and x[0].device.type == "cpu":
        torch._foreach_mul_(x, factors)
        return
    for target, factor in zip(x, factors, strict=True):
        target.mul_(factor)
