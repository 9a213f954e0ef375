"""The public `selective_scan`: checks, choice of path, registration and gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from seqsuite.ops._debug import watched
from seqsuite.ops._dispatch import Operator, add_operator, choose
from seqsuite.ops._operands import compute_dtype, require_floating
from seqsuite.ops._registration import by_path, once, register
from seqsuite.ops._selective_scan._tiles import chunk_length
from seqsuite.ops._selective_scan.reference import selective_scan_reference
from seqsuite.ops._seq import Seq, check_seq

_OPERANDS = (
    "Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor? D, Tensor? z, Tensor? delta_bias, "
    "Tensor? initial_state, Tensor? reset, bool delta_softplus, bool reverse, int chunk, str backend"
)


_TRITON_CHUNK = 4  # steps that the backward kernel recomputes in registers; 8 would spill


@watched
def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    *,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    initial_state: Tensor | None = None,
    return_final_state: bool = False,
    reverse: bool = False,
    seq: Seq | None = None,
    backend: str | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    r"""Input-dependent diagonal state space model (Mamba, https://arxiv.org/abs/2312.00752, section 3).

    For every row b, channel d and state n, with :math:`\Delta_t = \mathrm{softplus}(\delta_t + bias)`:

    .. math::
        h_t &= e^{\Delta_t A} h_{t-1} + \Delta_t B_t u_t \\
        y_t &= (C_t \cdot h_t + D u_t)\,\mathrm{silu}(z_t)

    softplus, bias, D and z each only where given. Computed in float32 (float64 if `u` is float64),
    returned in the dtype of `u`. Every operand is differentiable, also the states; twice is not.

    Args:
        u: Input (B, L, D).
        delta: Step sizes before bias and softplus (B, L, D).
        A: Continuous decay rates (D, N), real, usually negative.
        B: Input weights (B, L, N), grouped (B, L, G, N) where channel d uses group d // (D / G), or constant (D, N).
        C: Output weights, like `B`.
        D: Skip weights (D,).
        z: Gate (B, L, D).
        delta_bias: Added to `delta` (D,).
        delta_softplus: Whether the step size is softplus of that sum.
        initial_state: State before the first step (B, D, N); with `reverse`, it enters at the right end.
        return_final_state: Whether to return the state behind the last step, (B, D, N) in compute precision.
        reverse: Run from right to left; equals flip, run, flip, without the copies (bit for bit on a CPU).
        seq: Padding, packing and resets. A padded step leaves the state as it is and yields 0.
        backend: "reference", "portable" or "triton"; None chooses.

    Returns:
        y (B, L, D), or (y, final state).

    Raises:
        TypeError: If an operand is not floating-point, or complex.
        ValueError: If shapes do not fit, or there is no step; no rows, channels or states are fine.
        seqsuite.errors.UserError: If the backend asked for cannot serve the call.
    """
    _check(u, delta, A, B, C, D, z, delta_bias, initial_state)
    B, C = (m.unsqueeze(2) if m.ndim == 3 else m for m in (B, C))
    check_seq(seq, u)
    choice = choose(_OPERATOR, u.device.type, u.dtype, _sizes(u, delta, A), backend).backend
    if u.numel() == 0 or A.shape[1] == 0:
        choice = "reference"  # tiles and grids of no size are none
    reset = None
    if seq is not None:
        reset = seq.resets(reverse=reverse)
        u, delta, B, C, z, delta_bias = _without_padding(seq, u, delta, B, C, z, delta_bias, delta_softplus)
    operands = (u, delta, A, B, C, D, z, delta_bias, initial_state)
    if choice == "reference":
        names = ("D", "z", "delta_bias", "initial_state")
        options = dict(zip(names, operands[5:], strict=True))
        y, state = selective_scan_reference(
            u, delta, A, B, C, **options, reset=reset, delta_softplus=delta_softplus, reverse=reverse
        )
    else:
        y, state = _SelectiveScan.apply(*operands, reset, delta_softplus, reverse, choice)
    if seq is not None and seq.valid is not None:
        y = y.masked_fill(~seq.valid[..., None], 0)
    return (y, state) if return_final_state else y


def _without_padding(
    seq: Seq,
    u: Tensor,
    delta: Tensor,
    B: Tensor,
    C: Tensor,
    z: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None, Tensor | None]:
    """Blank padded steps so that whatever lies there, NaN included, is the identity: a step size of zero.

    Softplus reaches zero at minus infinity; without it the bias is added here, before blanking.
    """
    if seq.valid is None:
        return u, delta, B, C, z, delta_bias
    pad = ~seq.valid[..., None]
    if not delta_softplus and delta_bias is not None:
        delta, delta_bias = delta + delta_bias, None
    u, delta = u.masked_fill(pad, 0), delta.masked_fill(pad, -torch.inf if delta_softplus else 0)
    B, C = (m.masked_fill(pad[..., None], 0) if m.ndim == 4 else m for m in (B, C))
    return u, delta, B, C, None if z is None else z.masked_fill(pad, 0), delta_bias


class _SelectiveScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *args: Any) -> tuple[Tensor, Tensor]:
        *operands, delta_softplus, reverse, backend = args
        u, _, A = operands[:3]
        chunk = _TRITON_CHUNK if backend == "triton" else chunk_length(u.shape[0], u.shape[1], *A.shape)
        ctx.options = (delta_softplus, reverse, chunk, backend)
        y, state, starts, inner = _forward(*operands, *ctx.options)
        ctx.save_for_backward(starts, inner, *operands)
        return y, state

    @staticmethod
    def backward(ctx: Any, dy: Tensor, dfinal: Tensor) -> tuple[Tensor | None, ...]:
        starts, inner, *operands = ctx.saved_tensors
        with torch.no_grad():
            grads = _backward(dy, dfinal, starts, inner, *operands, *ctx.options)
        needed = (g if need else None for g, need in zip(grads, ctx.needs_input_grad, strict=False))
        return *once("selective_scan", operands, needed), None, None, None, None


def _fake_forward(*args: Any) -> tuple[Tensor, ...]:
    u, _, A, B, C, _, z, _, _, _, _, _, chunk, backend = args
    batch, length, width = u.shape
    dtype = compute_dtype(u)
    groups = next((m.shape[2] for m in (B, C) if m.ndim == 4), 1)
    states = (batch, groups, A.shape[1], width // groups)
    return (
        torch.empty_like(u),
        u.new_empty(batch, width, A.shape[1], dtype=dtype),
        u.new_empty(-(-length // chunk), *states, dtype=dtype),
        u.new_empty(u.shape if z is not None and backend != "triton" else 0, dtype=dtype),
    )


def _fake_backward(*args: Any) -> tuple[Tensor, ...]:
    operands = args[4:13]
    return tuple(operands[0].new_empty(0) if x is None else torch.empty_like(x) for x in operands)


_forward = register(
    f"selective_scan_fwd({_OPERANDS}) -> (Tensor, Tensor, Tensor, Tensor)",
    by_path(__package__, "forward"),
    _fake_forward,
)
_backward = register(
    f"selective_scan_bwd(Tensor dy, Tensor dfinal, Tensor starts, Tensor inner, {_OPERANDS}) -> ("
    + ", ".join(["Tensor"] * 9)
    + ")",
    by_path(__package__, "backward"),
    _fake_backward,
)


def _check(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, *optional: Tensor | None) -> None:
    """Raise TypeError unless all are floating-point, ValueError unless all shapes fit those of u and A."""
    D, z, delta_bias, initial_state = optional
    named = {"D": D, "z": z, "delta_bias": delta_bias, "initial_state": initial_state}
    require_floating({"u": u, "delta": delta, "A": A, "B": B, "C": C}, **named)
    if u.ndim != 3 or A.ndim != 2:
        raise ValueError(f"u must be (B, L, D) and A (D, N), got {tuple(u.shape)} and {tuple(A.shape)}")
    batch, length, width = u.shape
    if length == 0:
        raise ValueError("u has no steps (L is 0)")
    state = A.shape[1]
    expected = {
        "delta": (delta, u.shape),
        "A": (A, (width, state)),
        "D": (D, (width,)),
        "z": (z, u.shape),
        "delta_bias": (delta_bias, (width,)),
        "initial_state": (initial_state, (batch, width, state)),
    }
    for name, (tensor, shape) in expected.items():
        if tensor is not None and tensor.shape != shape:
            raise ValueError(f"{name} must be {tuple(shape)}, got {tuple(tensor.shape)}")
    groups = set()
    for name, m in (("B", B), ("C", C)):
        if m.ndim != 2:
            groups.add(m.shape[2] if m.ndim == 4 else 1)
        shape = (width, state) if m.ndim == 2 else (batch, length, *m.shape[2:-1], state)
        if not 2 <= m.ndim <= 4 or m.shape != shape or (m.ndim == 4 and (m.shape[2] == 0 or width % m.shape[2])):
            raise ValueError(
                f"{name} must be (B, L, N), (B, L, G, N) with G dividing D, or (D, N) for B, L, D, N = "
                f"{batch}, {length}, {width}, {state}; got {tuple(m.shape)}"
            )
    if len(groups) > 1:
        raise ValueError(f"B and C must have the same number of groups, got {sorted(groups)}")


def _sizes(u: Tensor, delta: Tensor, A: Tensor, *_: Any, **__: Any) -> dict[str, int]:
    return {"length": u.shape[1], "width": u.shape[2], "state": A.shape[1]}


def _limit(sizes: dict[str, int]) -> str | None:
    return None if sizes.get("state", 1) <= 64 else f"a state of {sizes['state']} exceeds the kernels' 64"


_OPERATOR = Operator(
    "selective_scan", selective_scan, "input-dependent diagonal scan (Mamba)", limit=_limit, sizes=_sizes
)
add_operator(_OPERATOR)
