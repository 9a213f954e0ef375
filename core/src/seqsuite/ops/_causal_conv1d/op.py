"""The public `causal_conv1d`: checks, choice of path, padding and state, registration and gradient."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from seqsuite.ops._causal_conv1d.reference import causal_conv1d_reference
from seqsuite.ops._debug import watched
from seqsuite.ops._dispatch import Operator, add_operator, choose
from seqsuite.ops._operands import compute_dtype, require_floating
from seqsuite.ops._registration import by_path, once, register
from seqsuite.ops._seq import Seq, check_seq

_OPERANDS = (
    "Tensor x, Tensor weight, Tensor? bias, Tensor? history, Tensor? segment, bool silu, bool reverse, str backend"
)


@watched
def causal_conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    activation: Literal["silu"] | None = None,
    initial_state: Tensor | None = None,
    return_final_state: bool = False,
    reverse: bool = False,
    seq: Seq | None = None,
    backend: str | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    r"""Short causal depthwise convolution (as in Mamba, https://arxiv.org/abs/2312.00752, figure 3).

    .. math::
        y_{t,d} = \mathrm{act}\Big(b_d + \sum_{k=0}^{K-1} w_{d,k}\, x_{t-K+1+k,\,d}\Big)

    Inputs before the first are those of the state, else zero. Computed in float32 (float64 if `x` is
    float64), returned in the dtype of `x`. Differentiable once in every tensor.

    Args:
        x: Input (B, L, D).
        weight: Filter taps, the last one for the present step (D, K).
        bias: Added before the activation (D,).
        activation: None or "silu".
        initial_state: The last K inputs before x, newest last (B, D, K); the oldest is not used.
        return_final_state: Whether to return the last K valid inputs, newest last, (B, D, K) in compute precision.
        reverse: Anti-causal: run from right to left; equals flip, run, flip. The state enters at the right end.
        seq: Padding, packing and resets. A padded step is skipped, as if the row were shorter, and yields 0;
            windows do not reach into another document.
        backend: "reference", "portable" or "triton"; None chooses.

    Returns:
        y (B, L, D), or (y, final state).

    Raises:
        TypeError: If an operand is not floating-point, or complex.
        ValueError: If shapes do not fit, there is no step or no tap (no rows or channels are fine), or the
            activation is unknown.
        seqsuite.errors.UserError: If the backend asked for cannot serve the call.
    """
    _check(x, weight, bias, activation, initial_state)
    check_seq(seq, x)
    path = choose(_OPERATOR, x.device.type, x.dtype, _sizes(x, weight), backend).backend
    if x.numel() == 0:
        path = "reference"  # tiles and grids of no size are none
    history = None if initial_state is None else initial_state.transpose(1, 2)[:, 1:]
    segment, order = None, None
    if seq is not None:
        x, segment, order = _without_padding(seq, x, reverse, history is not None)
    operands = (x, weight, bias, history, segment, activation == "silu", reverse)
    if path == "reference":
        y = causal_conv1d_reference(*operands)
    else:
        y = _CausalConv1d.apply(*operands, path)
    state = _final_state(x, weight, initial_state, seq, segment, order, reverse) if return_final_state else None
    if order is not None:
        y = torch.empty_like(y).scatter(1, order[..., None].expand_as(y), y)
    if seq is not None and seq.valid is not None:
        y = y.masked_fill(~seq.valid[..., None], 0)
    return y if state is None else (y, state)


def _without_padding(seq: Seq, x: Tensor, reverse: bool, history: bool) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Blank padding and, where it would come between inputs, sort it behind the last one.

    Returns the input, the documents, and the order (B, L) of the positions if they were sorted. Padding at one end
    may stay where it is if the run ends there, or if nothing comes before it.
    """
    if seq.valid is None:
        return x, seq.segment, None
    x = x.masked_fill(~seq.valid[..., None], 0)
    behind = "left" if reverse else "right"
    if seq.side == behind or (seq.side is not None and not history):
        return x, seq.segment, None
    order = torch.argsort((seq.valid if reverse else ~seq.valid).to(torch.int8), dim=1, stable=True)
    segment = None if seq.segment is None else seq.segment.gather(1, order)
    return x.gather(1, order[..., None].expand_as(x)), segment, order


def _final_state(
    x: Tensor,
    weight: Tensor,
    initial_state: Tensor | None,
    seq: Seq | None,
    segment: Tensor | None,
    order: Tensor | None,
    reverse: bool,
) -> Tensor:
    """Return the last K inputs of the run (B, D, K): those of the last document, before it the state or zeros."""
    batch, length, width = x.shape
    taps, dtype = weight.shape[1], compute_dtype(x)
    first = x.new_zeros(batch, width, taps) if initial_state is None else initial_state
    seen = torch.cat((first.transpose(1, 2).to(dtype), (x.flip(1) if reverse else x).to(dtype)), 1)  # (B, K + L, D)
    valid = None if seq is None else seq.valid
    if valid is None or (order is None and seq is not None and seq.side != ("left" if reverse else "right")):
        end = torch.full((batch, 1), length, device=x.device)
    else:
        end = valid.sum(1, keepdim=True)
    window = end + torch.arange(taps, device=x.device)  # (B, K) places in `seen`
    found = seen.gather(1, window[..., None].expand(-1, -1, width))
    if segment is not None:
        steps = segment.flip(1) if reverse else segment
        entering = steps[:, :1] if reverse else torch.zeros_like(steps[:, :1])
        home = torch.cat((entering.expand(-1, taps), steps), 1).gather(1, window)
        found = found.masked_fill((home != home[:, -1:])[..., None], 0)
    return found.transpose(1, 2)


class _CausalConv1d(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *args: Any) -> Tensor:
        *operands, silu, reverse, backend = args
        ctx.options = (silu, reverse, backend)
        ctx.save_for_backward(*operands)
        return _forward(*args)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors  # once: what recomputes activations refuses a second look
        with torch.no_grad():
            grads = _backward(dy, *saved, *ctx.options)
        needed = (g if need else None for g, need in zip(grads, ctx.needs_input_grad, strict=False))
        return *once("causal_conv1d", saved, needed), None, None, None, None


def _fake_forward(x: Tensor, *_: Any) -> Tensor:
    return torch.empty(x.shape, dtype=x.dtype, device=x.device)


def _fake_backward(dy: Tensor, *args: Any) -> tuple[Tensor, ...]:
    return tuple(
        dy.new_empty(0) if x is None else torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in args[:4]
    )


_forward = register(f"causal_conv1d_fwd({_OPERANDS}) -> Tensor", by_path(__package__, "forward"), _fake_forward)
_backward = register(
    f"causal_conv1d_bwd(Tensor dy, {_OPERANDS}) -> (Tensor, Tensor, Tensor, Tensor)",
    by_path(__package__, "backward"),
    _fake_backward,
)


def _check(
    x: Tensor, weight: Tensor, bias: Tensor | None, activation: str | None, initial_state: Tensor | None
) -> None:
    """Raise TypeError unless all are floating-point, ValueError unless shapes fit and the activation is known."""
    require_floating({"x": x, "weight": weight}, bias=bias, initial_state=initial_state)
    if x.ndim != 3 or x.shape[1] == 0:
        raise ValueError(f"x must be (B, L, D) with L > 0, got {tuple(x.shape)}")
    width = x.shape[2]
    if weight.ndim != 2 or weight.shape[0] != width or weight.shape[1] == 0:
        raise ValueError(f"weight must be (D, K) with D = {width} and K > 0, got {tuple(weight.shape)}")
    if bias is not None and bias.shape != (width,):
        raise ValueError(f"bias must be ({width},), got {tuple(bias.shape)}")
    state = (x.shape[0], width, weight.shape[1])
    if initial_state is not None and initial_state.shape != state:
        raise ValueError(f"initial_state must be {state}, got {tuple(initial_state.shape)}")
    if activation not in (None, "silu"):
        raise ValueError(f"activation must be None or 'silu', got {activation!r}")


def _sizes(x: Tensor, weight: Tensor, *_: Any, **__: Any) -> dict[str, int]:
    return {"length": x.shape[1], "width": x.shape[2], "taps": weight.shape[1]}


def _limit(sizes: dict[str, int]) -> str | None:
    return None if sizes.get("taps", 1) <= 16 else f"a filter of {sizes['taps']} taps exceeds the kernels' 16"


_OPERATOR = Operator("causal_conv1d", causal_conv1d, "short causal depthwise convolution", limit=_limit, sizes=_sizes)
add_operator(_OPERATOR)
