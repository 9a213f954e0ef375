"""The selective scan in PyTorch: fast on a CPU, correct on any device, memory-bounded.

Tiles of a few rows and steps, small enough for the cache: elementwise work on the whole tile, then
one in-place multiply-add a step. Only the states at the tiles' starts are kept; the backward pass
recomputes the rest, tile by tile from the end. Decays are exp2 of dt times A log2(e), several times
cheaper than exp; softplus is minus logsigmoid of the opposite, which PyTorch vectorises. At such
sizes a call costs as much as its work: views of the buffers are made once for every tile shape.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from seqsuite.ops._operands import compute_dtype, room_for
from seqsuite.ops._recurrence import Recurrence
from seqsuite.ops._selective_scan._tiles import (
    Layout,
    add_sum,
    row_slices,
    sum_channels,
    sum_states,
    time_sizes,
)

LOG2_E = math.log2(math.e)
_aten = torch.ops.aten


class _Frame:
    """The buffers of one tile shape (R, T, G, N, P), with the recurrences bound to them."""

    def __init__(self, flat_decay: Tensor, decay: Tensor, states: Tensor, g: Tensor | None, reverse: bool) -> None:
        self.flat_decay, self.decay, self.states = flat_decay, decay, states
        self._vectors: dict[str, Tensor] = {}
        self._flat: dict[str, Tensor] = {}
        self.scan = Recurrence(states, decay, reverse=reverse)
        if g is None:
            return
        earlier, later, first, last = slice(None, -1), slice(1, None), 0, -1
        if reverse:
            earlier, later, first, last = later, earlier, last, first
        self.g, self.g_first, self.g_last = g, g[:, first], g[:, last]
        self.decay_first, self.decay_later = decay[:, first], decay[:, later]
        self.states_earlier = states[:, earlier]
        self.adjoint = Recurrence(g[:, earlier], self.decay_later, reverse=not reverse)

    def vector(self, name: str) -> Tensor:
        """Return an uninitialised (R, T, D) buffer: fresh memory for every result would cost more than the result."""
        if name not in self._vectors:
            rows, steps, groups, _, p = self.decay.shape
            size = rows * steps * groups * p
            self._flat[name] = self.decay.new_zeros(room_for(size))
            self._vectors[name] = self._flat[name][:size].view(rows, steps, groups * p)
        return self._vectors[name]

    def flat(self, name: str) -> Tensor:
        """Return the whole buffer of `vector(name)`, see `room_for`."""
        self.vector(name)
        return self._flat[name]

    def silu(self, gate: Tensor, name: str) -> Tensor:
        """Fill the buffer of that name with the gate's SiLU and return it."""
        out = self.vector(name).copy_(gate)
        flat = self.flat(name)
        _aten.silu.out(flat, out=flat)
        return out


class _Scan:
    """One call's operands, and the buffers that its tiles use in turn."""

    def __init__(
        self,
        u: Tensor,
        delta: Tensor,
        A: Tensor,
        B: Tensor,
        C: Tensor,
        delta_bias: Tensor | None,
        reset: Tensor | None,
        delta_softplus: bool,
        reverse: bool,
        chunk: int,
        backward: bool,
    ) -> None:
        groups = next((m.shape[2] for m in (B, C) if m.ndim == 4), 1)
        self.layout = lay = Layout(groups, compute_dtype(u))
        self.u, self.delta, self.reset, self.softplus, self.reverse = u, delta, reset, delta_softplus, reverse
        self.bias = None if delta_bias is None else delta_bias.to(lay.dtype)
        self.minus_bias = None if self.bias is None else -self.bias
        self.A = lay.states(A)
        self.rate = self.A * LOG2_E
        self.B, self.C = (m if m.ndim == 4 else lay.states(m) for m in (B, C))
        self.rows = row_slices(u.shape[0], *A.shape)
        self.sizes = time_sizes(u.shape[1], chunk, reverse)
        room = chunk * (self.rows[0].stop - self.rows[0].start) * A.numel()
        self._buffers = [self.A.new_empty(room_for(room)) for _ in range(3 if backward else 2)]
        self._buffers[0][room:].zero_()
        self._frames: dict[tuple[int, int], _Frame] = {}

    def frame(self, rows: int, steps: int) -> _Frame:
        """Return the buffers for tiles of that shape; all shapes share their memory."""
        if (rows, steps) not in self._frames:
            size = rows * steps * self.A.numel()
            decay, states, *g = (b[:size].view(rows, steps, *self.A.shape) for b in self._buffers)
            flat = self._buffers[0][: room_for(size)]
            self._frames[rows, steps] = _Frame(flat, decay, states, g[0] if g else None, self.reverse)
        return self._frames[rows, steps]

    def tiles(self, rows: slice, others: Sequence[Tensor | None], matrices: Sequence[Tensor] = ()) -> Iterator[Any]:
        """Yield (u, delta, reset, B, C, *others, *matrices) of each tile in the order of the recurrence.

        Each is (B, L, ...) and cut, or None or empty and repeated; B, C and `matrices` may be constant (G, N, P).
        """
        columns: list[Sequence[Tensor | None]] = []
        known = len(self.sizes)
        for x in (self.u, self.delta, self.reset):
            columns.append([None] * known if x is None else x[rows].split(self.sizes, 1))
        for x in (self.B, self.C):
            columns.append([x] * known if x.ndim == 3 else x[rows].split(self.sizes, 1))
        for x in others:
            columns.append([None] * known if x is None or not x.numel() else x[rows].split(self.sizes, 1))
        for x in matrices:
            columns.append([x] * known if x.ndim == 3 else x[rows].split(self.sizes, 1))
        order = -1 if self.reverse else 1
        return (list(parts) for parts in list(zip(*columns, strict=True))[::order])


class _Tile:
    """One tile: u, dt (R, T, D), x = dt u (R, T, G, 1, P), B, C, and after `run` the states and decays."""

    def __init__(
        self, scan: _Scan, start: Tensor, u: Tensor, delta: Tensor, reset: Tensor | None, B: Tensor, C: Tensor
    ) -> None:
        lay = scan.layout
        self.frame = frame = scan.frame(*u.shape[:2])
        self.u, delta, raw, dt = u.to(lay.dtype), delta.to(lay.dtype), frame.vector("raw"), frame.vector("dt")
        if scan.softplus:
            self.raw, self.buffer = raw, frame.vector("buffer")
            torch.neg(delta, out=raw) if scan.minus_bias is None else torch.sub(scan.minus_bias, delta, out=raw)
            _aten.log_sigmoid_forward.output(frame.flat("raw"), output=frame.flat("dt"), buffer=frame.flat("buffer"))
            dt.neg_()
        else:
            dt.copy_(delta) if scan.bias is None else torch.add(delta, scan.bias, out=dt)
        self.dt = dt
        self.B, self.C = (m if m.ndim == 3 else m.to(lay.dtype).unsqueeze(-1) for m in (B, C))
        self.x = lay.channels(torch.mul(dt, self.u, out=frame.vector("x")))
        self.decay = torch.mul(lay.channels(dt), scan.rate, out=frame.decay)
        frame.flat_decay.exp2_()
        if reset is not None:
            self.decay.masked_fill_(reset[..., None, None, None], 0)
        self.states = torch.mul(self.x, self.B, out=frame.states)
        self.last = frame.scan.run(start)


def forward(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    initial_state: Tensor | None,
    reset: Tensor | None,
    delta_softplus: bool,
    reverse: bool,
    chunk: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return y, the final state, the states at the tiles' starts and, if there is a gate, the ungated y.

    The final state is (B, D, N), the starts are (tiles, B, G, N, P).
    """
    scan = _Scan(u, delta, A, B, C, delta_bias, reset, delta_softplus, reverse, chunk, backward=False)
    lay = scan.layout
    y = torch.empty_like(u)
    inner = u.new_empty(u.shape if z is not None else 0, dtype=lay.dtype)
    starts = scan.A.new_empty(len(scan.sizes), len(u), *scan.A.shape)
    starts[0] = 0 if initial_state is None else lay.states(initial_state)
    final = torch.empty_like(starts[0])
    skip = None if D is None else D.to(lay.dtype)
    for rows in scan.rows:
        for index, (*parts, gate, y_part, inner_part) in enumerate(scan.tiles(rows, (z, y, inner))):
            tile = _Tile(scan, starts[index, rows], *parts)
            (starts[index + 1] if index + 1 < len(starts) else final)[rows] = tile.last
            out = sum_states(tile.states, tile.C, tile.decay, tile.frame.vector("y"))
            if skip is not None:
                out.addcmul_(tile.u, skip)
            if gate is None:
                y_part.copy_(out)
            else:
                inner_part.copy_(out)
                torch.mul(out, tile.frame.silu(gate, "gate"), out=y_part)
    return y, lay.flat(final), starts, inner


def backward(
    dy: Tensor,
    dfinal: Tensor,
    starts: Tensor,
    inner: Tensor,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    initial_state: Tensor | None,
    reset: Tensor | None,
    delta_softplus: bool,
    reverse: bool,
    chunk: int,
) -> tuple[Tensor, ...]:
    """Return the gradients of u, delta, A, B, C, D, z, delta_bias and initial_state; empty where absent."""
    scan = _Scan(u, delta, A, B, C, delta_bias, reset, delta_softplus, reverse, chunk, backward=True)
    dtype = scan.layout.dtype
    grads = _Gradients(scan, D, z)
    carry = scan.layout.states(dfinal)
    for rows in scan.rows:
        tiles = scan.tiles(rows, (dy, z, inner, grads.z, grads.u, grads.delta), (grads.B, grads.C))
        for index, (*parts, g_y, gate, inner_part, dz, du, ddelta, dB, dC) in reversed(list(enumerate(tiles))):
            start = starts[index, rows]
            tile = _Tile(scan, start, *parts)
            g_y = g_y.to(dtype)
            if gate is not None:
                gate, scratch, g_z = gate.to(dtype), tile.frame.vector("gate"), tile.frame.vector("g_y")
                torch.mul(g_y, inner_part, out=scratch)
                dz.copy_(_aten.silu_backward.grad_input(scratch, gate, grad_input=g_z))
                g_y = torch.mul(g_y, _aten.silu.out(gate, out=scratch), out=g_z)
            grads.add(tile, g_y, start, carry[rows], du, ddelta, dB, dC)
    found = (*grads.finish(), scan.layout.flat(carry))
    operands = (u, delta, A, B, C, D, z, delta_bias, initial_state)
    return tuple(u.new_empty(0) if x is None else g.to(x.dtype) for g, x in zip(found, operands, strict=True))


class _Gradients:
    """Collects the gradients tile by tile, last tile first."""

    def __init__(self, scan: _Scan, D: Tensor | None, z: Tensor | None) -> None:
        self.scan = scan
        self.u, self.delta = torch.empty_like(scan.u), torch.empty_like(scan.delta)
        self.z = scan.u.new_empty(0) if z is None else torch.empty_like(z)
        self.A = torch.zeros_like(scan.A)
        self.B, self.C = (torch.zeros_like(m) if m.ndim == 3 else torch.empty_like(m) for m in (scan.B, scan.C))
        self.skip = None if D is None else D.to(scan.layout.dtype)
        self.D, self.bias = self.A.new_zeros(2, self.u.shape[2]).unbind(0)

    def add(
        self,
        tile: _Tile,
        g_y: Tensor,
        start: Tensor,
        carry: Tensor,
        du: Tensor,
        ddelta: Tensor,
        dB: Tensor,
        dC: Tensor,
    ) -> None:
        """Add one tile's part, where du, ddelta, dB and dC are the tile's parts of the gradients.

        g_t, the gradient of the state, is C_t g_y plus decay_{t+1} g_{t+1}: the same recurrence from the
        other end. `carry` comes in as the gradient of the tile's last state and leaves as that of `start`.
        """
        scan, frame, lay = self.scan, tile.frame, self.scan.layout
        out = lay.channels(g_y)
        g = torch.mul(out, tile.C, out=frame.g)
        frame.g_last.add_(carry)
        frame.adjoint.run(frame.g_last)
        torch.mul(frame.decay_first, frame.g_first, out=carry)
        _matrix(dC, out, tile.states)
        _matrix(dB, tile.x, g)
        frame.decay_later.mul_(frame.states_earlier)
        frame.decay_first.mul_(start)
        g_log = tile.decay.mul_(g)  # the gradient of dt A
        g_x = sum_states(g, tile.B, tile.states, frame.vector("g_x"))
        g_dt = sum_states(g_log, scan.A, tile.states, frame.vector("g_dt")).addcmul_(g_x, tile.u)
        add_sum(self.A, torch.mul(g_log, lay.channels(tile.dt), out=g))
        if self.skip is None:
            torch.mul(g_x, tile.dt, out=du)
        else:
            torch.addcmul(g_x.mul_(tile.dt), g_y, self.skip, out=du)
            add_sum(self.D, torch.mul(g_y, tile.u, out=frame.vector("gate")))
        if scan.softplus:
            g_dt = _aten.log_sigmoid_backward.grad_input(g_dt, tile.raw, tile.buffer, grad_input=frame.vector("x"))
        if scan.bias is not None:
            add_sum(self.bias, g_dt)
        ddelta.copy_(g_dt)

    def finish(self) -> tuple[Tensor, ...]:
        """Return the gradients of u, delta, A, B, C, D, z and delta_bias."""
        flat = self.scan.layout.flat
        B, C = (flat(m) if m.ndim == 3 else m for m in (self.B, self.C))
        return self.u, self.delta, flat(self.A), B, C, self.D.clone(), self.z, self.bias.clone()


def _matrix(total: Tensor, weights: Tensor, states: Tensor) -> None:
    """Gradient of B or C: summed over everything if constant, else over the channels of each group."""
    if total.ndim == 3:
        add_sum(total, weights * states)
    else:
        total.copy_(sum_channels(weights, states))
