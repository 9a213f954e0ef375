"""Triton kernels of the delta rule: one program a head and block of value channels, the state in registers.

It walks through chunks of 16 steps. What the steps of a chunk read of each other is built column by column, the
decays multiplied in as the columns go back in time (never divided nor subtracted as logarithms); the rest is
products of matrices in full float32. Backward, one kernel walks back through time for the states' gradients,
and another takes every chunk by itself, between the states before and the gradients behind it. These kernels
have NEVER RUN ON A GPU so far: their numbers are tested in Triton's interpreter, their compilation (registers,
no spills) offline for sm_90.
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
from seqsuite.ops._operands import solid

CHUNK = 16
C = tl.constexpr(CHUNK)


@triton.jit
def _dot(x, y):
    return tl.dot(x, y, input_precision="ieee")


@triton.jit
def _step(i, row, head, L, HEADS: tl.constexpr, REVERSE: tl.constexpr):
    """Place of the run's i-th step in (B, L, H)."""
    t = L - 1 - i if REVERSE else i
    return (row * L + t) * HEADS + head


@triton.jit
def _decay(g_ptr, step, inside, n, mask_n, N: tl.constexpr, BN: tl.constexpr, KEY: tl.constexpr):
    """Decays of one step over the key channels, 1 where there is no step."""
    if KEY:
        g = tl.load(g_ptr + step * N + n, mask=mask_n & inside, other=0.0).to(tl.float32)
    else:
        g = tl.zeros((BN,), tl.float32) + tl.load(g_ptr + step, mask=inside, other=0.0).to(tl.float32)
    return tl.exp(g)


@triton.jit
def _write(k_ptr, beta_ptr, step, inside, n, mask_n, N: tl.constexpr, HAS_BETA: tl.constexpr):
    """The key of one step times its strength."""
    key = tl.load(k_ptr + step * N + n, mask=mask_n & inside, other=0.0).to(tl.float32)
    if HAS_BETA:
        key = key * tl.load(beta_ptr + step, mask=inside, other=0.0).to(tl.float32)
    return key


@triton.jit
def _earlier(since, before, until, decay, j, steps):
    """Take the decay of step j + 1 into the products over (j, t], (j, t) and (t, C), each (C, BN)."""
    since = tl.where(steps > j, since * decay[None, :], since)
    before = tl.where(steps > j + 1, before * decay[None, :], before)
    until = tl.where(steps <= j, until * decay[None, :], until)
    return since, before, until


@triton.jit
def _chunk(
    k_ptr, beta_ptr, g_ptr, a_ptr, q, b, first, row, head, L, n, mask_n,
    HEADS: tl.constexpr, N: tl.constexpr, BN: tl.constexpr, REVERSE: tl.constexpr, HAS_BETA: tl.constexpr,
    HAS_G: tl.constexpr, KEY: tl.constexpr, TIED: tl.constexpr,
):  # fmt: skip
    """What q and b read of the chunk's writes, and the products of decays from the start, before t, to the end.

    Returns four (C, C) matrices, three (C, BN) products and the chunk's total.
    """
    steps = tl.arange(0, C)[:, None]
    columns = tl.arange(0, C)[None, :]
    q_a = tl.zeros((C, C), tl.float32)
    b_a, q_k, b_k = q_a, q_a, q_a
    since = tl.full((C, BN), 1.0, tl.float32)
    before, until = since, since
    total = tl.full((BN,), 1.0, tl.float32)
    for back in range(0, C):
        j = C - 1 - back
        if HAS_G:
            at = _step(first + j + 1, row, head, L, HEADS, REVERSE)
            decay = _decay(g_ptr, at, (back > 0) & (first + j + 1 < L), n, mask_n, N, BN, KEY)
            since, before, until = _earlier(since, before, until, decay, j, steps)
            total = total * decay
        at = _step(first + j, row, head, L, HEADS, REVERSE)
        inside = first + j < L
        key = _write(k_ptr, beta_ptr, at, inside, n, mask_n, N, HAS_BETA)[None, :]
        q_here = (columns == j) & (steps >= j)
        b_here = (columns == j) & (steps > j)
        q_decayed = q * since
        if TIED:
            b_decayed = b * since
            q_a = tl.where(q_here, tl.sum(q_decayed * key, axis=1)[:, None], q_a)
            b_a = tl.where(b_here, tl.sum(b_decayed * key, axis=1)[:, None], b_a)
        else:
            b_decayed = b * before
            a = tl.load(a_ptr + at * N + n, mask=mask_n & inside, other=0.0).to(tl.float32)[None, :]
            q_a = tl.where(q_here, tl.sum(q_decayed * a, axis=1)[:, None], q_a)
            b_a = tl.where(b_here, tl.sum(b_decayed * a, axis=1)[:, None], b_a)
            q_k = tl.where(q_here, tl.sum(q_decayed * key, axis=1)[:, None], q_k)
            b_k = tl.where(b_here, tl.sum(b_decayed * key, axis=1)[:, None], b_k)
    if HAS_G:
        at = _step(first, row, head, L, HEADS, REVERSE)
        decay = _decay(g_ptr, at, first < L, n, mask_n, N, BN, KEY)
        since, before, until = _earlier(since, before, until, decay, -1, steps)
        total = total * decay
    return q_a, b_a, q_k, b_k, since, before, until, total


@triton.jit
def _inverse(lower):
    """(I - lower)^-1 row by row; lower is zero on and above the diagonal."""
    steps = tl.arange(0, C)[:, None]
    inverse = tl.where(steps == tl.arange(0, C)[None, :], 1.0, 0.0)
    for i in range(1, C):
        weights = tl.sum(tl.where(steps == i, lower, 0.0), axis=0)
        found = tl.sum(weights[:, None] * inverse, axis=0)
        inverse = tl.where(steps == i, inverse + found[None, :], inverse)
    return inverse


@triton.jit
def forward_kernel(
    q_ptr, k_ptr, v_ptr, beta_ptr, g_ptr, a_ptr, b_ptr, h0_ptr, o_ptr, final_ptr, starts_ptr, scale, L, BATCH,
    HEADS: tl.constexpr, N: tl.constexpr, W: tl.constexpr, BN: tl.constexpr, BW: tl.constexpr,
    REVERSE: tl.constexpr, HAS_BETA: tl.constexpr, HAS_G: tl.constexpr, KEY: tl.constexpr, TIED: tl.constexpr,
    HAS_H0: tl.constexpr,
):  # fmt: skip
    row, head = (tl.program_id(1) // HEADS).to(tl.int64), tl.program_id(1) % HEADS
    wide = row * 0  # makes 64-bit offsets of loop indices, which are plain numbers to the interpreter
    w = tl.program_id(0) * BW + tl.arange(0, BW)
    n = tl.arange(0, BN)
    mask_n, mask_w = n < N, w < W
    at_state = n[:, None] * W + w[None, :]
    mask_state = mask_n[:, None] & mask_w[None, :]
    own = (row * HEADS + head) * N * W
    steps = tl.arange(0, C)
    S = tl.zeros((BN, BW), tl.float32)
    if HAS_H0:
        S = tl.load(h0_ptr + own + at_state, mask=mask_state, other=0.0).to(tl.float32)
    for c in range(0, tl.cdiv(L, C)):
        tl.store(starts_ptr + ((wide + c) * BATCH * HEADS * N * W + own) + at_state, S, mask=mask_state)
        first = c * C
        inside = first + steps < L
        at = _step(first + steps, row, head, L, HEADS, REVERSE)
        rows_n, rows_w = inside[:, None] & mask_n[None, :], inside[:, None] & mask_w[None, :]
        at_n = at[:, None] * N + n[None, :]
        q = tl.load(q_ptr + at_n, mask=rows_n, other=0.0).to(tl.float32)
        k = tl.load(k_ptr + at_n, mask=rows_n, other=0.0).to(tl.float32)
        v = tl.load(v_ptr + at[:, None] * W + w[None, :], mask=rows_w, other=0.0).to(tl.float32)
        key = k
        if HAS_BETA:
            key = k * tl.load(beta_ptr + at, mask=inside, other=0.0).to(tl.float32)[:, None]
        a, b = key, -k
        if not TIED:
            a = tl.load(a_ptr + at_n, mask=rows_n, other=0.0).to(tl.float32)
            b = tl.load(b_ptr + at_n, mask=rows_n, other=0.0).to(tl.float32)
        q_a, b_a, q_k, b_k, since, before, until, total = _chunk(
            k_ptr, beta_ptr, g_ptr, a_ptr, q, b, first, row, head, L, n, mask_n,
            HEADS, N, BN, REVERSE, HAS_BETA, HAS_G, KEY, TIED,
        )  # fmt: skip
        if TIED:
            right = v + _dot(b * since, S)
        else:
            right = _dot(b_k, v) + _dot(b * before, S)
        U = _dot(_inverse(b_a), right)
        o = _dot(q * since, S) + _dot(q_a, U)
        S = S * total[:, None] + _dot(tl.trans(a * until), U)
        if not TIED:
            o += _dot(q_k, v)
            S += _dot(tl.trans(key * until), v)
        tl.store(o_ptr + at[:, None] * W + w[None, :], o * scale, mask=rows_w)
    tl.store(final_ptr + own + at_state, S, mask=mask_state)


@triton.jit
def state_kernel(
    do_ptr, dfinal_ptr, q_ptr, k_ptr, beta_ptr, g_ptr, a_ptr, b_ptr, ends_ptr, dh0_ptr, scale, L, BATCH,
    HEADS: tl.constexpr, N: tl.constexpr, W: tl.constexpr, BN: tl.constexpr, BW: tl.constexpr,
    REVERSE: tl.constexpr, HAS_BETA: tl.constexpr, HAS_G: tl.constexpr, KEY: tl.constexpr, TIED: tl.constexpr,
):  # fmt: skip
    """The gradients of the states behind each chunk, from the last chunk to the first."""
    row, head = (tl.program_id(1) // HEADS).to(tl.int64), tl.program_id(1) % HEADS
    wide = row * 0  # makes 64-bit offsets of loop indices, which are plain numbers to the interpreter
    w = tl.program_id(0) * BW + tl.arange(0, BW)
    n = tl.arange(0, BN)
    mask_n, mask_w = n < N, w < W
    at_state = n[:, None] * W + w[None, :]
    mask_state = mask_n[:, None] & mask_w[None, :]
    own = (row * HEADS + head) * N * W
    steps = tl.arange(0, C)
    dS = tl.load(dfinal_ptr + own + at_state, mask=mask_state, other=0.0).to(tl.float32)
    chunks = tl.cdiv(L, C)
    for back in range(0, chunks):
        c = chunks - 1 - back
        tl.store(ends_ptr + ((wide + c) * BATCH * HEADS * N * W + own) + at_state, dS, mask=mask_state)
        first = c * C
        inside = first + steps < L
        at = _step(first + steps, row, head, L, HEADS, REVERSE)
        rows_n, rows_w = inside[:, None] & mask_n[None, :], inside[:, None] & mask_w[None, :]
        at_n = at[:, None] * N + n[None, :]
        q = tl.load(q_ptr + at_n, mask=rows_n, other=0.0).to(tl.float32)
        do = tl.load(do_ptr + at[:, None] * W + w[None, :], mask=rows_w, other=0.0).to(tl.float32) * scale
        if TIED:
            k = tl.load(k_ptr + at_n, mask=rows_n, other=0.0).to(tl.float32)
            a, b = k, -k
            if HAS_BETA:
                a = k * tl.load(beta_ptr + at, mask=inside, other=0.0).to(tl.float32)[:, None]
        else:
            a = tl.load(a_ptr + at_n, mask=rows_n, other=0.0).to(tl.float32)
            b = tl.load(b_ptr + at_n, mask=rows_n, other=0.0).to(tl.float32)
        q_a, b_a, _, _, since, before, until, total = _chunk(
            k_ptr, beta_ptr, g_ptr, a_ptr, q, b, first, row, head, L, n, mask_n,
            HEADS, N, BN, REVERSE, HAS_BETA, HAS_G, KEY, TIED,
        )  # fmt: skip
        b = b * since if TIED else b * before
        dU = _dot(tl.trans(q_a), do) + _dot(a * until, dS)
        dright = _dot(tl.trans(_inverse(b_a)), dU)
        dS = dS * total[:, None] + _dot(tl.trans(q * since), do) + _dot(tl.trans(b), dright)
    tl.store(dh0_ptr + own + at_state, dS, mask=mask_state)


@triton.jit
def backward_kernel(
    do_ptr, starts_ptr, ends_ptr, q_ptr, k_ptr, v_ptr, beta_ptr, g_ptr, a_ptr, b_ptr,
    dq_ptr, dk_ptr, dv_ptr, dbeta_ptr, dg_ptr, da_ptr, db_ptr, scale, L, BATCH,
    HEADS: tl.constexpr, N: tl.constexpr, W: tl.constexpr, BN: tl.constexpr, BW: tl.constexpr,
    REVERSE: tl.constexpr, HAS_BETA: tl.constexpr, HAS_G: tl.constexpr, KEY: tl.constexpr, TIED: tl.constexpr,
):  # fmt: skip
    """The gradients of one chunk's operands, given the states before it and the gradients of those behind it."""
    row, head = (tl.program_id(1) // HEADS).to(tl.int64), tl.program_id(1) % HEADS
    n = tl.arange(0, BN)
    mask_n = n < N
    own = (tl.program_id(0).to(tl.int64) * BATCH * HEADS + row * HEADS + head) * N * W
    lanes = tl.arange(0, C)
    steps, columns = lanes[:, None], lanes[None, :]
    first = tl.program_id(0) * C
    inside = first + lanes < L
    at = _step(first + lanes, row, head, L, HEADS, REVERSE)
    rows_n = inside[:, None] & mask_n[None, :]
    at_n = at[:, None] * N + n[None, :]
    q = tl.load(q_ptr + at_n, mask=rows_n, other=0.0).to(tl.float32)
    k = tl.load(k_ptr + at_n, mask=rows_n, other=0.0).to(tl.float32)
    key = k
    if HAS_BETA:
        beta = tl.load(beta_ptr + at, mask=inside, other=0.0).to(tl.float32)
        key = k * beta[:, None]
    a, b = key, -k
    if not TIED:
        a = tl.load(a_ptr + at_n, mask=rows_n, other=0.0).to(tl.float32)
        b = tl.load(b_ptr + at_n, mask=rows_n, other=0.0).to(tl.float32)
    q_a, b_a, q_k, b_k, since, before, until, total = _chunk(
        k_ptr, beta_ptr, g_ptr, a_ptr, q, b, first, row, head, L, n, mask_n,
        HEADS, N, BN, REVERSE, HAS_BETA, HAS_G, KEY, TIED,
    )  # fmt: skip
    if TIED:
        before = since  # the delta rule's b reads behind its step's decay
    inverse = _inverse(b_a)
    dq = tl.zeros((C, BN), tl.float32)
    db, da, dkey = dq, dq, dq
    dq_a = tl.zeros((C, C), tl.float32)
    db_a, dq_k, db_k = dq_a, dq_a, dq_a
    dtotal = tl.zeros((BN,), tl.float32)
    for w_first in range(0, W, BW):
        w = w_first + tl.arange(0, BW)
        mask_w = w < W
        at_state = n[:, None] * W + w[None, :]
        mask_state = mask_n[:, None] & mask_w[None, :]
        rows_w = inside[:, None] & mask_w[None, :]
        at_w = at[:, None] * W + w[None, :]
        v = tl.load(v_ptr + at_w, mask=rows_w, other=0.0).to(tl.float32)
        do = tl.load(do_ptr + at_w, mask=rows_w, other=0.0).to(tl.float32) * scale
        S = tl.load(starts_ptr + own + at_state, mask=mask_state, other=0.0)
        dS = tl.load(ends_ptr + own + at_state, mask=mask_state, other=0.0)
        right = v if TIED else _dot(b_k, v)
        U = _dot(inverse, right + _dot(b * before, S))
        dU = _dot(tl.trans(q_a), do) + _dot(a * until, dS)
        dright = _dot(tl.trans(inverse), dU)
        dq_a += _dot(do, tl.trans(U))
        db_a += _dot(dright, tl.trans(U))
        dq += _dot(do, tl.trans(S))
        db += _dot(dright, tl.trans(S))
        da += _dot(U, tl.trans(dS))
        dtotal += tl.sum(S * dS, axis=1)
        dv = dright
        if not TIED:
            dq_k += _dot(do, tl.trans(v))
            db_k += _dot(dright, tl.trans(v))
            dkey += _dot(v, tl.trans(dS))
            dv = _dot(tl.trans(b_k), dright) + _dot(tl.trans(q_k), do) + _dot(key * until, dS)
        tl.store(dv_ptr + at_w, dv, mask=rows_w)
    dq, db, da, dkey = dq * since, db * before, da * until, dkey * until
    not_before = tl.where(columns >= steps, 1.0, 0.0)  # sums over t >= m
    after = tl.where(columns > steps, 1.0, 0.0)
    dg = tl.zeros((C, BN), tl.float32)
    if HAS_G:
        to_end = a * da + key * dkey
        dg = _dot(not_before, q * dq) + _dot(tl.trans(after), to_end) + (dtotal * total)[None, :]
        dg += _dot(not_before if TIED else after, b * db)
    since = tl.full((C, BN), 1.0, tl.float32)
    before, until = since, since
    for back in range(0, C):
        j = C - 1 - back
        if HAS_G:
            at_j = _step(first + j + 1, row, head, L, HEADS, REVERSE)
            decay = _decay(g_ptr, at_j, (back > 0) & (first + j + 1 < L), n, mask_n, N, BN, KEY)
            since, before, until = _earlier(since, before, until, decay, j, steps)
        at_j = _step(first + j, row, head, L, HEADS, REVERSE)
        q_column, b_column = (columns == j) & (steps >= j), (columns == j) & (steps > j)
        a_j = _write(k_ptr, beta_ptr, at_j, first + j < L, n, mask_n, N, HAS_BETA)[None, :]
        reads_b = since
        to_q, to_b = tl.zeros((C, BN), tl.float32), tl.zeros((C, BN), tl.float32)
        if not TIED:
            reads_b = before
            q_part = tl.sum(tl.where(q_column, dq_k, 0.0), axis=1)[:, None] * since
            b_part = tl.sum(tl.where(b_column, db_k, 0.0), axis=1)[:, None] * before
            to_q, to_b = q_part * a_j, b_part * a_j
            dkey = tl.where(steps == j, dkey + tl.sum(q_part * q + b_part * b, axis=0)[None, :], dkey)
            a_j = tl.load(a_ptr + at_j * N + n, mask=mask_n & (first + j < L), other=0.0).to(tl.float32)[None, :]
        q_part = tl.sum(tl.where(q_column, dq_a, 0.0), axis=1)[:, None] * since
        b_part = tl.sum(tl.where(b_column, db_a, 0.0), axis=1)[:, None] * reads_b
        to_q += q_part * a_j
        to_b += b_part * a_j
        da = tl.where(steps == j, da + tl.sum(q_part * q + b_part * b, axis=0)[None, :], da)
        dq += to_q
        db += to_b
        if HAS_G:
            if TIED:
                through = _dot(not_before, q * to_q + b * to_b)
            else:
                through = _dot(not_before, q * to_q) + _dot(after, b * to_b)
            dg += tl.where(steps > j, through, 0.0)
    if TIED:
        dkey = da
    dk = dkey
    if HAS_BETA:
        dk = dkey * beta[:, None]
        tl.store(dbeta_ptr + at, tl.sum(dkey * k, axis=1), mask=inside)
    if TIED:
        dk -= db
    else:
        tl.store(da_ptr + at_n, da, mask=rows_n)
        tl.store(db_ptr + at_n, db, mask=rows_n)
    tl.store(dq_ptr + at_n, dq, mask=rows_n)
    tl.store(dk_ptr + at_n, dk, mask=rows_n)
    if HAS_G:
        if KEY:
            tl.store(dg_ptr + at_n, dg, mask=rows_n)
        else:
            tl.store(dg_ptr + at, tl.sum(dg, axis=1), mask=inside)


def _launch(
    q: Tensor, v: Tensor, beta: Tensor | None, g: Tensor | None, a: Tensor | None, reverse: bool
) -> tuple[tuple[int, int], dict[str, Any]]:
    """Grid of a kernel that walks through time, and the constants."""
    batch, length, heads, width = q.shape
    block_n = max(16, triton.next_power_of_2(width))
    return (triton.cdiv(v.shape[-1], BLOCK_W), batch * heads), {
        "L": length, "BATCH": batch, "HEADS": heads, "N": width, "W": v.shape[-1], "BN": block_n, "BW": BLOCK_W,
        "REVERSE": reverse, "HAS_BETA": beta is not None, "HAS_G": g is not None,
        "KEY": g is not None and g.ndim == 4, "TIED": a is None, "num_warps": WARPS,
    }  # fmt: skip


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
    """As the portable path; the states before every chunk are kept."""
    grid, options = _launch(q, v, beta, g, a, reverse)
    state = (q.shape[0], q.shape[2], q.shape[3], v.shape[3])
    o = torch.empty(v.shape, dtype=q.dtype, device=q.device)
    final = torch.empty(state, device=q.device)
    starts = torch.empty(triton.cdiv(q.shape[1], chunk * span), *state, device=q.device)
    forward_kernel[grid](
        *solid(q, k, v, beta, g, a, b, initial_state), o, final, starts, scale, **options,
        HAS_H0=initial_state is not None,
    )  # fmt: skip
    return o, final, starts


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
    """As the portable path; sums run in a fixed order."""
    grid, options = _launch(q, v, beta, g, a, reverse)
    ends, dh0 = torch.empty_like(starts), torch.empty(starts.shape[1:], device=q.device)
    dout, dfinal, q, k, v, beta, g, a, b = (
        None if x is None else x.contiguous() for x in (dout, dfinal, q, k, v, beta, g, a, b)
    )
    state_kernel[grid](dout, dfinal, q, k, beta, g, a, b, ends, dh0, scale, **options)
    operands = (q, k, v, beta, g, a, b)
    grads = [None if x is None else torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in operands]
    backward_kernel[starts.shape[0], grid[1]](
        dout, starts, ends, *operands, *grads, scale, **options,
    )  # fmt: skip
    d_initial = None if initial_state is None else dh0.to(initial_state.dtype)
    return tuple(starts.new_empty(0) if x is None else x for x in (*grads, d_initial))


BLOCK_W = 16  # value channels at a time: more would spill registers
WARPS = 8
_FLOATS = dict.fromkeys("scale h0 final starts ends dfinal dh0 beta g dbeta dg".split(), "fp32")
_CALL = {"HEADS": 8, "REVERSE": False, "HAS_BETA": True, "HAS_G": True, "BW": BLOCK_W}
_SHAPES = {
    "gated": _CALL | {"KEY": False, "TIED": True, "N": 64, "W": 64, "BN": 64},
    "key decay": _CALL | {"KEY": True, "TIED": True, "N": 64, "W": 64, "BN": 64},
    "own removal": _CALL | {"KEY": True, "TIED": False, "HAS_BETA": False, "N": 64, "W": 64, "BN": 64},
}


def _example(kernel: str, label: str) -> KernelExample:
    constants = _SHAPES[label] | ({"HAS_H0": True} if kernel == "forward_kernel" else {})
    return KernelExample(kernel, constants, WARPS, 255, _FLOATS, label)


_KERNELS = ("forward_kernel", "state_kernel", "backward_kernel")
EXAMPLES: tuple[KernelExample, ...] = tuple(_example(kernel, label) for kernel in _KERNELS for label in _SHAPES)
"""Gated DeltaNet, decays of key channels, and RWKV-7, each with heads of 64."""
