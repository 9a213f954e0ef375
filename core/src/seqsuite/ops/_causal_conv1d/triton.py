"""Triton kernels of the causal depthwise convolution: one program a row, block of steps and block of channels.

The gradient of the input is a convolution in the other direction, so it runs the same kernel.
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
from seqsuite.ops._operands import solid


@triton.jit
def _source(
    x_ptr, history_ptr, segment_ptr, row, t, d, lag, L, WIDTH, mask,
    TAPS: tl.constexpr, REVERSE: tl.constexpr, HAS_HISTORY: tl.constexpr, HAS_SEGMENT: tl.constexpr,
):  # fmt: skip
    """Load the inputs that lie `lag` steps before t (BT, 1) in the run's order, 0 where there is none."""
    t_from = t + lag if REVERSE else t - lag
    inside = (t_from >= 0) & (t_from < L)
    taken = mask & inside
    if HAS_SEGMENT:
        home = tl.load(segment_ptr + row * L + t, mask=t < L, other=0)
        other = tl.load(segment_ptr + row * L + t_from, mask=inside & (t < L), other=-1)
        taken = taken & (home == other)
    x = tl.load(x_ptr + (row * L + t_from) * WIDTH + d, mask=taken, other=0.0).to(tl.float32)
    if HAS_HISTORY:
        place = (L - 1 - t if REVERSE else t) - lag + TAPS - 1
        early = mask & ~inside & (place >= 0)
        if HAS_SEGMENT:
            entering = tl.load(segment_ptr + row * L + L - 1) if REVERSE else 0
            early = early & (home == entering)
        x += tl.load(history_ptr + (row * (TAPS - 1) + place) * WIDTH + d, mask=early, other=0.0).to(tl.float32)
    return x


@triton.jit
def forward_kernel(
    x_ptr, weight_ptr, bias_ptr, history_ptr, segment_ptr, y_ptr, L, WIDTH: tl.constexpr,
    TAPS: tl.constexpr, BT: tl.constexpr, BD: tl.constexpr, SILU: tl.constexpr, REVERSE: tl.constexpr,
    HAS_BIAS: tl.constexpr, HAS_HISTORY: tl.constexpr, HAS_SEGMENT: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(2).to(tl.int64)
    t = (tl.program_id(1) * BT + tl.arange(0, BT))[:, None]
    d = (tl.program_id(0) * BD + tl.arange(0, BD))[None, :]
    mask = (t < L) & (d < WIDTH)
    y = tl.zeros((BT, BD), tl.float32)
    if HAS_BIAS:
        y += tl.load(bias_ptr + d, mask=d < WIDTH, other=0.0).to(tl.float32)
    for lag in tl.static_range(TAPS):
        tap = tl.load(weight_ptr + d * TAPS + (TAPS - 1 - lag), mask=d < WIDTH, other=0.0).to(tl.float32)
        y += tap * _source(
            x_ptr, history_ptr, segment_ptr, row, t, d, lag, L, WIDTH, mask,
            TAPS, REVERSE, HAS_HISTORY, HAS_SEGMENT,
        )  # fmt: skip
    if SILU:
        y = y / (1.0 + tl.exp(-y))
    tl.store(y_ptr + (row * L + t) * WIDTH + d, y, mask=mask)


@triton.jit
def backward_kernel(
    dy_ptr, x_ptr, weight_ptr, bias_ptr, history_ptr, segment_ptr, g_ptr, dweight_ptr, dbias_ptr, L,
    WIDTH: tl.constexpr,
    TAPS: tl.constexpr, BT: tl.constexpr, BD: tl.constexpr, SILU: tl.constexpr, REVERSE: tl.constexpr,
    HAS_BIAS: tl.constexpr, HAS_HISTORY: tl.constexpr, HAS_SEGMENT: tl.constexpr,
):  # fmt: skip
    """The gradient before the activation, and the parts of the weight's and the bias's from each program."""
    row = tl.program_id(2).to(tl.int64)
    t = (tl.program_id(1) * BT + tl.arange(0, BT))[:, None]
    lane = tl.program_id(0) * BD + tl.arange(0, BD)
    d = lane[None, :]
    mask = (t < L) & (d < WIDTH)
    at = (row * L + t) * WIDTH + d
    g = tl.load(dy_ptr + at, mask=mask, other=0.0).to(tl.float32)
    if SILU:
        y = tl.zeros((BT, BD), tl.float32)
        if HAS_BIAS:
            y += tl.load(bias_ptr + d, mask=d < WIDTH, other=0.0).to(tl.float32)
        for lag in tl.static_range(TAPS):
            tap = tl.load(weight_ptr + d * TAPS + (TAPS - 1 - lag), mask=d < WIDTH, other=0.0).to(tl.float32)
            y += tap * _source(
                x_ptr, history_ptr, segment_ptr, row, t, d, lag, L, WIDTH, mask,
                TAPS, REVERSE, HAS_HISTORY, HAS_SEGMENT,
            )  # fmt: skip
        sigma = 1.0 / (1.0 + tl.exp(-y))
        g *= sigma * (1.0 + y * (1.0 - sigma))
    tl.store(g_ptr + at, g, mask=mask)
    part = (row * tl.num_programs(1) + tl.program_id(1)) * WIDTH + lane
    tl.store(dbias_ptr + part, tl.sum(g, axis=0), mask=lane < WIDTH)
    for lag in tl.static_range(TAPS):
        x = _source(
            x_ptr, history_ptr, segment_ptr, row, t, d, lag, L, WIDTH, mask,
            TAPS, REVERSE, HAS_HISTORY, HAS_SEGMENT,
        )  # fmt: skip
        tl.store(dweight_ptr + part * TAPS + (TAPS - 1 - lag), tl.sum(g * x, axis=0), mask=lane < WIDTH)


def _launch(x: Tensor, weight: Tensor) -> tuple[tuple[int, int, int], dict[str, Any]]:
    batch, length, width = x.shape
    steps, channels = min(16, triton.next_power_of_2(length)), min(64, triton.next_power_of_2(width))
    grid = (triton.cdiv(width, channels), triton.cdiv(length, steps), batch)
    return grid, {"L": length, "WIDTH": width, "TAPS": weight.shape[1], "BT": steps, "BD": channels, "num_warps": 4}


def forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    history: Tensor | None,
    segment: Tensor | None,
    silu: bool,
    reverse: bool,
) -> Tensor:
    """As the portable path."""
    grid, options = _launch(x, weight)
    y = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    forward_kernel[grid](
        *solid(x, weight, bias, history, segment), y, **options, SILU=silu, REVERSE=reverse,
        HAS_BIAS=bias is not None, HAS_HISTORY=history is not None, HAS_SEGMENT=segment is not None,
    )  # fmt: skip
    return y


def backward(
    dy: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    history: Tensor | None,
    segment: Tensor | None,
    silu: bool,
    reverse: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """As the portable path; sums run in a fixed order."""
    grid, options = _launch(x, weight)
    batch, _, width = x.shape
    g = torch.empty(x.shape, dtype=torch.float32, device=x.device)
    d_weight = torch.empty(batch, grid[1], width, weight.shape[1], device=x.device)
    d_bias = torch.empty(batch, grid[1], width, device=x.device)
    backward_kernel[grid](
        *solid(dy, x, weight, bias, history, segment), g, d_weight, d_bias, **options, SILU=silu, REVERSE=reverse,
        HAS_BIAS=bias is not None, HAS_HISTORY=history is not None, HAS_SEGMENT=segment is not None,
    )  # fmt: skip
    dx = forward(g, weight, None, None, segment, False, not reverse)
    empty = x.new_empty(0)
    return (
        dx.to(x.dtype),
        d_weight.sum((0, 1)).to(weight.dtype),
        empty if bias is None else d_bias.sum((0, 1)).to(bias.dtype),
        empty if history is None else _history_gradient(g, weight, history, segment, reverse),
    )


def _history_gradient(g: Tensor, weight: Tensor, history: Tensor, segment: Tensor | None, reverse: bool) -> Tensor:
    """Gradient of the inputs before x: the first K - 1 steps of the run, back through each lag."""
    taps = weight.shape[1]
    if segment is not None:
        entering = segment[:, -1:] if reverse else 0
        g = g.masked_fill((segment != entering)[..., None], 0)
    first = (g.flip(1) if reverse else g)[:, : taps - 1]
    found = torch.zeros_like(history, dtype=torch.float32)
    for lag in range(1, taps):
        count = min(lag, first.shape[1])
        found[:, taps - 1 - lag : taps - 1 - lag + count] += first[:, :count] * weight[:, taps - 1 - lag]
    return found.to(history.dtype)


_SIZES = {"WIDTH": 2048, "TAPS": 4, "BT": 16, "BD": 64, "SILU": True, "REVERSE": False}
_SIZES |= {"HAS_BIAS": True, "HAS_HISTORY": True, "HAS_SEGMENT": True}
_TYPES = {"segment": "i64", "g": "fp32", "dweight": "fp32", "weight": "fp32", "dbias": "fp32", "bias": "fp32"}
EXAMPLES = tuple(
    KernelExample(kernel, _SIZES, warps=4, registers=128, types=_TYPES)
    for kernel in ("forward_kernel", "backward_kernel")
)
