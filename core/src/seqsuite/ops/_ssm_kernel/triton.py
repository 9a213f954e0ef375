"""Triton kernels of the Vandermonde and Cauchy products: real and imaginary parts apart, no complex numbers.

A program of the Vandermonde product makes a tile of BI BJ consecutive steps as the product of two small
factors, whose phases are reduced modulo 2 pi in double precision; the backward pass sums tiles the same
way. A program of the Cauchy product holds a block of points and walks through the poles; its differences
are double, its sums in the precision of the weights, which may be double. Sums run in a fixed order.
These kernels have NEVER RUN ON A GPU so far: their numbers are tested in Triton's interpreter, their
compilation (registers, no spills) offline for sm_90.
"""

# Kernels are Triton's language, not Python's: their arguments and reassignments have no Python types.
# mypy: disable-error-code="no-untyped-def, assignment"

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from seqsuite.ops._kernels import KernelExample
from seqsuite.ops._ssm_kernel.portable import _weights as numerators

TURN = tl.constexpr(2 * math.pi)
PER_TURN = tl.constexpr(1 / (2 * math.pi))


@triton.jit
def _power(log_re, log_im, step):
    """Return the real and imaginary parts of exp(log step), float32, for doubles."""
    phase = log_im * step
    phase -= tl.floor(phase * PER_TURN + 0.5) * TURN
    size = tl.exp((log_re * step).to(tl.float32))
    angle = phase.to(tl.float32)
    return size * tl.cos(angle), size * tl.sin(angle)


@triton.jit
def vandermonde_forward_kernel(
    c_ptr, log_ptr, k_ptr, L, HEADS, STATES,
    BI: tl.constexpr, BJ: tl.constexpr, BN: tl.constexpr,
):  # fmt: skip
    first = tl.program_id(0).to(tl.int64) * (BI * BJ)
    head, row = tl.program_id(1).to(tl.int64), tl.program_id(2).to(tl.int64)
    far = (first + tl.arange(0, BI) * BJ)[:, None].to(tl.float64)
    near = tl.arange(0, BJ)[None, :].to(tl.float64)
    lane = tl.arange(0, BN)
    k = tl.zeros((BI, BJ), tl.float32)
    for begin in range(0, STATES, BN):
        n = begin + lane
        mask = n < STATES
        at = (head * STATES + n) * 2
        log_re = tl.load(log_ptr + at, mask=mask, other=0.0)
        log_im = tl.load(log_ptr + at + 1, mask=mask, other=0.0)
        at = ((row * HEADS + head) * STATES + n) * 2
        c_re = tl.load(c_ptr + at, mask=mask, other=0.0)[None, :]
        c_im = tl.load(c_ptr + at + 1, mask=mask, other=0.0)[None, :]
        far_re, far_im = _power(log_re[None, :], log_im[None, :], far)  # (BI, BN)
        near_re, near_im = _power(log_re[:, None], log_im[:, None], near)  # (BN, BJ)
        k += tl.dot(c_re * far_re - c_im * far_im, near_re, input_precision="ieee")
        k -= tl.dot(c_re * far_im + c_im * far_re, near_im, input_precision="ieee")
    step = first + tl.arange(0, BI)[:, None] * BJ + tl.arange(0, BJ)[None, :]
    tl.store(k_ptr + (row * HEADS + head) * L + step, 2.0 * k, mask=step < L)


@triton.jit
def vandermonde_backward_kernel(
    dk_ptr, log_ptr, part_ptr, L, HEADS, STATES, ROWS,
    BI: tl.constexpr, BJ: tl.constexpr, BN: tl.constexpr,
):  # fmt: skip
    """Sums of dk exp(log l) and of l dk exp(log l) over the tile's steps: (tiles, M, H, N, 4)."""
    tile, pair, row = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64), tl.program_id(2).to(tl.int64)
    first = tile * (BI * BJ)
    head = pair % HEADS
    n = pair // HEADS * BN + tl.arange(0, BN)
    mask = n < STATES
    at = (head * STATES + n) * 2
    log_re = tl.load(log_ptr + at, mask=mask, other=0.0)[None, :]
    log_im = tl.load(log_ptr + at + 1, mask=mask, other=0.0)[None, :]
    begin = first + tl.arange(0, BI) * BJ
    step = begin[:, None] + tl.arange(0, BJ)[None, :]
    g = tl.load(dk_ptr + (row * HEADS + head) * L + step, mask=step < L, other=0.0)
    j = tl.arange(0, BJ)[:, None]
    near_re, near_im = _power(log_re, log_im, j.to(tl.float64))  # (BJ, BN)
    t_re = tl.dot(g, near_re, input_precision="ieee")  # (BI, BN)
    t_im = tl.dot(g, near_im, input_precision="ieee")
    far = begin[:, None].to(tl.float32)
    s_re = far * t_re + tl.dot(g, near_re * j.to(tl.float32), input_precision="ieee")
    s_im = far * t_im + tl.dot(g, near_im * j.to(tl.float32), input_precision="ieee")
    far_re, far_im = _power(log_re, log_im, begin[:, None].to(tl.float64))
    at = (((tile * ROWS + row) * HEADS + head) * STATES + n) * 4
    tl.store(part_ptr + at, tl.sum(far_re * t_re - far_im * t_im, axis=0), mask=mask)
    tl.store(part_ptr + at + 1, tl.sum(far_re * t_im + far_im * t_re, axis=0), mask=mask)
    tl.store(part_ptr + at + 2, tl.sum(far_re * s_re - far_im * s_im, axis=0), mask=mask)
    tl.store(part_ptr + at + 3, tl.sum(far_re * s_im + far_im * s_re, axis=0), mask=mask)


@triton.jit
def _reciprocal(x, y, w_re, w_im, zero):
    """Return 1 / ((z - w)(z - conj w)) and Re(z - w) for doubles, in the precision of `zero`."""
    height, level = tl.abs(y), tl.abs(w_im)
    dx = (x - w_re).to(zero.dtype)
    re = dx * dx - (height - level).to(zero.dtype) * (height + level).to(zero.dtype)
    im = 2 * dx * y.to(zero.dtype)
    size = 1 / (re * re + im * im)
    return re * size, -im * size, dx


@triton.jit
def cauchy_forward_kernel(
    weights_ptr, z_ptr, w_ptr, r_ptr, F, HEADS, STATES, ROWS,
    BM: tl.constexpr, BF: tl.constexpr,
):  # fmt: skip
    head = tl.program_id(1).to(tl.int64)
    f = tl.program_id(0).to(tl.int64) * BF + tl.arange(0, BF)
    m = tl.arange(0, BM)
    mask_f, mask_m = f < F, m < ROWS
    x = tl.load(z_ptr + 2 * f, mask=mask_f, other=1.0)
    y = tl.load(z_ptr + 2 * f + 1, mask=mask_f, other=1.0)
    zero = tl.zeros((BM, BF), weights_ptr.dtype.element_ty)
    p_re, p_im, q_re, q_im = zero, zero, zero, zero
    for n in range(0, STATES):
        at = head * STATES + n
        w_re, w_im = tl.load(w_ptr + 2 * at), tl.load(w_ptr + 2 * at + 1)
        d_re, d_im, _ = _reciprocal(x, y, w_re, w_im, zero)
        at = (head * 2 * ROWS + m) * STATES + n
        p = tl.load(weights_ptr + at, mask=mask_m, other=0.0)[:, None]
        q = tl.load(weights_ptr + at + ROWS * STATES, mask=mask_m, other=0.0)[:, None]
        p_re += p * d_re[None, :]
        p_im += p * d_im[None, :]
        q_re += q * d_re[None, :]
        q_im += q * d_im[None, :]
    x, y = x.to(zero.dtype)[None, :], y.to(zero.dtype)[None, :]
    at = ((m[:, None] * HEADS + head) * F + f[None, :]) * 2
    mask = mask_m[:, None] & mask_f[None, :]
    tl.store(r_ptr + at, x * p_re - y * p_im - q_re, mask=mask)
    tl.store(r_ptr + at + 1, x * p_im + y * p_re - q_im, mask=mask)


@triton.jit
def cauchy_backward_kernel(
    g_ptr, weights_ptr, z_ptr, w_ptr, part_ptr, F, HEADS, STATES, ROWS,
    BN: tl.constexpr, BF: tl.constexpr,
):  # fmt: skip
    """Each block of points' sums for 2 M numerators and both parts of w: (blocks, H, 2 M + 2, N)."""
    block, head = tl.program_id(0).to(tl.int64), tl.program_id(2).to(tl.int64)
    f = block * BF + tl.arange(0, BF)
    n = tl.program_id(1) * BN + tl.arange(0, BN)
    mask_f, mask_n = f < F, n < STATES
    x = tl.load(z_ptr + 2 * f, mask=mask_f, other=1.0)
    y = tl.load(z_ptr + 2 * f + 1, mask=mask_f, other=1.0)
    at = (head * STATES + n) * 2
    w_re = tl.load(w_ptr + at, mask=mask_n, other=-1.0)[:, None]
    w_im = tl.load(w_ptr + at + 1, mask=mask_n, other=0.0)[:, None]
    zero = tl.zeros((BN, BF), weights_ptr.dtype.element_ty)
    d_re, d_im, dx = _reciprocal(x[None, :], y[None, :], w_re, w_im, zero)
    x, y = x.to(zero.dtype), y.to(zero.dtype)
    e_re, e_im = zero, zero
    out = part_ptr + (block * HEADS + head) * (2 * ROWS + 2) * STATES + n
    for m in range(0, ROWS):
        at = ((m * HEADS + head) * F + f) * 2
        g_re = tl.load(g_ptr + at, mask=mask_f, other=0.0)
        g_im = tl.load(g_ptr + at + 1, mask=mask_f, other=0.0)
        z_re, z_im = (g_re * x + g_im * y)[None, :], (g_re * y - g_im * x)[None, :]  # conj(g) z
        g_re, g_im = g_re[None, :], g_im[None, :]
        at = (head * 2 * ROWS + m) * STATES + n
        p = tl.load(weights_ptr + at, mask=mask_n, other=0.0)[:, None]
        q = tl.load(weights_ptr + at + ROWS * STATES, mask=mask_n, other=0.0)[:, None]
        e_re += p * z_re - q * g_re
        e_im += p * z_im + q * g_im
        tl.store(out + m * STATES, tl.sum(z_re * d_re - z_im * d_im, axis=1), mask=mask_n)
        tl.store(out + (ROWS + m) * STATES, -tl.sum(g_re * d_re + g_im * d_im, axis=1), mask=mask_n)
    a_re, a_im = e_re * d_re - e_im * d_im, e_re * d_im + e_im * d_re
    e_re, e_im = a_re * d_re - a_im * d_im, a_re * d_im + a_im * d_re  # E D^2
    tl.store(out + 2 * ROWS * STATES, 2 * tl.sum(e_re * dx - e_im * y[None, :], axis=1), mask=mask_n)
    tl.store(out + (2 * ROWS + 1) * STATES, -2 * tl.sum(e_re, axis=1), mask=mask_n)


def vandermonde_forward(c: Tensor, log_a: Tensor, length: int) -> Tensor:
    """As the portable path."""
    rows, heads, states = c.shape[:3]
    k = torch.empty(rows, heads, length, dtype=c.dtype, device=c.device)
    outer, inner = (16, 16) if length <= 256 else (32, 32)
    grid = (triton.cdiv(length, outer * inner), heads, rows)
    vandermonde_forward_kernel[grid](
        c.contiguous(), log_a.double().contiguous(), k, length, heads, states, BI=outer, BJ=inner, BN=16, num_warps=4
    )
    return k


def vandermonde_backward(dk: Tensor, c: Tensor, log_a: Tensor) -> tuple[Tensor, Tensor]:
    """As the portable path."""
    rows, heads, states = c.shape[:3]
    length = dk.shape[-1]
    outer, inner = (16, 16) if length <= 256 else (32, 16)  # (32, 32) would spill
    tiles = triton.cdiv(length, outer * inner)
    part = torch.empty(tiles, rows, heads, states, 4, dtype=c.dtype, device=c.device)
    grid = (tiles, heads * triton.cdiv(states, 16), rows)
    vandermonde_backward_kernel[grid](
        dk.contiguous(), log_a.double().contiguous(), part, length, heads, states, rows,
        BI=outer, BJ=inner, BN=16, num_warps=4 if outer == 16 else 8,
    )  # fmt: skip
    t_re, t_im, s_re, s_im = part.sum(0).unbind(-1)
    c_re, c_im = c.unbind(-1)
    dc = torch.stack((2 * t_re, -2 * t_im), -1)
    d_log = torch.stack(((c_re * s_re - c_im * s_im).sum(0), -(c_re * s_im + c_im * s_re).sum(0)), -1)
    return dc, (2 * d_log).to(log_a.dtype)


def cauchy_forward(v: Tensor, z: Tensor, w: Tensor) -> Tensor:
    """As the portable path."""
    rows, heads, states = v.shape[:3]
    r = torch.empty(rows, heads, len(z), 2, dtype=v.dtype, device=v.device)
    height = triton.next_power_of_2(rows)
    points = max(16, 512 // height)
    cauchy_forward_kernel[(triton.cdiv(len(z), points), heads)](
        numerators(v, w), z.double().contiguous(), w.double().contiguous(), r, len(z), heads, states, rows,
        BM=height, BF=points, num_warps=4,
    )  # fmt: skip
    return r


def cauchy_backward(g: Tensor, v: Tensor, z: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    """As the portable path."""
    rows, heads, states = v.shape[:3]
    blocks = triton.cdiv(len(z), 128)
    part = torch.empty(blocks, heads, 2 * rows + 2, states, dtype=v.dtype, device=v.device)
    cauchy_backward_kernel[(blocks, triton.cdiv(states, 8), heads)](
        g.contiguous(), numerators(v, w), z.double().contiguous(), w.double().contiguous(), part, len(z), heads,
        states, rows, BN=8, BF=128, num_warps=4,
    )  # fmt: skip
    dp, dq, dw = part.sum(0).transpose(0, 1).split((rows, rows, 2))
    w_re, w_im = w.to(v.dtype).unbind(-1)
    dv = 2 * torch.stack((dp + w_re * dq, w_im * dq), -1)
    through = torch.stack((dw[0], dw[1] * w_im), -1) + 2 * (v * dq[..., None]).sum(0)
    return dv, through.to(w.dtype)


_LONG = {"BI": 32, "BJ": 32, "BN": 16}
_ALL_DOUBLE = dict.fromkeys(("weights", "z", "w", "r", "g", "part"), "fp64")
EXAMPLES: tuple[KernelExample, ...] = (
    KernelExample("vandermonde_forward_kernel", _LONG, 4, 128, {"c": "fp32", "log": "fp64", "k": "fp32"}),
    KernelExample(
        "vandermonde_backward_kernel", _LONG | {"BJ": 16}, 8, 128, {"dk": "fp32", "log": "fp64", "part": "fp32"}
    ),
    KernelExample("cauchy_forward_kernel", {"BM": 4, "BF": 128}, 4, 128, _ALL_DOUBLE, "double"),
    KernelExample("cauchy_forward_kernel", {"BM": 64, "BF": 16}, 4, 255, _ALL_DOUBLE, "double, most rows"),
    KernelExample("cauchy_backward_kernel", {"BN": 8, "BF": 128}, 4, 255, _ALL_DOUBLE, "double"),
)
