"""Triton kernels of the selective scan: one program a row and block of channels, the state in registers.

The forward kernel walks through time and keeps the state before every Q-th step; the backward kernel
walks back, recomputing Q states at a time in registers from there. Loads are upcast at once.
These kernels have NEVER RUN ON A GPU so far: their numbers are tested in Triton's interpreter, their
compilation (registers, no spills) offline for sm_90.
"""

# Kernels are Triton's language, not Python's: their arguments and reassignments have no Python types.
# mypy: disable-error-code="no-untyped-def, assignment"

from __future__ import annotations

import math
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from seqsuite.ops._kernels import KernelExample
from seqsuite.ops._operands import solid

LOG2_E = tl.constexpr(math.log2(math.e))


@triton.jit
def _softplus(x):
    """log(1 + e^x), accurate for small e^x too: the rounding of 1 + e^x is put back."""
    e = tl.exp(tl.minimum(x, 20.0))
    w = 1.0 + e
    return tl.where(x > 20.0, x, tl.log(w) - ((w - 1.0) - e) / w)


@triton.jit
def _step_size(delta_ptr, at, bias, valid, SOFTPLUS: tl.constexpr, HINT: tl.constexpr):
    """Return the raw value and the step size, which is 0 where not valid."""
    raw = tl.load(delta_ptr + at, mask=valid, other=0.0, eviction_policy=HINT).to(tl.float32) + bias
    dt = raw
    if SOFTPLUS:
        dt = _softplus(raw)
    return raw, tl.where(valid, dt, 0.0)


@triton.jit
def _weights(ptr, constant, row_step, n, mask_n, GROUPS, N, group, valid, CONSTANT: tl.constexpr, HINT: tl.constexpr):
    """Load B or C of one step as (1, N), or pass the constant (D, N) tile on."""
    if CONSTANT:
        return constant
    at = (row_step * GROUPS + group) * N + n
    return tl.load(ptr + at, mask=mask_n & valid, other=0.0, eviction_policy=HINT).to(tl.float32)[None, :]


@triton.jit
def forward_kernel(
    u_ptr, delta_ptr, A_ptr, B_ptr, C_ptr, D_ptr, z_ptr, bias_ptr, h0_ptr, reset_ptr,
    y_ptr, final_ptr, starts_ptr, L, BATCH, WIDTH: tl.constexpr, GROUPS: tl.constexpr, N: tl.constexpr,
    BN: tl.constexpr, BD: tl.constexpr, Q: tl.constexpr, REVERSE: tl.constexpr, SOFTPLUS: tl.constexpr,
    HAS_D: tl.constexpr, HAS_Z: tl.constexpr, HAS_BIAS: tl.constexpr, HAS_H0: tl.constexpr,
    HAS_RESET: tl.constexpr, CONST_B: tl.constexpr, CONST_C: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(1).to(tl.int64)
    d = tl.program_id(0) * BD + tl.arange(0, BD)
    n = tl.arange(0, BN)
    mask_d, mask_n = d < WIDTH, n < N
    mask = mask_d[:, None] & mask_n[None, :]
    per_group = WIDTH // GROUPS
    group = (tl.program_id(0) * BD) // per_group
    at_dn = d[:, None] * N + n[None, :]
    at_start = (group * N + n[None, :]) * per_group + (d % per_group)[:, None]
    rate = tl.load(A_ptr + at_dn, mask=mask, other=0.0).to(tl.float32) * LOG2_E
    bias = tl.zeros((BD,), tl.float32)
    skip = tl.zeros((BD,), tl.float32)
    B_all = tl.zeros((BD, BN), tl.float32)
    C_all = tl.zeros((BD, BN), tl.float32)
    h = tl.zeros((BD, BN), tl.float32)
    if HAS_BIAS:
        bias = tl.load(bias_ptr + d, mask=mask_d, other=0.0).to(tl.float32)
    if HAS_D:
        skip = tl.load(D_ptr + d, mask=mask_d, other=0.0).to(tl.float32)
    if CONST_B:
        B_all = tl.load(B_ptr + at_dn, mask=mask, other=0.0).to(tl.float32)
    if CONST_C:
        C_all = tl.load(C_ptr + at_dn, mask=mask, other=0.0).to(tl.float32)
    if HAS_H0:
        h = tl.load(h0_ptr + row * WIDTH * N + at_dn, mask=mask, other=0.0).to(tl.float32)
    for i in range(0, L):
        kept = starts_ptr + (i // Q * BATCH + row) * WIDTH * N + at_start
        tl.store(kept, h, mask=mask & (i % Q == 0))
        t = L - 1 - i if REVERSE else i
        step = row * L + t
        at = step * WIDTH + d
        u = tl.load(u_ptr + at, mask=mask_d, other=0.0).to(tl.float32)
        _, dt = _step_size(delta_ptr, at, bias, mask_d, SOFTPLUS, "")
        B = _weights(B_ptr, B_all, step, n, mask_n, GROUPS, N, group, True, CONST_B, "")
        C = _weights(C_ptr, C_all, step, n, mask_n, GROUPS, N, group, True, CONST_C, "")
        decay = tl.exp2(dt[:, None] * rate)
        if HAS_RESET:
            drop = tl.load(reset_ptr + step)
            decay = tl.where(drop != 0, 0.0, decay)
        h = decay * h + (dt * u)[:, None] * B
        y = tl.sum(h * C, axis=1)
        if HAS_D:
            y += skip * u
        if HAS_Z:
            z = tl.load(z_ptr + at, mask=mask_d, other=0.0).to(tl.float32)
            y *= z / (1.0 + tl.exp(-z))
        tl.store(y_ptr + at, y, mask=mask_d)
    tl.store(final_ptr + row * WIDTH * N + at_dn, h, mask=mask)


@triton.jit
def backward_kernel(
    dy_ptr, dfinal_ptr, starts_ptr,
    u_ptr, delta_ptr, A_ptr, B_ptr, C_ptr, D_ptr, z_ptr, bias_ptr, reset_ptr,
    du_ptr, ddelta_ptr, dA_ptr, dB_ptr, dC_ptr, dD_ptr, dz_ptr, dbias_ptr, dh0_ptr,
    L, BATCH, partial_stride, WIDTH: tl.constexpr, GROUPS: tl.constexpr, N: tl.constexpr,
    BN: tl.constexpr, BD: tl.constexpr, Q: tl.constexpr, REVERSE: tl.constexpr, SOFTPLUS: tl.constexpr,
    HAS_D: tl.constexpr, HAS_Z: tl.constexpr, HAS_BIAS: tl.constexpr,
    HAS_RESET: tl.constexpr, CONST_B: tl.constexpr, CONST_C: tl.constexpr, ATOMIC: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(1).to(tl.int64)
    d = tl.program_id(0) * BD + tl.arange(0, BD)
    n = tl.arange(0, BN)
    mask_d, mask_n = d < WIDTH, n < N
    mask = mask_d[:, None] & mask_n[None, :]
    per_group = WIDTH // GROUPS
    group = (tl.program_id(0) * BD) // per_group
    part = tl.program_id(0).to(tl.int64) * partial_stride
    at_dn = d[:, None] * N + n[None, :]
    at_row = row * WIDTH * N + at_dn
    at_start = (group * N + n[None, :]) * per_group + (d % per_group)[:, None]
    A = tl.load(A_ptr + at_dn, mask=mask, other=0.0).to(tl.float32)
    rate = A * LOG2_E
    zero = tl.zeros((BD, BN), tl.float32)
    bias = tl.zeros((BD,), tl.float32)
    skip = tl.zeros((BD,), tl.float32)
    B_all, C_all, dA, dB_all, dC_all = zero, zero, zero, zero, zero
    dD, dbias = bias, bias
    if HAS_BIAS:
        bias = tl.load(bias_ptr + d, mask=mask_d, other=0.0).to(tl.float32)
    if HAS_D:
        skip = tl.load(D_ptr + d, mask=mask_d, other=0.0).to(tl.float32)
    if CONST_B:
        B_all = tl.load(B_ptr + at_dn, mask=mask, other=0.0).to(tl.float32)
    if CONST_C:
        C_all = tl.load(C_ptr + at_dn, mask=mask, other=0.0).to(tl.float32)
    g = tl.load(dfinal_ptr + at_row, mask=mask, other=0.0).to(tl.float32)
    chunks = tl.cdiv(L, Q)
    for back in range(0, chunks):
        chunk = chunks - 1 - back
        h = tl.load(starts_ptr + (chunk * BATCH + row) * WIDTH * N + at_start, mask=mask, other=0.0)
        states = (h,)
        for j in tl.static_range(Q):
            inside = chunk * Q + j < L
            t = L - 1 - (chunk * Q + j) if REVERSE else chunk * Q + j
            step = row * L + t
            at, valid = step * WIDTH + d, mask_d & inside
            u = tl.load(u_ptr + at, mask=valid, other=0.0, eviction_policy="evict_last").to(tl.float32)
            _, dt = _step_size(delta_ptr, at, bias, valid, SOFTPLUS, "evict_last")
            B = _weights(B_ptr, B_all, step, n, mask_n, GROUPS, N, group, inside, CONST_B, "evict_last")
            decay = tl.exp2(dt[:, None] * rate)
            if HAS_RESET:
                drop = tl.load(reset_ptr + step, mask=inside, other=0, eviction_policy="evict_last")
                decay = tl.where(drop != 0, 0.0, decay)
            h = decay * h + (dt * u)[:, None] * B
            states = states + (h,)
        for j in tl.static_range(Q - 1, -1, -1):
            inside = chunk * Q + j < L
            t = L - 1 - (chunk * Q + j) if REVERSE else chunk * Q + j
            step = row * L + t
            at, valid = step * WIDTH + d, mask_d & inside
            u = tl.load(u_ptr + at, mask=valid, other=0.0).to(tl.float32)
            raw, dt = _step_size(delta_ptr, at, bias, valid, SOFTPLUS, "")
            B = _weights(B_ptr, B_all, step, n, mask_n, GROUPS, N, group, inside, CONST_B, "")
            C = _weights(C_ptr, C_all, step, n, mask_n, GROUPS, N, group, inside, CONST_C, "")
            dy = tl.load(dy_ptr + at, mask=valid, other=0.0).to(tl.float32)
            if HAS_Z:
                z = tl.load(z_ptr + at, mask=valid, other=0.0).to(tl.float32)
                sigma = 1.0 / (1.0 + tl.exp(-z))
                inner = tl.sum(states[j + 1] * C, axis=1) + skip * u
                tl.store(dz_ptr + at, dy * inner * sigma * (1.0 + z * (1.0 - sigma)), mask=valid)
                dy *= z * sigma
            x = dt * u
            g += dy[:, None] * C
            to_B = g * x[:, None]
            to_C = states[j + 1] * dy[:, None]
            at_group = part + (step * GROUPS + group) * N + n
            if CONST_B:
                dB_all += to_B
            else:
                if ATOMIC:
                    tl.atomic_add(dB_ptr + at_group, tl.sum(to_B, axis=0), mask=mask_n & inside)
                else:
                    tl.store(dB_ptr + at_group, tl.sum(to_B, axis=0), mask=mask_n & inside)
            if CONST_C:
                dC_all += to_C
            else:
                if ATOMIC:
                    tl.atomic_add(dC_ptr + at_group, tl.sum(to_C, axis=0), mask=mask_n & inside)
                else:
                    tl.store(dC_ptr + at_group, tl.sum(to_C, axis=0), mask=mask_n & inside)
            decay = tl.exp2(dt[:, None] * rate)
            if HAS_RESET:
                drop = tl.load(reset_ptr + step, mask=inside, other=0)
                decay = tl.where(drop != 0, 0.0, decay)
            dx = tl.sum(g * B, axis=1)
            g = g * decay
            to_log = g * states[j]
            dA += to_log * dt[:, None]
            ddt = tl.sum(to_log * A, axis=1) + dx * u
            if SOFTPLUS:
                ddt *= 1.0 / (1.0 + tl.exp(-raw))
            dbias += tl.where(valid, ddt, 0.0)
            dD += dy * u
            tl.store(du_ptr + at, dx * dt + dy * skip, mask=valid)
            tl.store(ddelta_ptr + at, ddt, mask=valid)
    tl.store(dA_ptr + at_row, dA, mask=mask)
    tl.store(dh0_ptr + at_row, g, mask=mask)
    if CONST_B:
        tl.store(dB_ptr + at_row, dB_all, mask=mask)
    if CONST_C:
        tl.store(dC_ptr + at_row, dC_all, mask=mask)
    if HAS_D:
        tl.store(dD_ptr + row * WIDTH + d, dD, mask=mask_d)
    if HAS_BIAS:
        tl.store(dbias_ptr + row * WIDTH + d, dbias, mask=mask_d)


def block_of(width: int, groups: int) -> int:
    """Return how many channels a program takes: a power of two up to 16; with groups, one that divides them."""
    per_group = width // groups
    return min(16, per_group & -per_group if groups > 1 else triton.next_power_of_2(width))


def _flags(u: Tensor, A: Tensor, B: Tensor, C: Tensor, reset: Tensor | None, reverse: bool) -> dict[str, Any]:
    groups = next((m.shape[2] for m in (B, C) if m.ndim == 4), 1)
    return {
        "L": u.shape[1], "BATCH": u.shape[0], "WIDTH": u.shape[2], "GROUPS": groups, "N": A.shape[1],
        "BN": triton.next_power_of_2(A.shape[1]), "BD": block_of(u.shape[2], groups), "REVERSE": reverse,
        "HAS_RESET": reset is not None, "CONST_B": B.ndim == 2, "CONST_C": C.ndim == 2,
    }  # fmt: skip


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
    """As the portable path; the ungated y is not kept."""
    options = _flags(u, A, B, C, reset, reverse)
    batch, length, width = u.shape
    groups, state = options["GROUPS"], options["N"]
    y = torch.empty(u.shape, dtype=u.dtype, device=u.device)
    final = torch.empty(batch, width, state, device=u.device)
    starts = torch.empty(triton.cdiv(length, chunk), batch, groups, state, width // groups, device=u.device)
    reset = None if reset is None else reset.to(torch.int8)
    forward_kernel[triton.cdiv(width, options["BD"]), batch](
        *solid(u, delta, A, B, C, D, z, delta_bias, initial_state, reset), y, final, starts,
        **options, Q=chunk, SOFTPLUS=delta_softplus, HAS_D=D is not None, HAS_Z=z is not None,
        HAS_BIAS=delta_bias is not None, HAS_H0=initial_state is not None, num_warps=1,
    )  # fmt: skip
    return y, final, starts, torch.empty(0, device=u.device)


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
    """As the portable path. Gradients of B and C are added atomically, or in a fixed order where torch asks for it."""
    options = _flags(u, A, B, C, reset, reverse)
    batch, length, width = u.shape
    groups, state = options["GROUPS"], options["N"]
    blocks = triton.cdiv(width, options["BD"])
    atomic = not torch.are_deterministic_algorithms_enabled()
    du, ddelta, dz = (
        None if x is None else torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in (u, delta, z)
    )
    dA, dh0 = (u.new_empty(batch, width, state, dtype=torch.float32) for _ in range(2))
    dD, dbias = (u.new_empty(batch, width, dtype=torch.float32) for _ in range(2))
    shape = (1 if atomic else blocks, batch, length, groups, state)
    dB, dC = (
        torch.empty_like(dA) if m.ndim == 2 else torch.zeros(shape, dtype=torch.float32, device=u.device)
        for m in (B, C)
    )
    reset = None if reset is None else reset.to(torch.int8)
    backward_kernel[blocks, batch](
        dy.contiguous(), dfinal.contiguous(), starts, *solid(u, delta, A, B, C, D, z, delta_bias, reset),
        du, ddelta, dA, dB, dC, dD, dz, dbias, dh0, partial_stride=0 if atomic else batch * length * groups * state,
        **options, Q=chunk, SOFTPLUS=delta_softplus, HAS_D=D is not None, HAS_Z=z is not None,
        HAS_BIAS=delta_bias is not None, ATOMIC=atomic, num_warps=2,
    )  # fmt: skip
    found: tuple[Any, ...] = (du, ddelta, dA.sum(0), dB.sum(0), dC.sum(0), dD.sum(0), dz, dbias.sum(0), dh0)
    operands = (u, delta, A, B, C, D, z, delta_bias, initial_state)
    return tuple(u.new_empty(0) if x is None else g.to(x.dtype) for g, x in zip(found, operands, strict=True))


_SIZES = {"WIDTH": 2048, "GROUPS": 1, "N": 16, "BN": 16, "BD": 16, "Q": 4, "REVERSE": False, "SOFTPLUS": True}
_SIZES |= {"HAS_D": True, "HAS_Z": True, "HAS_BIAS": True, "HAS_RESET": True, "CONST_B": False, "CONST_C": False}
_TYPES = dict.fromkeys("A D bias h0 final starts dfinal dA dB dC dD dbias dh0".split(), "fp32") | {"reset": "i8"}
EXAMPLES = (
    KernelExample("forward_kernel", {**_SIZES, "HAS_H0": True}, warps=1, registers=96, types=_TYPES),
    KernelExample("backward_kernel", {**_SIZES, "ATOMIC": True}, warps=2, registers=255, types=_TYPES),
)
