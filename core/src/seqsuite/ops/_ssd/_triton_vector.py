"""Triton kernels of gated linear attention with a decay for every key: chunks of 16 steps.

Within a chunk the weights for one step's key are taken for all queries at once, from the last step to the
first: the logarithm of the decay between grows by one step's each time, so it is a sum of one sign, and
however strong a decay is, nothing overflows or cancels. See `triton.py` for the rest.
"""

# Kernels are Triton's language, not Python's: their arguments and reassignments have no Python types.
# mypy: disable-error-code="no-untyped-def, assignment"

from __future__ import annotations

import triton
import triton.language as tl

LEAST = tl.constexpr(-200.0)
"""Logarithms of decays are not below this: its exponential is 0 in float32, and sums stay finite."""


@triton.jit
def _along(g, i):
    """Return prefixes and suffixes (Q, K) of the decays as exponentials of sums of logarithms g (Q, K)."""
    upto = (i[:, None] >= i[None, :]).to(tl.float32)
    behind = (i[:, None] < i[None, :]).to(tl.float32)
    return tl.exp(tl.dot(upto, g, input_precision="ieee")), tl.exp(tl.dot(behind, g, input_precision="ieee"))


@triton.jit
def _row(x, i, j):
    """Return row j of (Q, K)."""
    return tl.sum(tl.where(i[:, None] == j, x, 0.0), axis=0)


@triton.jit
def vector_forward_kernel(
    q_ptr, k_ptr, v_ptr, g_ptr, h0_ptr, o_ptr, final_ptr, starts_ptr, scale, L, BATCH,
    H: tl.constexpr, PER: tl.constexpr, K: tl.constexpr, V: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr,
    Q: tl.constexpr, REVERSE: tl.constexpr, HAS_H0: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    row, head = tl.program_id(2).to(tl.int64), tl.program_id(1)
    i, key, value = tl.arange(0, Q), tl.arange(0, BK), tl.program_id(0) * BV + tl.arange(0, BV)
    mask_k, mask_v = key < K, value < V
    mask = mask_k[:, None] & mask_v[None, :]
    at_head = (head * K + key[:, None]) * V + value[None, :]
    at_state = row * H * K * V + at_head
    state = tl.zeros((BK, BV), tl.float32)
    if HAS_H0:
        state = tl.load(h0_ptr + at_state, mask=mask, other=0.0).to(tl.float32)
    for chunk in range(0, tl.cdiv(L, Q)):
        tl.store(starts_ptr + (chunk * BATCH + row) * H * K * V + at_head, state, mask=mask)
        s = chunk * Q + i
        inside = s < L
        step = row * L + (L - 1 - s if REVERSE else s)
        at_k = (step * H + head)[:, None] * K + key[None, :]
        at_v = (step * H + head)[:, None] * V + value[None, :]
        mask_qk, mask_qv = inside[:, None] & mask_k[None, :], inside[:, None] & mask_v[None, :]
        q = tl.load(q_ptr + at_k, mask=mask_qk, other=0.0).to(tl.float32)
        k = tl.load(k_ptr + at_k, mask=mask_qk, other=0.0).to(tl.float32)
        v = tl.load(v_ptr + at_v, mask=mask_qv, other=0.0).to(tl.float32)
        g = tl.maximum(tl.load(g_ptr + at_k, mask=mask_qk, other=0.0).to(tl.float32), LEAST)
        prefix, suffix = _along(g, i)
        weights = tl.zeros((Q, Q), tl.float32)
        between = tl.zeros((Q, BK), tl.float32)
        for back in range(0, Q):
            j = Q - 1 - back
            column = tl.sum(q * tl.exp(between) * _row(k, i, j)[None, :], axis=1)
            weights = tl.where((i[None, :] == j) & (i[:, None] >= j), column[:, None], weights)
            between += tl.where(i[:, None] >= j, _row(g, i, j)[None, :], 0.0)
        o = tl.dot(weights, v, input_precision=PRECISION)
        o += tl.dot(q * prefix, state, input_precision=PRECISION)
        tl.store(o_ptr + at_v, o * scale, mask=mask_qv)
        total = tl.exp(tl.sum(g, axis=0))
        state = total[:, None] * state + tl.dot(tl.trans(k * suffix), v, input_precision=PRECISION)
    tl.store(final_ptr + at_state, state, mask=mask)


@triton.jit
def vector_backward_kernel(
    do_ptr, dfinal_ptr, starts_ptr, q_ptr, k_ptr, v_ptr, g_ptr, dq_ptr, dk_ptr, dv_ptr, dg_ptr, dh0_ptr,
    scale, L, BATCH,
    H: tl.constexpr, PER: tl.constexpr, K: tl.constexpr, V: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr,
    Q: tl.constexpr, REVERSE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    row, head = tl.program_id(2).to(tl.int64), tl.program_id(1)
    i, key, value = tl.arange(0, Q), tl.arange(0, BK), tl.program_id(0) * BV + tl.arange(0, BV)
    mask_k, mask_v = key < K, value < V
    mask = mask_k[:, None] & mask_v[None, :]
    at_head = (head * K + key[:, None]) * V + value[None, :]
    at_state = row * H * K * V + at_head
    part = tl.program_id(0).to(tl.int64) * BATCH * L
    carry = tl.load(dfinal_ptr + at_state, mask=mask, other=0.0).to(tl.float32)
    chunks = tl.cdiv(L, Q)
    for turn in range(0, chunks):
        chunk = chunks - 1 - turn
        s = chunk * Q + i
        inside = s < L
        step = row * L + (L - 1 - s if REVERSE else s)
        at_k = (step * H + head)[:, None] * K + key[None, :]
        at_v = (step * H + head)[:, None] * V + value[None, :]
        at_part = ((part + step) * H + head)[:, None] * K + key[None, :]
        mask_qk, mask_qv = inside[:, None] & mask_k[None, :], inside[:, None] & mask_v[None, :]
        q = tl.load(q_ptr + at_k, mask=mask_qk, other=0.0).to(tl.float32)
        k = tl.load(k_ptr + at_k, mask=mask_qk, other=0.0).to(tl.float32)
        v = tl.load(v_ptr + at_v, mask=mask_qv, other=0.0).to(tl.float32)
        do = tl.load(do_ptr + at_v, mask=mask_qv, other=0.0).to(tl.float32) * scale
        g = tl.maximum(tl.load(g_ptr + at_k, mask=mask_qk, other=0.0).to(tl.float32), LEAST)
        start = tl.load(starts_ptr + (chunk * BATCH + row) * H * K * V + at_head, mask=mask, other=0.0)
        prefix, suffix = _along(g, i)
        total = tl.exp(tl.sum(g, axis=0))
        dweights = tl.dot(do, tl.trans(v), input_precision=PRECISION)
        dq = tl.dot(do, tl.trans(start), input_precision=PRECISION) * prefix
        dk = tl.dot(v, tl.trans(carry), input_precision=PRECISION) * suffix
        # Gradients of logarithms: `ends` of the decays up to a step, `stays` of those behind it.
        ends, stays = dq * q, dk * k
        weights = tl.zeros((Q, Q), tl.float32)
        between = tl.zeros((Q, BK), tl.float32)
        for back in range(0, Q):
            j = Q - 1 - back
            k_j = _row(k, i, j)
            decayed = tl.where(i[:, None] >= j, q * tl.exp(between), 0.0)
            column = tl.sum(decayed * k_j[None, :], axis=1)
            weights = tl.where(i[None, :] == j, column[:, None], weights)
            dcolumn = tl.sum(tl.where(i[None, :] == j, dweights, 0.0), axis=1)
            dq += tl.where(i[:, None] >= j, tl.exp(between) * dcolumn[:, None] * k_j[None, :], 0.0)
            to_key = decayed * dcolumn[:, None]
            dk += tl.where(i[:, None] == j, tl.sum(to_key, axis=0)[None, :], 0.0)
            to_log = tl.where(i[:, None] > j, to_key * k_j[None, :], 0.0)  # the diagonal holds no decay
            ends += to_log - tl.where(i[:, None] == j, tl.sum(to_log, axis=0)[None, :], 0.0)
            between += tl.where(i[:, None] >= j, _row(g, i, j)[None, :], 0.0)
        dv = tl.dot(tl.trans(weights), do, input_precision=PRECISION)
        dv += tl.dot(k * suffix, carry, input_precision=PRECISION)
        tl.store(dv_ptr + at_v, dv, mask=mask_qv)
        tl.store(dq_ptr + at_part, dq, mask=mask_qk)
        tl.store(dk_ptr + at_part, dk, mask=mask_qk)
        since = (i[:, None] <= i[None, :]).to(tl.float32)  # (s, i), i >= s
        behind = (i[:, None] > i[None, :]).to(tl.float32)  # (s, j), j < s
        dg = tl.dot(since, ends, input_precision="ieee") + tl.dot(behind, stays, input_precision="ieee")
        dg += (total * tl.sum(start * carry, axis=1))[None, :]
        tl.store(dg_ptr + at_part, tl.where(tl.exp(g) == 0.0, 0.0, dg), mask=mask_qk)
        carry = total[:, None] * carry + tl.dot(tl.trans(q * prefix), do, input_precision=PRECISION)
    tl.store(dh0_ptr + at_state, carry, mask=mask)
