"""Gated linear attention in PyTorch: chunks as matrix products, the state carried from chunk to chunk.

Tiles of a few rows and chunks, small enough for the cache. What happens within a chunk is in `_scalar.py`
(one decay a head) and `_vector.py` (a decay for every key). Only the states at the chunks' starts are
kept; the backward pass recomputes the rest, tile by tile from the end. In reverse a tile's operands are
turned round as they are read. Within a tile states are (R, C, G, K, P, V): rows, chunks, groups, keys,
heads of a group, values.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from seqsuite.ops._operands import compute_dtype
from seqsuite.ops._ssd._scalar import ScalarTile
from seqsuite.ops._ssd._vector import VectorTile

TILE = 131072
"""Elements of the weights between steps, or of the keys, that a tile takes, about."""
Tile = ScalarTile | VectorTile


class _Sweep:
    """One call's operands and how they are cut: slices of rows, and (first step, chunks, their steps)."""

    def __init__(self, q: Tensor, k: Tensor, v: Tensor, g: Tensor, scale: float, reverse: bool, chunk: int) -> None:
        self.operands, self.scale, self.reverse, self.dtype = (q, k, v, g), scale, reverse, compute_dtype(v)
        self.vector = g.ndim == 4
        self.batch, self.length, heads, width = v.shape
        self.groups, self.keys = q.shape[2:]
        self.inner = (self.groups, heads // self.groups, width)
        size = heads * chunk * (max(chunk, 2 * self.keys) if self.vector else chunk)
        rows = min(max(TILE // size, 1), self.batch)
        self.rows = [slice(at, min(at + rows, self.batch)) for at in range(0, self.batch, rows)]
        self.pieces = list(_pieces(self.length, chunk, max(TILE // (size * rows), 1)))

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

    def tile(self, rows: slice, place: tuple[int, int, int], keep: bool) -> Tile:
        """Return the tile at a place; for a decay of every key, steps are filled up to a power of two."""
        q, k, v, g = (self.part(x, rows, *place) for x in self.operands)
        q = q if self.scale == 1 else q * self.scale
        v = v.unflatten(3, self.inner[:2])
        return VectorTile(q, k, v, g, keep) if self.vector else ScalarTile(q, k, v, g.unflatten(3, self.inner[:2]))


def _pieces(length: int, chunk: int, most: int) -> Iterator[tuple[int, int, int]]:
    """Cut the steps into tiles of at most `most` chunks, the rest into a shorter chunk of a power of two."""
    whole = length // chunk
    for first in range(0, whole, most):
        yield first * chunk, min(most, whole - first), chunk
    if length % chunk:
        yield whole * chunk, 1, 1 << (length % chunk - 1).bit_length()


def forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g: Tensor,
    initial_state: Tensor | None,
    scale: float,
    reverse: bool,
    chunk: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return o, the final state (B, H, K, V) and the states at the chunks' starts (chunks, B, G, K, P, V)."""
    sweep = _Sweep(q, k, v, g, scale, reverse, chunk)
    groups, per, width = sweep.inner
    o = torch.empty(v.shape, dtype=v.dtype, device=v.device)
    starts = v.new_empty(-(-v.shape[1] // chunk), len(v), groups, sweep.keys, per, width, dtype=sweep.dtype)
    final = torch.empty_like(starts[0])
    starts[0] = 0 if initial_state is None else _inner(initial_state, starts)
    for rows in sweep.rows:
        states = [*(start[rows] for start in starts), final[rows]]
        for at, chunks, steps in sweep.pieces:
            tile = sweep.tile(rows, (at, chunks, steps), keep=False)
            first = at // chunk
            for index, (total, more) in enumerate(zip(tile.total.unbind(1), tile.increments().unbind(1), strict=True)):
                torch.addcmul(more, total, states[first + index], out=states[first + index + 1])
            out = sweep.place(o, rows, at, chunks, steps)
            tile.output(starts[first : first + chunks, rows].transpose(0, 1), out)
            sweep.put(o, out, rows, at)
    return o, _outer(final), starts


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
        state = carry[rows]
        for at, chunks, steps in reversed(sweep.pieces):
            tile = sweep.tile(rows, (at, chunks, steps), keep=True)
            dy_part = sweep.part(dy, rows, at, chunks, steps).unflatten(3, sweep.inner[:2])
            ends = torch.empty_like(more := tile.readings(dy_part))
            for index in range(chunks - 1, -1, -1):
                ends[:, index] = state
                state = torch.addcmul(more[:, index], tile.total[:, index], state)
            first = at // chunk
            found = tile.gradients(starts[first : first + chunks, rows].transpose(0, 1), ends)
            for out, part in zip(grads, (found[0] * scale, *found[1:]), strict=True):
                sweep.put(out, part, rows, at)
        carry[rows] = state
    dinitial = v.new_empty(0) if initial_state is None else _outer(carry).to(initial_state.dtype)
    return *grads, dinitial


def _inner(state: Tensor, starts: Tensor) -> Tensor:
    """(B, H, K, V) as (B, G, K, P, V), a copy in compute precision."""
    _, _, groups, keys, per, width = starts.shape
    parts = state.view(-1, groups, per, keys, width) if state.is_contiguous() else state.unflatten(1, (groups, per))
    return parts.transpose(2, 3).to(starts.dtype, copy=True)


def _outer(state: Tensor) -> Tensor:
    """(B, G, K, P, V) as (B, H, K, V)."""
    return state.transpose(2, 3).flatten(1, 2).contiguous()
