"""The public `linear_scan`: checks, choice of path, padding and resets, registration and gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from seqsuite.ops._debug import watched
from seqsuite.ops._dispatch import Operator, add_operator, choose
from seqsuite.ops._linear_scan.portable import state_dtype
from seqsuite.ops._linear_scan.reference import linear_scan_reference
from seqsuite.ops._operands import COMPLEX, FLOATING, require_dtypes
from seqsuite.ops._registration import by_path, once, register
from seqsuite.ops._seq import Seq, check_seq

_DOUBLE = (torch.float64, torch.complex128)


@watched
def linear_scan(
    a: Tensor,
    b: Tensor,
    *,
    initial_state: Tensor | None = None,
    return_final_state: bool = False,
    reverse: bool = False,
    seq: Seq | None = None,
    backend: str | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    r"""Elementwise linear recurrence (S5, HGRN, GateLoop, LRU; https://arxiv.org/abs/1709.04057).

    .. math::
        h_t = a_t\, h_{t-1} + b_t

    The factors may have any value: zero, negative, complex or above one in size. Real operands are computed in
    float32, or float64 if `b` is float64, and h has the dtype of `b`. If any operand is complex, all is complex:
    complex128 if `b` is float64 or complex128, else complex64. Differentiable once in every tensor; gradients of
    complex tensors follow PyTorch's convention.

    Args:
        a: Factors, one a step (B, L, D), or constant in time (D,).
        b: Inputs (B, L, D).
        initial_state: State before the first step (B, D); with `reverse`, it enters at the right end.
        return_final_state: Whether to return the state behind the last step, (B, D) in compute precision.
        reverse: Run from right to left, h_t = a_t h_{t+1} + b_t; equals flip, run, flip, without the copies.
        seq: Padding, packing and resets. A padded step leaves the state as it is and yields 0.
        backend: "reference", "portable" or "triton"; None chooses.

    Returns:
        h (B, L, D), or (h, final state).

    Raises:
        TypeError: If an operand holds neither floating-point nor complex numbers.
        ValueError: If shapes do not fit, or there is no step; no rows or channels are fine.
        seqsuite.errors.UserError: If the backend asked for cannot serve the call.
    """
    _check(a, b, initial_state)
    check_seq(seq, b)
    a, b, initial_state = _one_field(a, b, initial_state)
    dtype = state_dtype(b)
    path = choose(_OPERATOR, b.device.type, b.dtype, _sizes(a, b), backend).backend
    if b.numel() == 0:
        path = "reference"  # tiles and grids of no size are none
    if seq is not None:
        a, b = _without_padding(seq, a, b, reverse)
    if path == "reference":
        h, state = linear_scan_reference(a, b, initial_state, reverse, dtype)
    else:
        h, state = _LinearScan.apply(a, b, initial_state, reverse, path)
    if seq is not None and seq.valid is not None:
        h = h.masked_fill(~seq.valid[..., None], 0)
    return (h, state) if return_final_state else h


def _one_field(a: Tensor, b: Tensor, initial_state: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """Make all operands complex, of one precision, if one of them is."""
    if not any(x is not None and x.is_complex() for x in (a, b, initial_state)):
        return a, b, initial_state
    dtype = torch.complex128 if b.dtype in _DOUBLE else torch.complex64
    return a.to(dtype), b.to(dtype), None if initial_state is None else initial_state.to(dtype)


def _without_padding(seq: Seq, a: Tensor, b: Tensor, reverse: bool) -> tuple[Tensor, Tensor]:
    """Make padded steps the identity, whatever lies there, NaN included, and let resets drop the state."""
    resets = seq.resets(reverse=reverse)
    if seq.valid is None and resets is None:
        return a, b
    a = a.expand_as(b)
    if seq.valid is not None:
        pad = ~seq.valid[..., None]
        a, b = a.masked_fill(pad, 1), b.masked_fill(pad, 0)
    return a if resets is None else a.masked_fill(resets[..., None], 0), b


class _LinearScan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, a: Tensor, b: Tensor, initial_state: Tensor | None, reverse: bool, path: str
    ) -> tuple[Tensor, Tensor]:
        # Options by name: torch.compile without gradients takes two of them behind a star for a missing ctx.
        h, state = _forward(a, b, initial_state, reverse, path)
        ctx.options = (reverse, path)
        # Half-precision states are too coarse for the gradient: it is cheaper to run again than to keep others.
        ctx.save_for_backward(h if h.dtype == state.dtype else b, a, initial_state)
        return h, state

    @staticmethod
    def backward(ctx: Any, dy: Tensor, dfinal: Tensor) -> tuple[Tensor | None, ...]:
        saved = kept, a, initial_state = ctx.saved_tensors
        with torch.no_grad():
            da, db, dstate = _backward(dy, dfinal, *saved, *ctx.options)
        if initial_state is not None:
            dstate = dstate.to(initial_state.dtype)
        needed = (g if need else None for g, need in zip((da, db, dstate), ctx.needs_input_grad, strict=False))
        return *once("linear_scan", (dy, kept, a, initial_state), needed), None, None


def _fake_forward(a: Tensor, b: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return b.new_empty(b.shape), b.new_empty(b[:, 0].shape, dtype=state_dtype(b))


def _fake_backward(dy: Tensor, dfinal: Tensor, kept: Tensor, a: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    return a.new_empty(a.shape), dy.new_empty(dy.shape), dfinal.new_empty(dfinal.shape)


_OPTIONS = "Tensor? initial_state, bool reverse, str backend"
_forward = register(
    f"linear_scan_fwd(Tensor a, Tensor b, {_OPTIONS}) -> (Tensor, Tensor)",
    by_path(__package__, "forward"),
    _fake_forward,
)
_backward = register(
    f"linear_scan_bwd(Tensor dy, Tensor dfinal, Tensor kept, Tensor a, {_OPTIONS}) -> (Tensor, Tensor, Tensor)",
    by_path(__package__, "backward"),
    _fake_backward,
)


def _check(a: Tensor, b: Tensor, initial_state: Tensor | None) -> None:
    """Raise TypeError unless all hold numbers that are not whole, ValueError unless shapes fit."""
    require_dtypes((*FLOATING, *COMPLEX), {"a": a, "b": b}, initial_state=initial_state)
    if b.ndim != 3 or b.shape[1] == 0:
        raise ValueError(f"b must be (B, L, D) with L > 0, got {tuple(b.shape)}")
    if a.shape not in (b.shape, b.shape[2:]):
        raise ValueError(f"a must be {tuple(b.shape)} like b, or ({b.shape[2]},), got {tuple(a.shape)}")
    state = (b.shape[0], b.shape[2])
    if initial_state is not None and initial_state.shape != state:
        raise ValueError(f"initial_state must be {state}, got {tuple(initial_state.shape)}")


def _sizes(a: Tensor, b: Tensor, **_: Any) -> dict[str, int]:
    double = any(x.dtype in _DOUBLE for x in (a, b))
    return {"length": b.shape[1], "width": b.shape[2], "double": int(double)}


def _limit(sizes: dict[str, int]) -> str | None:
    return "the Triton kernels compute in float32, an operand is in double precision" if sizes.get("double") else None


_OPERATOR = Operator(
    "linear_scan",
    linear_scan,
    "elementwise linear recurrence (S5, HGRN, GateLoop)",
    limit=_limit,
    sizes=_sizes,
    main="b",
)
add_operator(_OPERATOR)
