"""The public `ssd`: checks, choice of path, registration and gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from seqsuite.ops._debug import watched
from seqsuite.ops._dispatch import Operator, add_operator, choose
from seqsuite.ops._operands import check_chunk_size, compute_dtype, require_floating
from seqsuite.ops._registration import by_path, once, register
from seqsuite.ops._seq import Seq, check_seq
from seqsuite.ops._ssd.reference import ssd_reference

_OPERANDS = "Tensor q, Tensor k, Tensor v, Tensor g, Tensor? initial_state, float scale, bool reverse, int chunk"


@watched
def ssd(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g: Tensor,
    *,
    scale: float | None = None,
    initial_state: Tensor | None = None,
    return_final_state: bool = False,
    reverse: bool = False,
    seq: Seq | None = None,
    chunk_size: int | None = None,
    backend: str | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    r"""Gated linear attention: a matrix state that decays and takes up one outer product a step.

    For every row and head,

    .. math::
        S_t &= \mathrm{diag}(e^{g_t}) S_{t-1} + k_t v_t^\top \\
        o_t &= \mathrm{scale} \cdot S_t^\top q_t

    computed in chunks as matrix products (Mamba-2's state space duality, https://arxiv.org/abs/2405.21060;
    gated linear attention, https://arxiv.org/abs/2312.06635). Computed in float32 (float64 if `v` is float64),
    returned in the dtype of `v`. Every operand is differentiable, also the states; twice is not.

    Args:
        q: Queries (B, L, G, K), where G divides H and head h uses group h // (H / G). Mamba-2's C.
        k: Keys (B, L, G, K). Mamba-2's B.
        v: Values (B, L, H, V). Mamba-2's x times its step size.
        g: Logarithms of the decays, at most 0, minus infinity drops the state: (B, L, H) for a decay a head,
            (B, L, H, K) for one of every key, (H,) for constant ones. The gradient at a decay of 0 is 0.
        scale: Factor on the output; None for K ** -0.5. Mamba-2 has 1.
        initial_state: State before the first step (B, H, K, V); with `reverse`, it enters at the right end.
        return_final_state: Whether to return the state behind the last step, (B, H, K, V) in compute precision.
        reverse: Run from right to left; equals flip, run, flip, without copies of the whole.
        seq: Padding, packing and resets. A padded step leaves the state as it is and yields 0.
        chunk_size: Steps that are one matrix product, a power of two up to 256; None chooses. Memory for the
            backward pass is one state a chunk. The Triton kernels take 16 to 64 (16 for a decay of every key).
        backend: "reference", "portable" or "triton"; None chooses.

    Returns:
        o (B, L, H, V), or (o, final state).

    Raises:
        TypeError: If an operand is not floating-point, or complex.
        ValueError: If shapes do not fit, there is no step, or the chunk size is none; no rows are fine.
        seqsuite.errors.UserError: If the backend asked for cannot serve the call.
    """
    _check(q, k, v, g, initial_state, chunk_size)
    check_seq(seq, v)
    choice = choose(_OPERATOR, v.device.type, v.dtype, _sizes(q, k, v, g), backend).backend
    if v.numel() == 0 or q.numel() == 0:
        choice = "reference"  # tiles and grids of no size are none
    if g.ndim == 1:
        g = g.expand(*v.shape[:2], -1)
    if seq is not None:
        q, k, v, g = _apply_seq(seq, q, k, v, g, reverse)
    if g.ndim == 4 and q.shape[2] < v.shape[2]:
        q, k = (x.repeat_interleave(v.shape[2] // q.shape[2], 2) for x in (q, k))
    factor = max(1, q.shape[3]) ** -0.5 if scale is None else float(scale)
    if choice == "reference":
        o, state = ssd_reference(q, k, v, g, scale=factor, initial_state=initial_state, reverse=reverse)
    else:
        chunk = _chunk(choice, v.shape[1], q.shape[3], g.ndim == 4, chunk_size)
        operands = (q, k, v, g, initial_state)
        keep = torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in operands)
        o, state = _Ssd.apply(*operands, factor, reverse, chunk, keep, choice)
    if seq is not None and seq.valid is not None:
        o = o.masked_fill(~seq.valid[..., None, None], 0)
    return (o, state) if return_final_state else o


def _apply_seq(
    seq: Seq, q: Tensor, k: Tensor, v: Tensor, g: Tensor, reverse: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Make padded steps the identity, whatever lies there, and let a decay of 0 begin each document."""
    if seq.valid is not None:
        pad = ~seq.valid[..., None]
        q, k, v = (x.masked_fill(pad[..., None], 0) for x in (q, k, v))
        g = g.masked_fill(pad if g.ndim == 3 else pad[..., None], 0)
    reset = seq.resets(reverse=reverse)
    if reset is not None:
        g = g.masked_fill(reset.view(*reset.shape, *[1] * (g.ndim - 2)), -torch.inf)
    return q, k, v, g


def _chunk(backend: str, length: int, keys: int, vector: bool, asked: int | None) -> int:
    """Return the steps of a chunk: what was asked for, else what is fast; not more than there are.

    A chunk costs its square in weights and a state in memory, so wide states take longer ones. The Triton
    kernels have 16 steps for vector decays and 16 to 64 for scalar ones.
    """
    if backend == "triton":
        return 16 if vector else min(max(asked or 32, 16), 64)
    return min(asked or (32 if keys <= 64 else 64), 1 << (length - 1).bit_length())


class _Ssd(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *args: Any) -> tuple[Tensor, Tensor]:
        ctx.options = (*args[5:8], args[9])
        o, state, starts = _forward(*args)
        ctx.save_for_backward(starts, *args[:5])
        return o, state

    @staticmethod
    def backward(ctx: Any, dy: Tensor, dfinal: Tensor) -> tuple[Tensor | None, ...]:
        starts, *operands = ctx.saved_tensors
        with torch.no_grad():
            grads = _backward(dy, dfinal, starts, *operands, *ctx.options)
        needed = (g if need else None for g, need in zip(grads, ctx.needs_input_grad, strict=False))
        return *once("ssd", operands, needed), None, None, None, None, None


_forward_by_path = by_path(__package__, "forward")


def _run_forward(*args: Any) -> tuple[Tensor, ...]:
    """The Triton kernels always keep the chunks' starts."""
    *operands, keep, backend = args
    return _forward_by_path(*operands, *(() if backend == "triton" else (keep,)), backend)


def _fake_forward(*args: Any) -> tuple[Tensor, ...]:
    q, _, v, _, _, _, _, chunk, keep, backend = args
    batch, length, heads, width = v.shape
    groups, keys = q.shape[2:]
    dtype = compute_dtype(v)
    kept = -(-length // chunk) if keep or backend == "triton" else 0
    return (
        torch.empty(v.shape, dtype=v.dtype, device=v.device),
        v.new_empty(batch, heads, keys, width, dtype=dtype),
        v.new_empty(kept, batch, groups, keys, heads // groups, width, dtype=dtype),
    )


def _fake_backward(*args: Any) -> tuple[Tensor, ...]:
    operands = args[3:8]
    return tuple(
        args[0].new_empty(0) if x is None else torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in operands
    )


_forward = register(
    f"ssd_fwd({_OPERANDS}, bool keep, str backend) -> (Tensor, Tensor, Tensor)", _run_forward, _fake_forward
)
_backward = register(
    f"ssd_bwd(Tensor dy, Tensor dfinal, Tensor starts, {_OPERANDS}, str backend) -> ("
    + ", ".join(["Tensor"] * 5)
    + ")",
    by_path(__package__, "backward"),
    _fake_backward,
)


def _check(q: Tensor, k: Tensor, v: Tensor, g: Tensor, initial_state: Tensor | None, chunk_size: int | None) -> None:
    """Raise TypeError unless all are floating-point, ValueError unless all fit q and v."""
    require_floating({"q": q, "k": k, "v": v, "g": g}, initial_state=initial_state)
    if v.ndim != 4 or v.shape[1] == 0:
        raise ValueError(f"v must be (B, L, H, V) with L > 0, got {tuple(v.shape)}")
    batch, length, heads, width = v.shape
    if q.ndim != 4 or q.shape[:2] != v.shape[:2] or q.shape[2] == 0 or heads % q.shape[2]:
        raise ValueError(f"q must be (B, L, G, K) with G dividing H, like v of {tuple(v.shape)}, got {tuple(q.shape)}")
    if k.shape != q.shape:
        raise ValueError(f"k must be {tuple(q.shape)} like q, got {tuple(k.shape)}")
    keys = q.shape[3]
    if g.shape not in ((heads,), (batch, length, heads), (batch, length, heads, keys)):
        raise ValueError(
            f"g must be (H,), (B, L, H) or (B, L, H, K) for B, L, H, K = {batch}, {length}, {heads}, {keys}; "
            f"got {tuple(g.shape)}"
        )
    state = (batch, heads, keys, width)
    if initial_state is not None and initial_state.shape != state:
        raise ValueError(f"initial_state must be {state}, got {tuple(initial_state.shape)}")
    check_chunk_size(chunk_size, 256)


def _sizes(q: Tensor, k: Tensor, v: Tensor, g: Tensor, **_: Any) -> dict[str, int]:
    return {"length": v.shape[1], "heads": v.shape[2], "keys": q.shape[3], "values": v.shape[3]}


def _limit(sizes: dict[str, int]) -> str | None:
    keys = sizes.get("keys", 1)
    return None if keys <= 128 else f"keys of width {keys} exceed the kernels' 128"


_OPERATOR = Operator(
    "ssd", ssd, "chunked gated linear attention (Mamba-2, GLA, RetNet)", limit=_limit, sizes=_sizes, main="v"
)
add_operator(_OPERATOR)
