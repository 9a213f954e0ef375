"""Triton kernels of the recurrent cells: one program a row and head, the recurrent matrix in registers.

A step is a product of the matrix, held as one tile a gate, with the head's h, a sum over a tile's rows, and the
cell's few operations; nothing but x, y and the states passes through memory. The backward kernel walks back
with the transposed tiles; what is no recursion (the recurrent sums from the stored states, the gradient of
the matrix) are PyTorch's matrix products over the whole sequence before and behind it. Heads up to 64 wide.
These kernels have NEVER RUN ON A GPU so far: their numbers are tested in Triton's interpreter, their
compilation (registers, no spills) offline for sm_90.
"""

# Kernels are Triton's language, not Python's: their arguments and reassignments have no Python types.
# mypy: disable-error-code="no-untyped-def, assignment"

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from seqsuite.ops._kernels import KernelExample
from seqsuite.ops._rnn_scan._layout import entering, finish, finish_gradient, start, start_gradient
from seqsuite.ops._rnn_scan.portable import unpack

_CELLS = {"lstm": (0, 4, 2), "gru": (1, 3, 1), "slstm": (2, 4, 4)}


@triton.jit
def _sigmoid(x):
    return 1.0 / (1.0 + tl.exp(-x))


@triton.jit
def _tanh(x):
    e = tl.exp(-2.0 * tl.abs(x))
    return tl.where(x < 0, -1.0, 1.0) * (1.0 - e) / (1.0 + e)


@triton.jit
def _log_sigmoid(x):
    """Log of the sigmoid, accurate near 0 too: the rounding of 1 + e is put back."""
    e = tl.exp(-tl.abs(x))
    w = 1.0 + e
    return tl.minimum(x, 0.0) - (tl.log(w) - ((w - 1.0) - e) / w)


@triton.jit
def _tile(weight_ptr, head, gate, GATES: tl.constexpr, P: tl.constexpr, BP: tl.constexpr, BACK: tl.constexpr):
    """Load a gate's matrix, to (rows) from (columns); transposed if BACK."""
    row, column = tl.arange(0, BP)[:, None], tl.arange(0, BP)[None, :]
    at = column * P + row if BACK else row * P + column
    base = weight_ptr + (head * GATES + gate) * P * P
    return tl.load(base + at, mask=(row < P) & (column < P), other=0.0).to(tl.float32)


@triton.jit
def _times(tile, vector):
    return tl.sum(tile * vector[None, :], axis=1)


@triton.jit
def _added(bias_ptr, gate, d, mask, WIDTH: tl.constexpr, HAS_BIAS: tl.constexpr):
    if HAS_BIAS:
        return tl.load(bias_ptr + gate * WIDTH + d, mask=mask, other=0.0).to(tl.float32)
    return tl.zeros(d.shape, tl.float32)


@triton.jit
def forward_kernel(
    x_ptr, weight_ptr, bias_ptr, first_ptr, reset_ptr, valid_ptr, y_ptr, states_ptr, L, BATCH,
    HEADS: tl.constexpr, P: tl.constexpr, BP: tl.constexpr, CELL: tl.constexpr, REVERSE: tl.constexpr,
    HAS_BIAS: tl.constexpr, HAS_RESET: tl.constexpr, HAS_VALID: tl.constexpr,
):  # fmt: skip
    """CELL is 0 for the LSTM, 1 for the GRU, 2 for the sLSTM; states are (S, H, L, B, P) in the run's order."""
    GATES: tl.constexpr = 3 if CELL == 1 else 4
    WIDTH: tl.constexpr = HEADS * P
    head = tl.program_id(0)
    row = tl.program_id(1).to(tl.int64)
    lane = tl.arange(0, BP)
    mask = lane < P
    d = head * P + lane
    w0 = _tile(weight_ptr, head, 0, GATES, P, BP, False)
    w1 = _tile(weight_ptr, head, 1, GATES, P, BP, False)
    w2 = _tile(weight_ptr, head, 2, GATES, P, BP, False)
    b0 = _added(bias_ptr, 0, d, mask, WIDTH, HAS_BIAS)
    b1 = _added(bias_ptr, 1, d, mask, WIDTH, HAS_BIAS)
    b2 = _added(bias_ptr, 2, d, mask, WIDTH, HAS_BIAS)
    if CELL != 1:
        w3 = _tile(weight_ptr, head, 3, GATES, P, BP, False)
        b3 = _added(bias_ptr, 3, d, mask, WIDTH, HAS_BIAS)
    at_first = (head * BATCH + row) * P + lane
    part = HEADS * BATCH * P
    h = tl.load(first_ptr + at_first, mask=mask, other=0.0)
    c = tl.zeros((BP,), tl.float32)
    n = tl.zeros((BP,), tl.float32)
    m = tl.zeros((BP,), tl.float32) - float("inf")
    if CELL != 1:
        c = tl.load(first_ptr + part + at_first, mask=mask, other=0.0)
    if CELL == 2:
        n = tl.load(first_ptr + 2 * part + at_first, mask=mask, other=0.0)
        m = tl.load(first_ptr + 3 * part + at_first, mask=mask, other=float("-inf"))
    for i in range(0, L):
        t = L - 1 - i if REVERSE else i
        step = row * L + t
        if HAS_RESET:
            drop = tl.load(reset_ptr + step) != 0
            h, c, n = tl.where(drop, 0.0, h), tl.where(drop, 0.0, c), tl.where(drop, 0.0, n)
            m = tl.where(drop, float("-inf"), m)
        at = step * GATES * WIDTH + d
        x0 = tl.load(x_ptr + at, mask=mask, other=0.0).to(tl.float32)
        x1 = tl.load(x_ptr + at + WIDTH, mask=mask, other=0.0).to(tl.float32)
        x2 = tl.load(x_ptr + at + 2 * WIDTH, mask=mask, other=0.0).to(tl.float32)
        s0 = x0 + b0 + _times(w0, h)
        s1 = x1 + b1 + _times(w1, h)
        a2 = b2 + _times(w2, h)
        h_old, c_old, n_old, m_old = h, c, n, m
        if CELL == 1:
            z = _sigmoid(s1)
            new = _tanh(x2 + _sigmoid(s0) * a2)
            h = new + z * (h - new)
        else:
            x3 = tl.load(x_ptr + at + 3 * WIDTH, mask=mask, other=0.0).to(tl.float32)
            s3 = x3 + b3 + _times(w3, h)
            if CELL == 0:
                c = _sigmoid(s1) * c + _sigmoid(s0) * _tanh(x2 + a2)
                h = _sigmoid(s3) * _tanh(c)
            else:
                kept = _log_sigmoid(s1) + m
                m = tl.maximum(kept, s0)
                forget, take = tl.exp(kept - m), tl.exp(s0 - m)
                c = forget * c + take * _tanh(x2 + a2)
                n = forget * n + take
                h = _sigmoid(s3) * c / n
        if HAS_VALID:
            stay = tl.load(valid_ptr + step) == 0
            h, c = tl.where(stay, h_old, h), tl.where(stay, c_old, c)
            n, m = tl.where(stay, n_old, n), tl.where(stay, m_old, m)
        tl.store(y_ptr + step * WIDTH + d, h, mask=mask)
        at_state = ((head.to(tl.int64) * L + i) * BATCH + row) * P + lane
        stride = part.to(tl.int64) * L
        tl.store(states_ptr + at_state, h, mask=mask)
        if CELL != 1:
            tl.store(states_ptr + stride + at_state, c, mask=mask)
        if CELL == 2:
            tl.store(states_ptr + 2 * stride + at_state, n, mask=mask)
            tl.store(states_ptr + 3 * stride + at_state, m, mask=mask)


@triton.jit
def backward_kernel(
    dy_ptr, x_ptr, sums_ptr, weight_ptr, before_ptr, states_ptr, reset_ptr, valid_ptr, dx_ptr, grad_ptr, L, BATCH,
    HEADS: tl.constexpr, P: tl.constexpr, BP: tl.constexpr, CELL: tl.constexpr, REVERSE: tl.constexpr,
    HAS_RESET: tl.constexpr, HAS_VALID: tl.constexpr,
):  # fmt: skip
    """`sums` (H, L, B, G, P) holds the recurrent sums and takes their gradients; `before` holds the states before."""
    GATES: tl.constexpr = 3 if CELL == 1 else 4
    WIDTH: tl.constexpr = HEADS * P
    head = tl.program_id(0)
    row = tl.program_id(1).to(tl.int64)
    lane = tl.arange(0, BP)
    mask = lane < P
    d = head * P + lane
    w0 = _tile(weight_ptr, head, 0, GATES, P, BP, True)
    w1 = _tile(weight_ptr, head, 1, GATES, P, BP, True)
    w2 = _tile(weight_ptr, head, 2, GATES, P, BP, True)
    if CELL != 1:
        w3 = _tile(weight_ptr, head, 3, GATES, P, BP, True)
    at_grad = (head * BATCH + row) * P + lane
    part = HEADS * BATCH * P
    stride = part.to(tl.int64) * L
    dh = tl.load(grad_ptr + at_grad, mask=mask, other=0.0)
    dc = tl.zeros((BP,), tl.float32)
    dn = tl.zeros((BP,), tl.float32)
    dm = tl.zeros((BP,), tl.float32)
    if CELL != 1:
        dc = tl.load(grad_ptr + part + at_grad, mask=mask, other=0.0)
    if CELL == 2:
        dn = tl.load(grad_ptr + 2 * part + at_grad, mask=mask, other=0.0)
        dm = tl.load(grad_ptr + 3 * part + at_grad, mask=mask, other=0.0)
    for back in range(0, L):
        i = L - 1 - back
        t = L - 1 - i if REVERSE else i
        step = row * L + t
        at_state = ((head.to(tl.int64) * L + i) * BATCH + row) * P + lane
        at_sums = ((head.to(tl.int64) * L + i) * BATCH + row) * GATES * P + lane
        at = step * GATES * WIDTH + d
        dh += tl.load(dy_ptr + step * WIDTH + d, mask=mask, other=0.0).to(tl.float32)
        dh_old, dc_old, dn_old, dm_old = dh, dc, dn, dm
        a2 = tl.load(sums_ptr + at_sums + 2 * P, mask=mask, other=0.0)
        x2 = tl.load(x_ptr + at + 2 * WIDTH, mask=mask, other=0.0).to(tl.float32)
        s0 = tl.load(sums_ptr + at_sums, mask=mask, other=0.0)
        s0 += tl.load(x_ptr + at, mask=mask, other=0.0).to(tl.float32)
        s1 = tl.load(sums_ptr + at_sums + P, mask=mask, other=0.0)
        s1 += tl.load(x_ptr + at + WIDTH, mask=mask, other=0.0).to(tl.float32)
        d3 = dh
        if CELL == 1:
            r, z = _sigmoid(s0), _sigmoid(s1)
            less = _sigmoid(-s1)
            new = _tanh(x2 + r * a2)
            h_before = tl.load(before_ptr + at_state, mask=mask, other=0.0)
            dx2 = dh * less * (1.0 - new * new)
            d0 = dx2 * a2 * r * _sigmoid(-s0)
            d1 = dh * (h_before - new) * z * less
            d2 = dx2 * r
            rest = dh * z
        else:
            s3 = tl.load(sums_ptr + at_sums + 3 * P, mask=mask, other=0.0)
            s3 += tl.load(x_ptr + at + 3 * WIDTH, mask=mask, other=0.0).to(tl.float32)
            o, z = _sigmoid(s3), _tanh(x2 + a2)
            c_before = tl.load(before_ptr + stride + at_state, mask=mask, other=0.0)
            c = tl.load(states_ptr + stride + at_state, mask=mask, other=0.0)
            rest = tl.zeros((BP,), tl.float32)
            if CELL == 0:
                take, forget, squashed = _sigmoid(s0), _sigmoid(s1), _tanh(c)
                dc += dh * o * (1.0 - squashed * squashed)
                d0 = dc * z * take * _sigmoid(-s0)
                d1 = dc * c_before * forget * _sigmoid(-s1)
                d2 = dc * take * (1.0 - z * z)
                d3 = dh * squashed * o * _sigmoid(-s3)
                dc = dc * forget
            else:
                n_before = tl.load(before_ptr + 2 * stride + at_state, mask=mask, other=0.0)
                m_before = tl.load(before_ptr + 3 * stride + at_state, mask=mask, other=float("-inf"))
                n = tl.load(states_ptr + 2 * stride + at_state, mask=mask, other=1.0)
                m = tl.load(states_ptr + 3 * stride + at_state, mask=mask, other=0.0)
                kept = _log_sigmoid(s1) + m_before
                forget, take = tl.exp(kept - m), tl.exp(s0 - m)
                h = o * c / n
                dc += dh * o / n
                dn -= dh * h / n
                d_kept = dc * c_before * forget + dn * n_before * forget
                d0 = (dc * z + dn) * take
                dm -= d_kept + d0
                old = kept >= s0
                d_kept += tl.where(old, dm, 0.0)
                d0 += tl.where(old, 0.0, dm)
                d1 = d_kept * _sigmoid(-s1)
                d2 = dc * take * (1.0 - z * z)
                d3 = dh * h * _sigmoid(-s3)
                dc, dn, dm = dc * forget, dn * forget, d_kept
            dx2 = d2
        if HAS_VALID:
            stay = tl.load(valid_ptr + step) == 0
            d0, d1, d2 = tl.where(stay, 0.0, d0), tl.where(stay, 0.0, d1), tl.where(stay, 0.0, d2)
            d3, dx2 = tl.where(stay, 0.0, d3), tl.where(stay, 0.0, dx2)
        tl.store(dx_ptr + at, d0, mask=mask)
        tl.store(dx_ptr + at + WIDTH, d1, mask=mask)
        tl.store(dx_ptr + at + 2 * WIDTH, dx2, mask=mask)
        tl.store(sums_ptr + at_sums, d0, mask=mask)
        tl.store(sums_ptr + at_sums + P, d1, mask=mask)
        tl.store(sums_ptr + at_sums + 2 * P, d2, mask=mask)
        dh = rest + _times(w0, d0) + _times(w1, d1) + _times(w2, d2)
        if CELL != 1:
            tl.store(dx_ptr + at + 3 * WIDTH, d3, mask=mask)
            tl.store(sums_ptr + at_sums + 3 * P, d3, mask=mask)
            dh += _times(w3, d3)
        if HAS_VALID:
            dh, dc = tl.where(stay, dh_old, dh), tl.where(stay, dc_old, dc)
            dn, dm = tl.where(stay, dn_old, dn), tl.where(stay, dm_old, dm)
        if HAS_RESET:
            drop = tl.load(reset_ptr + step) != 0
            dh, dc = tl.where(drop, 0.0, dh), tl.where(drop, 0.0, dc)
            dn, dm = tl.where(drop, 0.0, dn), tl.where(drop, 0.0, dm)
    tl.store(grad_ptr + at_grad, dh, mask=mask)
    if CELL != 1:
        tl.store(grad_ptr + part + at_grad, dc, mask=mask)
    if CELL == 2:
        tl.store(grad_ptr + 2 * part + at_grad, dn, mask=mask)
        tl.store(grad_ptr + 3 * part + at_grad, dm, mask=mask)


def _flags(x: Tensor, weight: Tensor, reset: Tensor | None, valid: Tensor | None, cell: str) -> dict[str, Any]:
    block = max(2, triton.next_power_of_2(weight.shape[-1]))
    return {
        "L": x.shape[1], "BATCH": x.shape[0], "HEADS": len(weight), "P": weight.shape[-1], "BP": block,
        "CELL": _CELLS[cell][0], "HAS_RESET": reset is not None, "HAS_VALID": valid is not None,
        "num_warps": {64: 8, 32: 4}.get(block, 1),
    }  # fmt: skip


def _bytes(mask: Tensor | None) -> Tensor | None:
    return None if mask is None else mask.contiguous().to(torch.int8)


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
    """As the portable path."""
    batch, length, _, width = x.shape
    heads, p = len(weight), weight.shape[-1]
    states = torch.empty(_CELLS[cell][2], heads, length, batch, p, device=x.device)
    y = torch.empty(batch, length, width, dtype=x.dtype, device=x.device)
    added = None if bias is None else bias.contiguous()
    forward_kernel[heads, batch](
        x.contiguous(), weight.contiguous(), added, start(initial, cell, states), _bytes(reset), _bytes(valid), y,
        states, REVERSE=reverse, HAS_BIAS=bias is not None, **_flags(x, weight, reset, valid, cell),
    )  # fmt: skip
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
    """As the portable path; holds the recurrent sums of the whole sequence."""
    heads, p, gates, length = len(weight), weight.shape[-1], x.shape[2], x.shape[1]
    first, grad = start(initial, cell, states), finish_gradient(dfinal, states, cell)
    before = entering(states, first, reset, cell, reverse, 0, length)
    rows = before[0].flatten(1, 2)  # (H, L B, P)
    matrix = weight.float().permute(0, 3, 1, 2).flatten(2)
    sums = rows @ matrix  # (H, L B, G P)
    if bias is not None:
        sums += bias.float().unflatten(1, (heads, p)).transpose(0, 1).flatten(1)[:, None]
    dx = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    backward_kernel[heads, len(x)](
        dy.contiguous(), x.contiguous(), sums, weight.contiguous(), before.contiguous(), states, _bytes(reset),
        _bytes(valid), dx, grad, REVERSE=reverse, **_flags(x, weight, reset, valid, cell),
    )  # fmt: skip
    d_weight, d_bias = unpack(rows.transpose(1, 2) @ sums, sums.sum(1, keepdim=True), tuple(range(gates)))
    return (
        dx,
        d_weight.to(weight.dtype),
        x.new_empty(0) if bias is None else d_bias.to(bias.dtype),
        x.new_empty(0) if initial is None else start_gradient(grad, first, cell).to(initial.dtype),
    )


def _examples() -> tuple[KernelExample, ...]:
    found = []
    types = dict.fromkeys(("first", "states", "sums", "before", "grad"), "fp32") | {"reset": "i8", "valid": "i8"}
    for cell, (number, _, _) in _CELLS.items():
        constants = {"HEADS": 4, "P": 64, "BP": 64, "CELL": number, "REVERSE": False}
        constants |= {"HAS_RESET": True, "HAS_VALID": True}
        found.append(KernelExample("forward_kernel", constants | {"HAS_BIAS": True}, warps=8, types=types, label=cell))
        found.append(KernelExample("backward_kernel", constants, warps=8, types=types, label=cell))
    return tuple(found)


EXAMPLES = _examples()
