"""The recurrent cells in PyTorch: a loop of fused steps over chunks, correct on any device, memory-bounded.

The gates' sums of a step are one matrix product added to the input in place, then a few elementwise
calls (cells.py). Only the states are kept for the backward pass. It recomputes the gates of a chunk
by one large product, walks back through the chunk by coefficients, and gathers the matrix's gradient by
another. Steps lie in the run's order, (H, T, B, ...), so that both directions do the same arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from seqsuite.ops._operands import compute_dtype
from seqsuite.ops._rnn_scan._layout import (
    blank,
    entering,
    finish,
    finish_gradient,
    start,
    start_gradient,
    steps_of,
    stretch,
    turn,
)
from seqsuite.ops._rnn_scan.cells import CELLS, Cell

ROOM = 1 << 18
"""Elements of a chunk's gates, about."""


def forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    initial: Tensor | None,
    reset: Tensor | None,
    valid: Tensor | None,
    cell: str,
    reverse: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return y (B, L, D), the last state (B, S, D) and all states in the run's order (S, H, L, B, P)."""
    kind, dtype = CELLS[cell], compute_dtype(x)
    batch, length, _, width = x.shape
    heads, p = len(weight), weight.shape[-1]
    states = torch.empty(kind.states, heads, length, batch, p, dtype=dtype, device=x.device)
    matrix = _matrix(weight, kind, dtype)
    resets, valids = _masks(reset, valid, reverse)
    parts = [part.unbind(1) for part in states.unbind(0)]
    state = list(start(initial, cell, states).unbind(0))
    for begin, end, pre in _chunks(x, weight, kind):
        _fill(pre, x, bias, kind, begin, end, reverse)
        bound = kind(pre)
        sums = [step.flatten(2) for step in bound.bind(0, kind.gates)]
        for t, at in enumerate(range(begin, end)):
            if resets is not None:
                state = list(blank(torch.stack(state), resets[at], cell).unbind(0))
            after = [part[at] for part in parts]
            sums[t].baddbmm_(state[0], matrix)
            bound.forward(t, state, after)
            if valids is not None:
                for new, old in zip(after, state, strict=True):
                    new.copy_(torch.where(valids[at], new, old))
            state = after
    y = torch.empty(batch, length, width, dtype=x.dtype, device=x.device)
    y.unflatten(2, (heads, p)).copy_(turn(states[0], reverse).permute(2, 1, 0, 3))
    return y, finish(states[:, :, -1], cell), states


def backward(
    dy: Tensor,
    dfinal: Tensor,
    states: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    initial: Tensor | None,
    reset: Tensor | None,
    valid: Tensor | None,
    cell: str,
    reverse: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of x, weight, bias and the initial state; empty where absent."""
    kind = CELLS[cell]
    heads, p = len(weight), weight.shape[-1]
    matrix = _matrix(weight, kind, states.dtype)
    back = matrix.transpose(1, 2).contiguous()  # (H, G P, P)
    d_matrix, d_sums = torch.zeros_like(matrix), matrix.new_zeros(heads, 1, kind.gates * p)
    dx = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    first, grad = start(initial, cell, states), finish_gradient(dfinal, states, cell)
    masks = _masks(reset, valid, reverse)
    for begin, end, pre in reversed(list(_chunks(x, weight, kind))):
        before = entering(states, first, reset, cell, reverse, begin, end)
        rows = before[0].flatten(1, 2)  # (H, T B, P)
        _fill(pre, x, bias, kind, begin, end, reverse)
        flat = pre.flatten(3).flatten(1, 2)[..., : kind.gates * p]
        flat.baddbmm_(rows, matrix)
        bound = kind(pre)
        bound.prepare(before, states[:, :, begin:end])
        _walk_back(bound, grad, _outputs(dy, heads, states.dtype, begin, end, reverse), back, masks, begin)
        d_matrix.baddbmm_(rows.transpose(1, 2), flat)
        d_sums += flat.sum(1, keepdim=True)
        for gate, slot in enumerate(kind.source):
            target = stretch(dx, begin, end, reverse)[:, :, gate].unflatten(2, (heads, p))
            target.copy_(turn(bound.parts[slot], reverse).permute(2, 1, 0, 3))
    d_weight, d_bias = unpack(d_matrix, d_sums, kind.order)
    return (
        dx,
        d_weight.to(weight.dtype),
        x.new_empty(0) if bias is None else d_bias.to(bias.dtype),
        x.new_empty(0) if initial is None else start_gradient(grad, first, cell).to(initial.dtype),
    )


def unpack(d_matrix: Tensor, d_sums: Tensor, order: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Return the gradients of weight (H, G, P, P) and bias (G, D) from (H, P, G P) and (H, 1, G P) in slot order."""
    slots = [order.index(gate) for gate in range(len(order))]
    d_weight = d_matrix.unflatten(2, (len(order), -1)).permute(0, 2, 3, 1)[:, slots].contiguous()
    d_bias = d_sums[:, 0].unflatten(1, (len(order), -1))[:, slots].transpose(0, 1).flatten(1)
    return d_weight, d_bias


def _walk_back(
    bound: Cell,
    grad: Tensor,
    dy: list[Tensor],
    back: Tensor,
    masks: tuple[list[Tensor] | None, list[Tensor] | None],
    begin: int,
) -> None:
    """Take the running gradient (S, H, B, P) through a chunk, last step first, leaving the sums' in the slots."""
    resets, valids = masks
    parts = list(grad.unbind(0))
    sums = [step.flatten(2) for step in bound.bind(0, bound.gates)]
    slots = bound.bind(0, bound.slots)
    for t in reversed(range(len(dy))):
        parts[0].add_(dy[t])
        kept = grad.clone() if valids is not None else grad
        bound.backward(t, parts)
        if valids is not None:
            slots[t].masked_fill_(~valids[begin + t].unsqueeze(2), 0)
        parts[0].baddbmm_(sums[t], back, beta=bound.beta)
        if valids is not None:
            grad.copy_(torch.where(valids[begin + t], grad, kept))
        if resets is not None:
            grad.masked_fill_(resets[begin + t], 0)


def _matrix(weight: Tensor, kind: type[Cell], dtype: torch.dtype) -> Tensor:
    """Return the recurrent matrix of every head as (H, P, G P), from h to the slots."""
    return weight.to(dtype)[:, list(kind.order)].permute(0, 3, 1, 2).flatten(2).contiguous()


def _masks(
    reset: Tensor | None, valid: Tensor | None, reverse: bool
) -> tuple[list[Tensor] | None, list[Tensor] | None]:
    """Return the masks of every step, (B, 1), in the run's order."""
    resets, valids = (None if m is None else list(steps_of(m, reverse).unbind(0)) for m in (reset, valid))
    return resets, valids


def _chunks(x: Tensor, weight: Tensor, kind: type[Cell]) -> Iterator[tuple[int, int, Tensor]]:
    """Yield (begin, end, buffer (H, T, B, slots, P)); all chunks share the buffer's memory."""
    batch, length, _, width = x.shape
    heads, p = len(weight), weight.shape[-1]
    size = min(length, max(4, ROOM // (batch * kind.slots * width)))
    room = torch.empty(size * batch * kind.slots * width, dtype=compute_dtype(x), device=x.device)
    for begin in range(0, length, size):
        end = min(begin + size, length)
        shape = (heads, end - begin, batch, kind.slots, p)
        yield begin, end, room[: (end - begin) * batch * kind.slots * width].view(shape)


def _fill(pre: Tensor, x: Tensor, bias: Tensor | None, kind: type[Cell], begin: int, end: int, reverse: bool) -> None:
    """Fill the slots of a chunk with the input's part of the sums and the bias."""
    heads, p = pre.shape[0], pre.shape[-1]
    part = turn(stretch(x, begin, end, reverse), reverse).unflatten(3, (heads, p)).permute(3, 1, 0, 2, 4)
    for gate, slot in enumerate(kind.source):
        pre[:, :, :, slot].copy_(part[:, :, :, gate])
    for slot, gate in enumerate(kind.order):
        added = None if bias is None else bias[gate].to(pre.dtype).view(heads, 1, 1, p)
        if slot != kind.source[gate]:
            pre[:, :, :, slot] = 0 if added is None else added
        elif added is not None:
            pre[:, :, :, slot].add_(added)


def _outputs(dy: Tensor, heads: int, dtype: torch.dtype, begin: int, end: int, reverse: bool) -> list[Tensor]:
    """Return the output's gradient at every step of a chunk, (H, B, P) each."""
    part = turn(stretch(dy, begin, end, reverse), reverse).to(dtype)
    return list(part.unflatten(2, (heads, -1)).permute(2, 1, 0, 3).contiguous().unbind(1))
