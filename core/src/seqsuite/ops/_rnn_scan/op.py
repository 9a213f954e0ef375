"""The public `rnn_scan`: checks, choice of path, registration and gradient."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from seqsuite.ops._debug import watched
from seqsuite.ops._dispatch import Operator, add_operator, choose
from seqsuite.ops._operands import compute_dtype, require_floating
from seqsuite.ops._registration import by_path, once, register
from seqsuite.ops._rnn_scan.reference import rnn_scan_reference
from seqsuite.ops._seq import Seq, check_seq

CELLS = {"lstm": (4, 2), "gru": (3, 1), "slstm": (4, 4)}
"""Gates and parts of the state of every cell."""
_LARGEST_HEAD = 64
_OPERANDS = (
    "Tensor x, Tensor weight, Tensor? bias, Tensor? initial_state, Tensor? reset, Tensor? valid, "
    "str cell, bool reverse, str backend"
)


@watched
def rnn_scan(
    x: Tensor,
    weight: Tensor,
    *,
    cell: Literal["lstm", "gru", "slstm"],
    bias: Tensor | None = None,
    initial_state: Tensor | None = None,
    return_final_state: bool = False,
    reverse: bool = False,
    seq: Seq | None = None,
    backend: str | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    r"""Recurrent cells with a recurrent matrix, block-diagonal over heads: LSTM, GRU, sLSTM.

    With :math:`a^g = R^g h_{t-1} + b^g` for each gate g (each head on its own, H = 1: the full matrix):

    .. math::
        \text{lstm}:\; & c_t = \sigma(x^f{+}a^f)\,c_{t-1} + \sigma(x^i{+}a^i) \tanh(x^g{+}a^g),\quad
                         h_t = \sigma(x^o{+}a^o) \tanh c_t \\
        \text{gru}:\;  & n_t = \tanh(x^n + \sigma(x^r{+}a^r)\, a^n),\quad
                         h_t = (1 - z_t)\, n_t + z_t h_{t-1},\; z_t = \sigma(x^z{+}a^z) \\
        \text{slstm}:\; & m_t = \max(\log\sigma(x^f{+}a^f) + m_{t-1},\; x^i{+}a^i) \\
                       & f' = e^{\log\sigma(x^f + a^f) + m_{t-1} - m_t},\quad i' = e^{x^i + a^i - m_t} \\
                       & c_t = f' c_{t-1} + i' \tanh(x^z{+}a^z),\; n_t = f' n_{t-1} + i',\;
                         h_t = \sigma(x^o{+}a^o)\, c_t / n_t

    LSTM and GRU are those of `torch.nn` (x is its input projection with that bias, `bias` its `bias_hh`); sLSTM is
    that of Beck et al. 2024 (https://arxiv.org/abs/2405.04517, section 2.2). Where n is 0 nothing has been seen: m
    counts as minus infinity there, and is 0 in a final state. Computed in float32 (float64 if `x` is float64),
    returned in the dtype of `x`. Every operand is differentiable once, also the states.

    Args:
        x: The input's part of the gates (B, L, G, D): "lstm" i, f, g, o; "gru" r, z, n; "slstm" i, f, z, o.
        weight: Recurrent matrices R (H, G, P, P), from the last index to the one before, H * P = D.
        cell: Which equations.
        bias: Added to the recurrent part (G, D).
        initial_state: State before the first step (B, S, D): "lstm" h, c; "gru" h; "slstm" h, c, n, m. With `reverse`
            it enters at the right end.
        return_final_state: Whether to return the state behind the last step, (B, S, D) in compute precision.
        reverse: Run from right to left; equals flip, run, flip, bit for bit.
        seq: Padding, packing and resets. A padded step leaves the state as it is and yields 0.
        backend: "reference", "portable" or "triton"; None chooses.

    Returns:
        y = h (B, L, D), or (y, final state).

    Raises:
        TypeError: If an operand is not floating-point, or complex.
        ValueError: If shapes do not fit, there is no step, or the cell is unknown; no rows or channels are fine.
        seqsuite.errors.UserError: If the backend asked for cannot serve the call.
    """
    _check(x, weight, cell, bias, initial_state)
    check_seq(seq, x)
    choice = choose(_OPERATOR, x.device.type, x.dtype, _sizes(x, weight), backend).backend
    if x.numel() == 0:
        choice = "reference"  # chunks and grids of no size are none
    reset = valid = None
    if seq is not None:
        reset, valid = seq.resets(reverse=reverse), seq.valid
        if valid is not None:
            x = x.masked_fill(~valid[..., None, None], 0)
    operands = (x, weight, bias, initial_state, reset, valid, cell, reverse)
    if choice == "reference":
        y, state = rnn_scan_reference(*operands)
    else:
        y, state = _RNNScan.apply(*operands, choice)
    if valid is not None:
        y = y.masked_fill(~valid[..., None], 0)
    return (y, state) if return_final_state else y


class _RNNScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *args: Any) -> tuple[Tensor, Tensor]:
        *operands, cell, reverse, backend = args
        ctx.options = (cell, reverse, backend)
        y, state, states = _forward(*args)
        ctx.save_for_backward(states, *operands)
        return y, state

    @staticmethod
    def backward(ctx: Any, dy: Tensor, dfinal: Tensor) -> tuple[Tensor | None, ...]:
        states, *operands = ctx.saved_tensors
        with torch.no_grad():
            grads = _backward(dy, dfinal, states, *operands, *ctx.options)
        needed = (g if need else None for g, need in zip(grads, ctx.needs_input_grad, strict=False))
        return *once("rnn_scan", operands, needed), None, None, None, None, None


def _fake_forward(x: Tensor, weight: Tensor, *args: Any) -> tuple[Tensor, ...]:
    batch, length, _, width = x.shape
    dtype, parts = compute_dtype(x), CELLS[args[4]][1]
    return (
        x.new_empty(batch, length, width),
        x.new_empty(batch, parts, width, dtype=dtype),
        x.new_empty(parts, weight.shape[0], length, batch, weight.shape[3], dtype=dtype),
    )


def _fake_backward(dy: Tensor, dfinal: Tensor, states: Tensor, *args: Any) -> tuple[Tensor, ...]:
    return tuple(dy.new_empty(0) if m is None else m.new_empty(m.shape) for m in args[:4])


_forward = register(
    f"rnn_scan_fwd({_OPERANDS}) -> (Tensor, Tensor, Tensor)", by_path(__package__, "forward"), _fake_forward
)
_backward = register(
    f"rnn_scan_bwd(Tensor dy, Tensor dfinal, Tensor states, {_OPERANDS}) -> (Tensor, Tensor, Tensor, Tensor)",
    by_path(__package__, "backward"),
    _fake_backward,
)


def _check(x: Tensor, weight: Tensor, cell: str, bias: Tensor | None, initial_state: Tensor | None) -> None:
    """Raise TypeError unless all are floating-point, ValueError unless shapes fit and the cell is known."""
    if cell not in CELLS:
        raise ValueError(f"cell must be one of {', '.join(map(repr, CELLS))}, got {cell!r}")
    require_floating({"x": x, "weight": weight}, bias=bias, initial_state=initial_state)
    gates, parts = CELLS[cell]
    if x.ndim != 4 or x.shape[1] == 0 or x.shape[2] != gates:
        raise ValueError(f"x must be (B, L, G, D) with L > 0 and G = {gates} for {cell!r}, got {tuple(x.shape)}")
    batch, _, _, width = x.shape
    heads, p = (weight.shape[0], weight.shape[-1]) if weight.ndim == 4 else (0, 0)
    if heads * p != width or weight.shape != (heads, gates, p, p) or heads == 0:
        raise ValueError(f"weight must be (H, G, P, P) with G = {gates} and H * P = {width}, got {tuple(weight.shape)}")
    for name, tensor, shape in (
        ("bias", bias, (gates, width)),
        ("initial_state", initial_state, (batch, parts, width)),
    ):
        if tensor is not None and tensor.shape != shape:
            raise ValueError(f"{name} must be {shape}, got {tuple(tensor.shape)}")


def _sizes(x: Tensor, weight: Tensor, *_: Any, **__: Any) -> dict[str, int]:
    return {"length": x.shape[1], "width": x.shape[-1], "head": weight.shape[-1]}


def _limit(sizes: dict[str, int]) -> str | None:
    head = sizes.get("head", 1)
    return None if head <= _LARGEST_HEAD else f"a head of width {head} exceeds the kernels' {_LARGEST_HEAD}"


_OPERATOR = Operator("rnn_scan", rnn_scan, "recurrent cells (LSTM, GRU, sLSTM)", limit=_limit, sizes=_sizes)
add_operator(_OPERATOR)
