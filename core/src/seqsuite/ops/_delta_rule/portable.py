"""The delta rule in PyTorch: chunks by matrix products, fast on a CPU, correct on any device, memory-bounded.

Within a chunk the states drop out: what the steps read of each other is one unit lower triangular system
(the WY or UT form, https://arxiv.org/abs/2406.06484). With U the rows that the rank-one terms write,

    (I - B_low) U = X + b S_0,    S_1 = total S_0 + a^T U [+ k^T V],    o = q S_0 + Q_low U [+ Q_low' V]

where X = V and b_t = -e^g k_t for the delta rule; where the removal has vectors of its own, X is what b reads
of k^T V, and what is in brackets comes with it. The system is solved for many chunks at once; only two products
a chunk run one after the other. A span of chunks is in work at a time; only the states at the spans' starts
are kept, and the backward pass recomputes the rest, span by span from the end.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from seqsuite.ops._delta_rule._pairs import HeadDecay, KeyDecay, NoDecay, Pairs, Tensors
from seqsuite.ops._operands import compute_dtype

CHUNK = 32
SPAN = 1 << 17  # elements of one operand in work at a time


def chunk_sizes(batch: int, length: int, heads: int, width: int, chunk: int | None) -> tuple[int, int]:
    """Return (steps of a chunk, chunks of a span): a span's operands fit the cache."""
    size = min(chunk or CHUNK, 1 << (length - 1).bit_length())
    return size, max(1, min(SPAN // max(1, batch * heads * width * size), -(-length // size)))


class _Layout:
    """Where the spans lie, and the way of operands into chunks (n, B H, C, ...) and back."""

    def __init__(self, like: Tensor, reverse: bool, chunk: int, span: int) -> None:
        self.batch, self.length, self.heads = like.shape[:3]
        self.dtype, self.reverse, self.chunk, self.span = compute_dtype(like), reverse, chunk, span

    def __iter__(self) -> Iterator[slice]:
        steps = self.chunk * self.span
        for start in range(0, self.length, steps):
            stop = min(start + steps, self.length)
            yield slice(self.length - stop, self.length - start) if self.reverse else slice(start, stop)

    def load(self, x: Tensor | None, at: slice) -> Tensor | None:
        """Return the chunks of (B, L, H, W) or (B, L, H) as (n, B H, C, W); steps beyond the end are zero."""
        if x is None:
            return None
        part = x[:, at].unsqueeze(-1) if x.ndim == 3 else x[:, at]
        part = part.flip(1) if self.reverse else part
        missing = -part.shape[1] % self.chunk
        part = F.pad(part, (0, 0, 0, 0, 0, missing)) if missing else part
        part = part.unflatten(1, (-1, self.chunk)).permute(1, 0, 3, 2, 4)  # (n, B, H, C, W)
        return part.to(self.dtype, memory_format=torch.contiguous_format).flatten(1, 2).contiguous()

    def store(self, out: Tensor, at: slice, chunks: Tensor | None) -> None:
        """Write chunks (n, B H, C, W) to their place in (B, L, H, W) or (B, L, H)."""
        if chunks is None:
            return
        place = (out.unsqueeze(-1) if out.ndim == 3 else out)[:, at]
        rows = chunks.unflatten(1, (self.batch, self.heads)).permute(1, 0, 3, 2, 4)  # (B, n, C, H, W)
        if not self.reverse and place.shape[1] == rows.shape[1] * self.chunk:
            place.unflatten(1, rows.shape[1:3]).copy_(rows)
            return
        rows = rows.flatten(1, 2)[:, : place.shape[1]]
        place.copy_(rows.flip(1) if self.reverse else rows)


class _Span:
    """A span of chunks: operands (n, N, C, ...), N = B H, and everything that does not depend on a state.

    Attributes:
        pairs: What the steps read of each other and of the chunks' ends.
        inverse: Of the triangular system of each chunk.
        solved: The system's solution for X.
        through: The system's solution for b: U is ``solved + sign * through @ state``.
    """

    def __init__(self, operands: list[Tensor | None], scale: float, keep: bool) -> None:
        q, k, v, beta, g, a, b = operands
        assert q is not None
        assert k is not None
        assert v is not None
        self.k, self.v, self.beta, self.scale = k, v, beta, scale
        self.tied = a is None or b is None
        self.sign = -1 if self.tied else 1
        self.decay = None if g is None else g.exp()
        self.key = k if beta is None else k * beta
        writes = [self.key] if a is None else [a, self.key]
        self.pairs = self._pairs(q, k if b is None else b, writes, keep)
        lower = self.pairs.b_lower[0]
        one = torch.eye(lower.shape[-1], dtype=lower.dtype, device=lower.device)
        system = lower if self.tied else -lower  # the solver takes the diagonal for ones
        self.inverse = torch.linalg.solve_triangular(system, one.expand_as(lower), upper=False, unitriangular=True)
        self.solved = self.inverse @ (v if self.tied else self.pairs.b_lower[1] @ v)
        self.through = self.inverse @ self.pairs.b
        self.extra = None if self.tied else self.pairs.writes[1].mT @ v
        total = self.pairs.total
        self.kept = None if total is None else total.mT  # (n, N, K or 1, 1)

    def _pairs(self, q: Tensor, b: Tensor, writes: Tensors, keep: bool) -> Pairs:
        if self.decay is None:
            return NoDecay(q, b, writes)
        kind = HeadDecay if self.decay.shape[-1] == 1 else KeyDecay
        return kind(q, b, writes, self.decay, self.tied, keep=keep)

    def carry(self, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Run the chunks from a state (N, K, V); return the states before each, U of each, and the last state."""
        count = len(self.k)
        states, rows = state.new_empty(count + 1, *state.shape), torch.empty_like(self.v)
        states[0] = state
        befores, row_list = states.unbind(0), rows.unbind(0)
        chunks = zip(self.solved.unbind(0), self.through.unbind(0), self.pairs.writes[0].mT.unbind(0), strict=True)
        for i, (solved, through, ends) in enumerate(chunks):
            before, row, after = befores[i], row_list[i], befores[i + 1]
            torch.baddbmm(solved, through, before, alpha=self.sign, out=row)
            if self.kept is not None:
                before = torch.mul(before, self.kept[i], out=after)
            if self.extra is not None:
                before = torch.add(before, self.extra[i], out=after)
            torch.baddbmm(before, ends, row, out=after)
        return states[:-1], rows, befores[-1]

    def output(self, states: Tensor, rows: Tensor) -> Tensor:
        """Return o (n, N, C, V)."""
        out = (self.pairs.q @ states).flatten(0, 1)
        terms = list(zip(self.pairs.q_lower, [rows] if self.tied else [rows, self.v], strict=True))
        for i, (lower, values) in enumerate(terms):
            factor = self.scale if i == len(terms) - 1 else 1.0
            out.baddbmm_(lower.flatten(0, 1), values.flatten(0, 1), beta=factor, alpha=factor)
        return out.view_as(rows)

    def carry_back(self, dout: Tensor, dstate: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients of the states behind each chunk, of each U, and of the entering state."""
        count = len(self.k)
        local = self.pairs.q_lower[0].mT @ dout
        dstates, drows = dstate.new_empty(count + 1, *dstate.shape), torch.empty_like(local)
        dstates[-1] = dstate
        afters, reads = dstates.unbind(0), (self.pairs.q.mT @ dout).unbind(0)
        for i in range(count - 1, -1, -1):
            after, before = afters[i + 1], afters[i]
            torch.baddbmm(local[i], self.pairs.writes[0][i], after, out=drows[i])
            if self.kept is not None:
                after = torch.mul(after, self.kept[i], out=before)
            torch.add(after, reads[i], out=before)
            before.baddbmm_(self.through[i].mT, drows[i], alpha=self.sign)
        return dstates[1:], drows, afters[0]

    def gradients(
        self, dout: Tensor, states: Tensor, rows: Tensor, dstates: Tensor, drows: Tensor
    ) -> list[Tensor | None]:
        """Return the gradients of q, k, v, beta, g, a, b; `dout` comes with the scale."""
        dright = self.inverse.mT @ drows
        dsystem = dright * self.sign
        to_q, to_b = [dout @ rows.mT], [dsystem @ rows.mT]
        d_writes = [rows @ dstates.mT]
        dv = dright
        if not self.tied:
            pairs = self.pairs
            dv = pairs.b_lower[1].mT @ dright + pairs.q_lower[1].mT @ dout + pairs.writes[1] @ dstates
            to_q.append(dout @ self.v.mT)
            to_b.append(dright @ self.v.mT)
            d_writes.append(self.v @ dstates.mT)
        d_total = states if self.decay is None else (states * dstates).sum(-1).unsqueeze(-2)  # (n, N, 1, K)
        d_ends = (dout @ states.mT, dsystem @ states.mT)
        dq, db, d_writes, d_decay = self.pairs.backward(to_q, to_b, *d_ends, d_writes, d_total)
        d_key = d_writes[-1]
        dk = d_key if self.beta is None else d_key * self.beta
        dbeta = None if self.beta is None else (d_key * self.k).sum(-1, keepdim=True)
        dg = None if d_decay is None or self.decay is None else d_decay * self.decay
        if self.tied:
            return [dq, dk + db, dv, dbeta, dg, None, None]
        return [dq, dk, dv, dbeta, dg, d_writes[0], db]


def _first_state(q: Tensor, v: Tensor, initial_state: Tensor | None, dtype: torch.dtype) -> Tensor:
    """Return the entering state as (N, K, V)."""
    batch, _, heads, width = q.shape
    if initial_state is None:
        return q.new_zeros(batch * heads, width, v.shape[-1], dtype=dtype)
    return initial_state.to(dtype).flatten(0, 1)


def forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor | None,
    g: Tensor | None,
    a: Tensor | None,
    b: Tensor | None,
    initial_state: Tensor | None,
    scale: float,
    reverse: bool,
    chunk: int,
    span: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return o, the final state, and the states at the spans' starts (spans, B, H, K, V)."""
    layout = _Layout(q, reverse, chunk, span)
    state = _first_state(q, v, initial_state, layout.dtype)
    out = torch.empty(v.shape, dtype=q.dtype, device=q.device)
    starts = []
    for at in layout:
        starts.append(state)
        work = _Span([layout.load(x, at) for x in (q, k, v, beta, g, a, b)], scale, keep=False)
        states, rows, state = work.carry(state)
        layout.store(out, at, work.output(states, rows))
    heads = (q.shape[0], q.shape[2])
    return out, state.clone().unflatten(0, heads), torch.stack(starts).unflatten(1, heads)


def backward(
    dout: Tensor,
    dfinal: Tensor,
    starts: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor | None,
    g: Tensor | None,
    a: Tensor | None,
    b: Tensor | None,
    initial_state: Tensor | None,
    scale: float,
    reverse: bool,
    chunk: int,
    span: int,
) -> tuple[Tensor, ...]:
    """Return the gradients of the eight tensors; of an absent one, an empty tensor."""
    layout = _Layout(q, reverse, chunk, span)
    operands = (q, k, v, beta, g, a, b)
    grads = [q.new_empty(0) if x is None else torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in operands]
    dstate = dfinal.to(layout.dtype).flatten(0, 1)
    for at, start in reversed(list(zip(layout, starts.flatten(1, 2), strict=True))):
        work = _Span([layout.load(x, at) for x in operands], scale, keep=True)
        states, rows, _ = work.carry(start)
        d_rows = layout.load(dout, at)
        assert d_rows is not None
        d_rows = d_rows * scale
        dstates, drows, dstate = work.carry_back(d_rows, dstate)
        found = work.gradients(d_rows, states, rows, dstates, drows)
        for whole, part in zip(grads, found, strict=True):
            layout.store(whole, at, part)
    d_initial = q.new_empty(0)
    if initial_state is not None:
        d_initial = dstate.to(initial_state.dtype).unflatten(0, (q.shape[0], q.shape[2]))
    return *grads, d_initial.clone()
