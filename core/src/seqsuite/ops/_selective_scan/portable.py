"""The selective scan in PyTorch: fast on a CPU, correct on any device, memory-bounded.

Tiles of a few rows and steps, small enough for the cache: elementwise work on the whole tile, then
one in-place multiply-add a step. Only the states at the tiles' starts are kept; the backward pass
recomputes the rest, tile by tile from the end. Decays are exp2 of dt times A log2(e), several times
cheaper than exp; softplus is minus logsigmoid of the opposite, which PyTorch vectorises.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from seqsuite.ops._recurrence import recur_
from seqsuite.ops._selective_scan._tiles import (
    Layout,
    add_sum,
    compute_dtype,
    row_slices,
    sum_channels,
    sum_states,
    time_slices,
)

LOG2_E = math.log2(math.e)
_aten = torch.ops.aten


@dataclass
class _Tile:
    """The operands of one tile: u, dt (R, T, D), softplus's inner values; x = dt u and the rest (R, T, G, N, P)."""

    u: Tensor
    dt: Tensor
    softplus: tuple[Tensor, Tensor] | None
    x: Tensor
    decay: Tensor
    B: Tensor
    C: Tensor


class _Scan:
    """One call's operands, taken a tile at a time into buffers that are used again."""

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
    ) -> None:
        groups = next((m.shape[2] for m in (B, C) if m.ndim == 4), 1)
        self.layout = lay = Layout(groups, compute_dtype(u))
        self.u, self.delta, self.reset, self.softplus, self.reverse = u, delta, reset, delta_softplus, reverse
        self.bias = None if delta_bias is None else delta_bias.to(lay.dtype)
        self.A = lay.states(A)
        self.rate = self.A * LOG2_E
        self.B, self.C = (m if m.ndim == 4 else lay.states(m) for m in (B, C))
        self.rows = row_slices(u.shape[0], *A.shape)
        self.times = time_slices(u.shape[1], chunk, reverse)
        self._room = chunk * (self.rows[0].stop - self.rows[0].start) * A.numel()
        self._buffers: dict[str, Tensor] = {}

    def buffer(self, name: str, rows: int, steps: int) -> Tensor:
        """Return uninitialised (rows, steps, G, N, P), the same memory for every tile."""
        if name not in self._buffers:
            self._buffers[name] = self.A.new_empty(self._room)
        return self._buffers[name][: rows * steps * self.A.numel()].view(rows, steps, *self.A.shape)

    def read(self, x: Tensor, rows: slice, span: slice) -> Tensor:
        """Return a tile of (B, L, ...) in the computation's precision."""
        return x[rows, span].to(self.layout.dtype)

    def tile(self, rows: slice, span: slice) -> _Tile:
        lay = self.layout
        u = self.read(self.u, rows, span)
        dt = self.read(self.delta, rows, span)
        if self.bias is not None:
            dt = dt + self.bias
        inner = None
        if self.softplus:
            raw = dt.neg()
            negative, buffer = _aten.log_sigmoid_forward(raw)
            dt, inner = negative.neg_(), (raw, buffer)
        decay = torch.mul(lay.channels(dt), self.rate, out=self.buffer("decay", *dt.shape[:2])).exp2_()
        if self.reset is not None:
            decay.masked_fill_(self.reset[rows, span][..., None, None, None], 0)
        B, C = (m if m.ndim == 3 else self.read(m, rows, span).unsqueeze(-1) for m in (self.B, self.C))
        return _Tile(u, dt, inner, lay.channels(dt * u), decay, B, C)

    def run(self, tile: _Tile, start: Tensor) -> tuple[Tensor, Tensor]:
        """Return the states (R, T, G, N, P) and the last one."""
        states = torch.mul(tile.x, tile.B, out=self.buffer("states", *tile.dt.shape[:2]))
        return states, recur_(states, tile.decay, start, reverse=self.reverse)


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
    scan = _Scan(u, delta, A, B, C, delta_bias, reset, delta_softplus, reverse, chunk)
    lay = scan.layout
    y = torch.empty_like(u)
    inner = u.new_empty(u.shape if z is not None else 0, dtype=lay.dtype)
    starts = scan.A.new_empty(len(scan.times), len(u), *scan.A.shape)
    starts[0] = 0 if initial_state is None else lay.states(initial_state)
    final = torch.empty_like(starts[0])
    skip = None if D is None else D.to(lay.dtype)
    for rows in scan.rows:
        for index, span in enumerate(scan.times):
            tile = scan.tile(rows, span)
            states, last = scan.run(tile, starts[index, rows])
            (starts[index + 1] if index + 1 < len(starts) else final)[rows] = last
            out = sum_states(states, tile.C, tile.decay)
            if skip is not None:
                out.addcmul_(tile.u, skip)
            if z is None:
                y[rows, span] = out
            else:
                inner[rows, span] = out
                torch.mul(out, F.silu(scan.read(z, rows, span)), out=y[rows, span])
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
    scan = _Scan(u, delta, A, B, C, delta_bias, reset, delta_softplus, reverse, chunk)
    grads = _Gradients(scan, D, z)
    carry = scan.layout.states(dfinal)
    for rows in scan.rows:
        for index, span in reversed(list(enumerate(scan.times))):
            tile = scan.tile(rows, span)
            start = starts[index, rows]
            states, _ = scan.run(tile, start)
            g_y = scan.read(dy, rows, span)
            if z is not None:
                gate = scan.read(z, rows, span)
                grads.z[rows, span] = _aten.silu_backward(g_y * inner[rows, span], gate)
                g_y = g_y * F.silu(gate)
            grads.add(tile, start, states, g_y, carry[rows], rows, span)
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
        self, tile: _Tile, start: Tensor, states: Tensor, g_y: Tensor, carry: Tensor, rows: slice, span: slice
    ) -> None:
        """Add one tile's part; `carry` comes in as the gradient of its last state and leaves as that of `start`.

        g_t, the gradient of the state, is C_t g_y plus decay_{t+1} g_{t+1}: the same recurrence from the other end.
        """
        scan, lay = self.scan, self.scan.layout
        out = lay.channels(g_y)
        g = torch.mul(out, tile.C, out=scan.buffer("g", *g_y.shape[:2]))
        g_log = self._adjoint(g, tile.decay, start, states, carry)
        self._matrix(self.C, out, states, rows, span)
        self._matrix(self.B, tile.x, g, rows, span)
        g_x = sum_states(g, tile.B, states)
        g_dt = sum_states(g_log, scan.A, states).addcmul_(g_x, tile.u)
        add_sum(self.A, torch.mul(g_log, lay.channels(tile.dt), out=g))
        if self.skip is None:
            torch.mul(g_x, tile.dt, out=self.u[rows, span])
        else:
            torch.addcmul(g_x.mul_(tile.dt), g_y, self.skip, out=self.u[rows, span])
            add_sum(self.D, g_y * tile.u)
        if tile.softplus is not None:
            g_dt = _aten.log_sigmoid_backward(g_dt, *tile.softplus)
        if scan.bias is not None:
            add_sum(self.bias, g_dt)
        self.delta[rows, span] = g_dt

    def _adjoint(self, g: Tensor, decay: Tensor, start: Tensor, states: Tensor, carry: Tensor) -> Tensor:
        """Run g's recurrence in place; return the gradient of dt A, in the decays' place."""
        earlier, later = slice(None, -1), slice(1, None)
        first, last = (-1, 0) if self.scan.reverse else (0, -1)
        if self.scan.reverse:
            earlier, later = later, earlier
        g[:, last] += carry
        recur_(g[:, earlier], decay[:, later], g[:, last], reverse=not self.scan.reverse)
        torch.mul(decay[:, first], g[:, first], out=carry)
        decay[:, later].mul_(states[:, earlier])
        decay[:, first].mul_(start)
        return decay.mul_(g)

    def _matrix(self, total: Tensor, weights: Tensor, states: Tensor, rows: slice, span: slice) -> None:
        """Gradient of B or C: summed over everything if constant, else over the channels of each group."""
        if total.ndim == 3:
            add_sum(total, weights * states)
        else:
            total[rows, span] = sum_channels(weights, states)

    def finish(self) -> tuple[Tensor, ...]:
        """Return the gradients of u, delta, A, B, C, D, z and delta_bias."""
        flat = self.scan.layout.flat
        B, C = (flat(m) if m.ndim == 3 else m for m in (self.B, self.C))
        return self.u, self.delta, flat(self.A), B, C, self.D.clone(), self.z, self.bias.clone()
