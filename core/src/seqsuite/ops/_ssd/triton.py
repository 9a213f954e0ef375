"""Triton kernels of gated linear attention: one program a row, head and block of values, the state in registers.

A program walks over chunks; within one everything is matrix products (`_triton_vector.py` has the kernels for a
decay of every key). The backward kernels walk back from the states that the forward kernels keep at the chunks'
starts; what they add up over heads and blocks of values is summed afterwards, in a fixed order. Loads are upcast
at once; float32 inputs are multiplied in float32, lower ones on the tensor cores as tf32.
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
from seqsuite.ops._ssd._triton_vector import LEAST, vector_backward_kernel, vector_forward_kernel


@triton.jit
def _decays(g, i, Q: tl.constexpr):
    """Return D (Q, Q), the products of the decays behind a column's step up to a row's, prefixes and suffixes.

    Each is the exponential of a sum of logarithms of one sign: no differences, so nothing cancels.
    """
    between = tl.where(i[:, None] > i[None, :], g[:, None], 0.0)  # (s, j), s > j
    D = tl.where(i[:, None] >= i[None, :], tl.exp(tl.cumsum(between, axis=0)), 0.0)
    prefix = tl.exp(tl.sum(tl.where(i[:, None] <= i[None, :], g[:, None], 0.0), axis=0))
    suffix = tl.exp(tl.sum(between, axis=0))
    return D, prefix, suffix


@triton.jit
def scalar_forward_kernel(
    q_ptr, k_ptr, v_ptr, g_ptr, h0_ptr, o_ptr, final_ptr, starts_ptr, scale, L, BATCH,
    H: tl.constexpr, PER: tl.constexpr, K: tl.constexpr, V: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr,
    Q: tl.constexpr, REVERSE: tl.constexpr, HAS_H0: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    row, head = tl.program_id(2).to(tl.int64), tl.program_id(1)
    group = head // PER
    i, key, value = tl.arange(0, Q), tl.arange(0, BK), tl.program_id(0) * BV + tl.arange(0, BV)
    mask_k, mask_v = key < K, value < V
    mask = mask_k[:, None] & mask_v[None, :]
    at_state = (row * H + head) * K * V + key[:, None] * V + value[None, :]
    at_start = ((group * K + key[:, None]) * PER + head % PER) * V + value[None, :]
    state = tl.zeros((BK, BV), tl.float32)
    if HAS_H0:
        state = tl.load(h0_ptr + at_state, mask=mask, other=0.0).to(tl.float32)
    for chunk in range(0, tl.cdiv(L, Q)):
        tl.store(starts_ptr + (chunk * BATCH + row) * H * K * V + at_start, state, mask=mask)
        s = chunk * Q + i
        inside = s < L
        step = row * L + (L - 1 - s if REVERSE else s)
        at_k = (step * (H // PER) + group)[:, None] * K + key[None, :]
        at_v = (step * H + head)[:, None] * V + value[None, :]
        mask_qk, mask_qv = inside[:, None] & mask_k[None, :], inside[:, None] & mask_v[None, :]
        q = tl.load(q_ptr + at_k, mask=mask_qk, other=0.0).to(tl.float32)
        k = tl.load(k_ptr + at_k, mask=mask_qk, other=0.0).to(tl.float32)
        v = tl.load(v_ptr + at_v, mask=mask_qv, other=0.0).to(tl.float32)
        g = tl.maximum(tl.load(g_ptr + step * H + head, mask=inside, other=0.0).to(tl.float32), LEAST)
        D, prefix, suffix = _decays(g, i, Q)
        weights = tl.dot(q, tl.trans(k), input_precision=PRECISION) * D
        o = tl.dot(weights, v, input_precision=PRECISION)
        o += tl.dot(q, state, input_precision=PRECISION) * prefix[:, None]
        tl.store(o_ptr + at_v, o * scale, mask=mask_qv)
        kept = tl.trans(k * suffix[:, None])
        state = tl.exp(tl.sum(g, axis=0)) * state + tl.dot(kept, v, input_precision=PRECISION)
    tl.store(final_ptr + at_state, state, mask=mask)


@triton.jit
def scalar_query_kernel(
    do_ptr, starts_ptr, q_ptr, k_ptr, v_ptr, g_ptr, dq_ptr, dg_ptr, scale, L, BATCH,
    H: tl.constexpr, PER: tl.constexpr, K: tl.constexpr, V: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr,
    Q: tl.constexpr, REVERSE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """One chunk: the queries' gradient, and the part of the decays' that comes with it."""
    row, head = (tl.program_id(0) % BATCH).to(tl.int64), tl.program_id(1)
    chunk, group = tl.program_id(0) // BATCH, head // PER
    i, key, value = tl.arange(0, Q), tl.arange(0, BK), tl.program_id(2) * BV + tl.arange(0, BV)
    mask_k, mask_v = key < K, value < V
    s = chunk * Q + i
    inside = s < L
    step = row * L + (L - 1 - s if REVERSE else s)
    at_k = (step * (H // PER) + group)[:, None] * K + key[None, :]
    at_v = (step * H + head)[:, None] * V + value[None, :]
    mask_qk, mask_qv = inside[:, None] & mask_k[None, :], inside[:, None] & mask_v[None, :]
    v = tl.load(v_ptr + at_v, mask=mask_qv, other=0.0).to(tl.float32)
    do = tl.load(do_ptr + at_v, mask=mask_qv, other=0.0).to(tl.float32) * scale
    g = tl.maximum(tl.load(g_ptr + step * H + head, mask=inside, other=0.0).to(tl.float32), LEAST)
    D, prefix, _ = _decays(g, i, Q)
    at_start = ((group * K + key[:, None]) * PER + head % PER) * V + value[None, :]
    at_start += (chunk * BATCH + row) * H * K * V
    start = tl.load(starts_ptr + at_start, mask=mask_k[:, None] & mask_v[None, :], other=0.0)
    across = tl.dot(do, tl.trans(start), input_precision=PRECISION) * prefix[:, None]
    dscores = tl.dot(do, tl.trans(v), input_precision=PRECISION) * D
    k = tl.load(k_ptr + at_k, mask=mask_qk, other=0.0).to(tl.float32)
    q = tl.load(q_ptr + at_k, mask=mask_qk, other=0.0).to(tl.float32)
    # The diagonal holds no decay; with it, what ends at a step and what begins there would only cancel.
    scores = tl.dot(q, tl.trans(k), input_precision=PRECISION)
    inner = tl.where(i[:, None] > i[None, :], scores * dscores, 0.0)
    ends = tl.sum(inner, axis=1) + tl.sum(across * q, axis=1)
    upto = i[:, None] >= i[None, :]  # (i, s)
    dg = tl.sum(tl.where(upto, ends[:, None], 0.0), axis=0)
    dg -= tl.sum(tl.where(upto, tl.sum(inner, axis=0)[:, None], 0.0), axis=0)
    part = tl.program_id(2).to(tl.int64) * BATCH * L
    tl.store(dg_ptr + (part + step) * H + head, dg, mask=inside)
    dq = tl.dot(dscores, k, input_precision=PRECISION) + across
    tl.store(dq_ptr + ((part + step) * H + head)[:, None] * K + key[None, :], dq, mask=mask_qk)


@triton.jit
def scalar_key_kernel(
    do_ptr, dfinal_ptr, starts_ptr, q_ptr, k_ptr, v_ptr, g_ptr, dk_ptr, dv_ptr, dg_ptr, dh0_ptr, scale, L, BATCH,
    H: tl.constexpr, PER: tl.constexpr, K: tl.constexpr, V: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr,
    Q: tl.constexpr, REVERSE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Walk back with the state's gradient: the gradients of keys and values, and the rest of the decays'."""
    row, head = tl.program_id(2).to(tl.int64), tl.program_id(1)
    group = head // PER
    i, key, value = tl.arange(0, Q), tl.arange(0, BK), tl.program_id(0) * BV + tl.arange(0, BV)
    mask_k, mask_v = key < K, value < V
    mask = mask_k[:, None] & mask_v[None, :]
    at_state = (row * H + head) * K * V + key[:, None] * V + value[None, :]
    at_start = ((group * K + key[:, None]) * PER + head % PER) * V + value[None, :]
    part = tl.program_id(0).to(tl.int64) * BATCH * L
    carry = tl.load(dfinal_ptr + at_state, mask=mask, other=0.0).to(tl.float32)
    chunks = tl.cdiv(L, Q)
    for back in tl.range(0, chunks, num_stages=1):  # pipelined loads would cost registers that are not there
        chunk = chunks - 1 - back
        s = chunk * Q + i
        inside = s < L
        step = row * L + (L - 1 - s if REVERSE else s)
        at_k = (step * (H // PER) + group)[:, None] * K + key[None, :]
        at_v = (step * H + head)[:, None] * V + value[None, :]
        mask_qk, mask_qv = inside[:, None] & mask_k[None, :], inside[:, None] & mask_v[None, :]
        k = tl.load(k_ptr + at_k, mask=mask_qk, other=0.0).to(tl.float32)
        v = tl.load(v_ptr + at_v, mask=mask_qv, other=0.0).to(tl.float32)
        do = tl.load(do_ptr + at_v, mask=mask_qv, other=0.0).to(tl.float32) * scale
        g = tl.maximum(tl.load(g_ptr + step * H + head, mask=inside, other=0.0).to(tl.float32), LEAST)
        D, prefix, suffix = _decays(g, i, Q)
        total = tl.exp(tl.sum(g, axis=0))
        start = tl.load(starts_ptr + (chunk * BATCH + row) * H * K * V + at_start, mask=mask, other=0.0)
        along = total * tl.sum(tl.sum(start * carry, axis=1), axis=0)
        kept = tl.dot(k, carry, input_precision=PRECISION) * suffix[:, None]
        stays = tl.sum(v * kept, axis=1)
        at_g = (part + step) * H + head
        dg = tl.load(dg_ptr + at_g, mask=inside, other=0.0) + along
        dg += tl.sum(tl.where(i[:, None] < i[None, :], stays[:, None], 0.0), axis=0)
        tl.store(dg_ptr + at_g, tl.where(tl.exp(g) == 0.0, 0.0, dg), mask=inside)
        q = tl.load(q_ptr + at_k, mask=mask_qk, other=0.0).to(tl.float32)
        weights = tl.dot(q, tl.trans(k), input_precision=PRECISION) * D
        dv = tl.dot(tl.trans(weights), do, input_precision=PRECISION) + kept
        tl.store(dv_ptr + at_v, dv, mask=mask_qv)
        dk = tl.dot(v, tl.trans(carry), input_precision=PRECISION) * suffix[:, None]
        dscores = tl.dot(do, tl.trans(v), input_precision=PRECISION) * D
        dk += tl.dot(tl.trans(dscores), q, input_precision=PRECISION)
        tl.store(dk_ptr + ((part + step) * H + head)[:, None] * K + key[None, :], dk, mask=mask_qk)
        carry = total * carry + tl.dot(tl.trans(q * prefix[:, None]), do, input_precision=PRECISION)
    tl.store(dh0_ptr + at_state, carry, mask=mask)


def _block(size: int, most: int) -> int:
    """Return how many keys or values a program takes: a power of two, and 16 at least for matrix products."""
    return min(max(16, triton.next_power_of_2(size)), most)


def _flags(q: Tensor, v: Tensor, reverse: bool, chunk: int) -> dict[str, Any]:
    heads, width = v.shape[2:]
    keys = q.shape[3]
    block = _block(keys, 256)
    return {
        "L": v.shape[1], "BATCH": v.shape[0], "H": heads, "PER": heads // q.shape[2], "K": keys, "V": width,
        "BK": block, "BV": _block(width, 64 if block <= 64 else 32), "Q": chunk, "REVERSE": reverse,
        "PRECISION": "ieee" if v.dtype == torch.float32 else "tf32",
    }  # fmt: skip


def forward(
    q: Tensor, k: Tensor, v: Tensor, g: Tensor, initial_state: Tensor | None, scale: float, reverse: bool, chunk: int
) -> tuple[Tensor, Tensor, Tensor]:
    """As the portable path."""
    options = _flags(q, v, reverse, chunk)
    batch, length, heads, width = v.shape
    groups, keys = q.shape[2:]
    o = torch.empty(v.shape, dtype=v.dtype, device=v.device)
    final = torch.empty(batch, heads, keys, width, device=v.device)
    shape = (triton.cdiv(length, chunk), batch, groups, keys, heads // groups, width)
    starts = torch.empty(shape, device=v.device)
    kernel = vector_forward_kernel if g.ndim == 4 else scalar_forward_kernel
    solid = [None if x is None else x.contiguous() for x in (q, k, v, g, initial_state)]
    kernel[triton.cdiv(width, options["BV"]), heads, batch](
        *solid, o, final, starts, scale, **options, HAS_H0=initial_state is not None, num_warps=8
    )
    return o, final, starts


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
    """As the portable path."""
    options = _flags(q, v, reverse, chunk)
    batch, length, heads, width = v.shape
    blocks, per = triton.cdiv(width, options["BV"]), options["PER"]
    dq, dk = (torch.empty(blocks, batch, length, heads, q.shape[3], device=v.device) for _ in range(2))
    dg = torch.empty(blocks, *g.shape, device=v.device)
    dv = torch.empty(v.shape, dtype=v.dtype, device=v.device)
    dinitial = torch.empty(dfinal.shape, device=v.device)
    dy, dfinal, starts, *operands = (x.contiguous() for x in (dy, dfinal, starts, q, k, v, g))
    grid = (blocks, heads, batch)
    if g.ndim == 4:
        vector_backward_kernel[grid](
            dy, dfinal, starts, *operands, dq, dk, dv, dg, dinitial, scale, **options, num_warps=8
        )
    else:
        chunks = triton.cdiv(length, chunk)
        scalar_query_kernel[batch * chunks, heads, blocks](dy, starts, *operands, dq, dg, scale, **options, num_warps=4)
        scalar_key_kernel[grid](dy, dfinal, starts, *operands, dk, dv, dg, dinitial, scale, **options, num_warps=8)
    dq, dk = (x.unflatten(3, (-1, per)).sum((0, 4)).to(q.dtype) for x in (dq, dk))
    found = v.new_empty(0) if initial_state is None else dinitial.to(initial_state.dtype)
    return dq, dk.to(k.dtype), dv, dg.sum(0).to(g.dtype), found


_SHAPE = {"H": 8, "PER": 8, "K": 64, "V": 64, "BK": 64, "BV": 64, "REVERSE": False, "PRECISION": "tf32"}
_VECTOR = _SHAPE | {"PER": 1, "Q": 16}
_SINGLE = {"g": "fp32", "h0": "fp32", "final": "fp32", "starts": "fp32", "scale": "fp32"}
_SINGLES = _SINGLE | {"dfinal": "fp32", "dq": "fp32", "dk": "fp32", "dg": "fp32", "dh0": "fp32"}
EXAMPLES: tuple[KernelExample, ...] = (
    KernelExample("scalar_forward_kernel", {**_SHAPE, "Q": 32, "HAS_H0": True}, 8, 255, _SINGLE),
    KernelExample("scalar_query_kernel", {**_SHAPE, "Q": 32}, 4, 255, _SINGLES),
    KernelExample("scalar_key_kernel", {**_SHAPE, "Q": 32}, 8, 255, _SINGLES),
    KernelExample("vector_forward_kernel", {**_VECTOR, "HAS_H0": True}, 8, 255, _SINGLE),
    KernelExample("vector_backward_kernel", _VECTOR, 8, 255, _SINGLES),
)
