"""Gated linear attention in PyTorch: chunks as matrix products, the state carried from chunk to chunk.

Tiles of a few rows and chunks, small enough for the cache. What happens within a chunk is in `_weak.py` (one
decay a head, none of them strong), `_scalar.py` (one decay a head) and `_vector.py` (a decay for every key).
Only the states at the chunks' starts are kept, and those only for a gradient; the backward pass recomputes the
rest, tile by tile from the end. In reverse a tile's operands are turned round as they are read. Within a tile
states are (R, C, G, K, P, V): rows, chunks, groups, keys, heads of a group, values.
"""

from __future__ import annotations

from itertools import groupby
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from seqsuite.ops._operands import compute_dtype
from seqsuite.ops._ssd._scalar import ScalarTile
from seqsuite.ops._ssd._vector import VectorTile
from seqsuite.ops._ssd._weak import WeakTile, weak_chunks

TILE = 131072
"""Elements of the weights between steps, or of the keys, that a tile takes, about."""


class Piece(NamedTuple):
    """A run of chunks that are computed together, for a slice of rows."""

    at: int
    chunks: int
    steps: int
    weak: bool


class _Sweep:
    """One call's operands and how they are cut: slices of rows, and for each the pieces."""

    def __init__(self, q: Tensor, k: Tensor, v: Tensor, g: Tensor, scale: float, reverse: bool, chunk: int) -> None:
        self.operands, self.scale, self.reverse, self.dtype = (q, k, v, g), scale, reverse, compute_dtype(v)
        self.vector, self.chunk = g.ndim == 4, chunk
        self.batch, self.length, heads, width = v.shape
        self.groups, self.keys = q.shape[2:]
        self.inner = (self.groups, heads // self.groups, width)
        size = heads * chunk * (max(chunk, 2 * self.keys) if self.vector else chunk)
        rows = min(max(TILE // size, 1), self.batch)
        self.rows = [slice(at, min(at + rows, self.batch)) for at in range(0, self.batch, rows)]
        self.most = max(TILE // (size * rows), 1)
        # With weak decays a tile holds queries, keys and their products forward, two states a chunk backward.
        self.most_weak = max(4 * TILE // (rows * self.groups * chunk * (2 * self.keys + chunk)), 1)
        self.most_weak_back = max(2 * TILE // (rows * heads * self.keys * width), 4)
        self.weak = None if self.vector else weak_chunks(g.flip(1) if reverse else g, chunk)

    def pieces(self, rows: slice, most_weak: int) -> list[Piece]:
        """Cut the steps into tiles of chunks of one kind, the rest into a shorter chunk of a power of two."""
        whole, rest = divmod(self.length, self.chunk)
        kinds = [False] * (whole + 1) if self.weak is None else self.weak[rows].all(0).tolist()
        pieces, first = [], 0
        for kind, run in groupby(kinds[:whole]):
            end = first + len(list(run))
            most = most_weak if kind else self.most
            for at in range(first, end, most):
                pieces.append(Piece(at * self.chunk, min(most, end - at), self.chunk, kind))
            first = end
        if rest:
            pieces.append(Piece(whole * self.chunk, 1, 1 << (rest - 1).bit_length(), kinds[whole]))
        return pieces

    def part(self, x: Tensor, rows: slice, at: int, chunks: int, steps: int) -> Tensor:
        """Return steps of (B, L, ...) in the order of the run as (R, C, Q, ...); behind the end are zeros."""
        end = min(at + chunks * steps, self.length)
        part = x[rows, self.length - end : self.length - at].flip(1) if self.reverse else x[rows, at:end]
        missing = at + chunks * steps - end
        if missing:
            part = F.pad(part, [0, 0] * (x.ndim - 2) + [0, missing])
        return part.to(self.dtype).unflatten(1, (chunks, steps))

    def put(self, out: Tensor, part: Tensor, rows: slice, at: int) -> None:
        """Write (R, C, Q, ...) to its place in (B, L, ...), unless it is there, dropping what is behind the end."""
        end = min(at + part.shape[1] * part.shape[2], self.length)
        if part.data_ptr() == out[rows, at:end].data_ptr():
            return
        part = part.flatten(1, 2)[:, : end - at].reshape(-1, end - at, *out.shape[2:])
        if self.reverse:
            out[rows, self.length - end : self.length - at] = part.flip(1)
        else:
            out[rows, at:end] = part

    def place(self, out: Tensor, rows: slice, at: int, chunks: int, steps: int) -> Tensor:
        """Return where a part of (B, L, H, V) can be written as (R, C, Q, G, P, V): its place if it fits as it is."""
        end = at + chunks * steps
        if end > self.length or self.reverse or out.dtype != self.dtype:
            return out.new_empty(len(out[rows]), chunks, steps, *self.inner, dtype=self.dtype)
        return out[rows, at:end].unflatten(1, (chunks, steps)).unflatten(3, self.inner[:2])

    def tile(self, rows: slice, piece: Piece, keep: bool) -> WeakTile | ScalarTile | VectorTile:
        """Return the tile of a piece; `keep` what its gradients need."""
        q, k, v, g = (self.part(x, rows, *piece[:3]) for x in self.operands)
        q = q if self.scale == 1 else q * self.scale
        v = v.unflatten(3, self.inner[:2])
        if self.vector:
            return VectorTile(q, k, v, g, keep)
        return (WeakTile if piece.weak else ScalarTile)(q, k, v, g.unflatten(3, self.inner[:2]))


def forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g: Tensor,
    initial_state: Tensor | None,
    scale: float,
    reverse: bool,
    chunk: int,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return o, the final state (B, H, K, V) and, to `keep`, the chunks' starts (chunks, B, G, K, P, V), else none."""
    sweep = _Sweep(q, k, v, g, scale, reverse, chunk)
    count = -(-sweep.length // chunk)
    groups, per, width = sweep.inner
    o = torch.empty(v.shape, dtype=v.dtype, device=v.device)
    places = 1 + (count if keep else min(count, sweep.most))
    states = v.new_empty(places, sweep.batch, groups, sweep.keys, per, width, dtype=sweep.dtype)
    final = torch.empty_like(states[0])
    states[0] = 0 if initial_state is None else _inner(initial_state, states)
    for rows in sweep.rows:
        here = states[:, rows]
        for piece in sweep.pieces(rows, sweep.most_weak):
            at, chunks, steps, weak = piece
            first = at // chunk if keep else 0
            run = here[first : first + chunks + 1] if keep or not weak else here[:2]
            out = sweep.place(o, rows, at, chunks, steps)
            _run(sweep.tile(rows, piece, keep=False), run, out, keep)
            sweep.put(o, out, rows, at)
            if not keep:
                here[0] = run[-1]
        final[rows] = here[-1 if keep else 0]
    return o, _outer(final), states[: count if keep else 0]


def _run(tile: WeakTile | ScalarTile | VectorTile, states: Tensor, out: Tensor, keep: bool) -> None:
    """Fill the outputs of a tile and the states (C + 1, R, G, K, P, V) behind its chunks, given the first."""
    if isinstance(tile, WeakTile):
        tile.run(states, out, keep)
        return
    places = states.unbind(0)
    for i, (total, more) in enumerate(zip(tile.total.unbind(1), tile.increments().unbind(1), strict=True)):
        torch.addcmul(more, total, places[i], out=places[i + 1])
    tile.output(states[:-1].transpose(0, 1), out)


def backward(
    dy: Tensor,
    dfinal: Tensor,
    starts: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g: Tensor,
    initial_state: Tensor | None,
    scale: float,
    reverse: bool,
    chunk: int,
) -> tuple[Tensor, ...]:
    """Return the gradients of q, k, v, g and initial_state; empty where absent."""
    sweep = _Sweep(q, k, v, g, scale, reverse, chunk)
    grads = [torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in (q, k, v, g)]
    carry = _inner(dfinal, starts)
    for rows in sweep.rows:
        for piece in reversed(sweep.pieces(rows, sweep.most_weak_back)):
            at, chunks, steps, _ = piece
            first = at // chunk
            tile = sweep.tile(rows, piece, keep=True)
            dy_part = sweep.part(dy, rows, at, chunks, steps).unflatten(3, sweep.inner[:2])
            here = starts[first : first + chunks, rows].transpose(0, 1)
            if isinstance(tile, WeakTile):
                dv = sweep.place(grads[2], rows, at, chunks, steps)
                dq, dk, dg = tile.gradients(here, dy_part, carry[rows], dv)
                found = dq, dk, dv, dg
            else:
                found = _run_back(tile, here, dy_part, carry[rows])
            for out, part in zip(grads, (found[0] * scale, *found[1:]), strict=True):
                sweep.put(out, part, rows, at)
    dinitial = v.new_empty(0) if initial_state is None else _outer(carry).to(initial_state.dtype)
    return *grads, dinitial


def _run_back(
    tile: ScalarTile | VectorTile, starts: Tensor, dy: Tensor, dstate: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of q, k, v, g; `dstate`, of the last state, becomes that of the first."""
    ends = torch.empty_like(more := tile.readings(dy))
    for i in range(ends.shape[1] - 1, -1, -1):
        ends[:, i] = dstate
        torch.addcmul(more[:, i], tile.total[:, i], dstate, out=dstate)
    return tile.gradients(starts, ends)


def _inner(state: Tensor, starts: Tensor) -> Tensor:
    """(B, H, K, V) as (B, G, K, P, V), a copy in compute precision."""
    _, _, groups, keys, per, width = starts.shape
    parts = state.view(-1, groups, per, keys, width) if state.is_contiguous() else state.unflatten(1, (groups, per))
    return parts.transpose(2, 3).to(starts.dtype, copy=True)


def _outer(state: Tensor) -> Tensor:
    """(B, G, K, P, V) as (B, H, K, V)."""
    return state.transpose(2, 3).flatten(1, 2).contiguous()
