"""The public `delta_rule`: checks, choice of path, registration and gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from seqsuite.ops._debug import watched
from seqsuite.ops._delta_rule import portable
from seqsuite.ops._delta_rule.reference import delta_rule_reference
from seqsuite.ops._dispatch import Operator, add_operator, choose
from seqsuite.ops._operands import check_chunk_size, compute_dtype, require_floating
from seqsuite.ops._registration import by_path, once, register
from seqsuite.ops._seq import Seq, check_seq

_OPERANDS = (
    "Tensor q, Tensor k, Tensor v, Tensor? beta, Tensor? g, Tensor? a, Tensor? b, Tensor? initial_state, "
    "float scale, bool reverse, int chunk, int span, str backend"
)
_LARGEST_CHUNK = 128
_TRITON_CHUNK = 16


@watched
def delta_rule(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor | None,
    *,
    g: Tensor | None = None,
    remove: tuple[Tensor, Tensor] | None = None,
    scale: float | None = None,
    initial_state: Tensor | None = None,
    return_final_state: bool = False,
    reverse: bool = False,
    seq: Seq | None = None,
    chunk_size: int | None = None,
    backend: str | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    r"""Linear attention whose writes replace what the key held: the delta rule, with or without decay.

    For every row and head, with a state :math:`S` (K, V) that maps keys to values:

    .. math::
        S_t &= (I - \beta_t k_t k_t^\top)\,\mathrm{diag}(e^{g_t})\,S_{t-1} + \beta_t k_t v_t^\top \\
        o_t &= \mathrm{scale} \cdot S_t^\top q_t

    DeltaNet (https://arxiv.org/abs/2406.06484) has no g, Gated DeltaNet (https://arxiv.org/abs/2412.06464) one
    g per head, Kimi Delta Attention (https://arxiv.org/abs/2510.26692) one per key channel. A beta up to 2
    gives negative eigenvalues (https://arxiv.org/abs/2411.12537). With keys of unit length and beta in [0, 2]
    states do not grow by themselves; nothing here normalises keys.

    With ``remove=(a, b)`` the rank-one term of the transition has vectors of its own, applied to the state
    before the decay (RWKV-7, https://arxiv.org/abs/2503.14456):

    .. math::
        S_t = (\mathrm{diag}(e^{g_t}) + a_t b_t^\top)\,S_{t-1} + \beta_t k_t v_t^\top

    so the delta rule itself is :math:`a = -\beta k,\ b = e^{g} k`. A product of n Householder steps a token
    (DeltaProduct, https://arxiv.org/abs/2502.10297) is n steps here: g on the first, o read at the last.

    Computed in float32 (float64 if `q` is float64), returned in the dtype of `q`. Every operand is
    differentiable, also the states; twice is not. A log decay of minus infinity drops the state exactly; what
    underflows is zero.

    Args:
        q: Queries (B, L, H, K).
        k: Keys (B, L, H, K).
        v: Values (B, L, H, V).
        beta: Strengths of the writes (B, L, H); None for 1.
        g: Log decays, at most 0: (B, L, H) or (B, L, H, K); None for 0.
        remove: None for the delta rule, or (a, b), each (B, L, H, K).
        scale: Factor on the output; None for K ** -0.5.
        initial_state: State before the first step (B, H, K, V); with `reverse`, it enters at the right end.
        return_final_state: Whether to return the state behind the last step, (B, H, K, V) in compute precision.
        reverse: Run from right to left; equals flip, run, flip.
        seq: Padding, packing and resets. A padded step leaves the state as it is and yields 0.
        chunk_size: Steps solved at once, a power of two up to 128; None chooses. Changes speed and rounding only.
        backend: "reference", "portable" or "triton"; None chooses.

    Returns:
        o (B, L, H, V), or (o, final state).

    Raises:
        TypeError: If an operand is not floating-point, or complex.
        ValueError: If shapes do not fit, there is no step, or `chunk_size` is no power of two up to 128; no rows,
            heads or channels are fine.
        seqsuite.errors.UserError: If the backend asked for cannot serve the call.
    """
    a, b = (None, None) if remove is None else remove
    _check(q, k, v, beta, g, a, b, initial_state, chunk_size)
    check_seq(seq, q)
    choice = choose(_OPERATOR, q.device.type, q.dtype, _sizes(q, k, v, chunk_size=chunk_size), backend).backend
    if q.numel() == 0 or v.numel() == 0:
        choice = "reference"  # chunks and grids of no size are none
    if seq is not None:
        q, k, v, beta, a, b = _without_padding(seq, q, k, v, beta, a, b)
        g, b = _with_resets(seq, reverse, k, g, b)
    factor = max(1, q.shape[-1]) ** -0.5 if scale is None else float(scale)
    operands = (q, k, v, beta, g, a, b, initial_state)
    if choice == "reference":
        o, state = delta_rule_reference(*operands, scale=factor, reverse=reverse)
    else:
        o, state = _DeltaRule.apply(*operands, factor, reverse, chunk_size, choice)
    if seq is not None and seq.valid is not None:
        o = o.masked_fill(~seq.valid[..., None, None], 0)
    return (o, state) if return_final_state else o


def _without_padding(seq: Seq, *operands: Tensor | None) -> list[Any]:
    """Blank padded steps so that whatever lies there, NaN included, neither writes nor removes."""
    if seq.valid is None:
        return list(operands)
    pad = ~seq.valid[..., None]
    return [x if x is None else x.masked_fill(pad if x.ndim == 3 else pad[..., None], 0) for x in operands]


def _with_resets(
    seq: Seq, reverse: bool, k: Tensor, g: Tensor | None, b: Tensor | None
) -> tuple[Tensor | None, Tensor | None]:
    """Give padded steps a log decay of 0 and resets one of minus infinity; a removal reads nothing at a reset."""
    reset = seq.resets(reverse=reverse)
    if g is None:
        g = None if reset is None else k.new_zeros(k.shape[:3])
    elif seq.valid is not None:
        g = g.masked_fill(~seq.valid.reshape(*k.shape[:2], *[1] * (g.ndim - 2)), 0)
    if reset is None or g is None:
        return g, b
    g = g.masked_fill(reset.reshape(*k.shape[:2], *[1] * (g.ndim - 2)), -torch.inf)
    return g, b if b is None else b.masked_fill(reset[..., None, None], 0)


class _DeltaRule(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *args: Any) -> tuple[Tensor, Tensor]:
        *operands, scale, reverse, chunk_size, backend = args
        batch, length, heads, width = operands[0].shape
        if backend == "triton":
            chunk, span = _TRITON_CHUNK, 1
        else:
            chunk, span = portable.chunk_sizes(batch, length, heads, max(width, operands[2].shape[-1]), chunk_size)
        ctx.options = (scale, reverse, chunk, span, backend)
        o, state, starts = _forward(*operands, *ctx.options)
        ctx.save_for_backward(starts, *operands)
        return o, state

    @staticmethod
    def backward(ctx: Any, do: Tensor, dfinal: Tensor) -> tuple[Tensor | None, ...]:
        starts, *operands = ctx.saved_tensors
        with torch.no_grad():
            grads = _backward(do, dfinal, starts, *operands, *ctx.options)
        needed = (g if need else None for g, need in zip(grads, ctx.needs_input_grad, strict=False))
        return *once("delta_rule", operands, needed), None, None, None, None


def _fake_forward(*args: Any) -> tuple[Tensor, ...]:
    q, _, v = args[:3]
    chunk, span = args[10:12]
    batch, length, heads, width = q.shape
    dtype = compute_dtype(q)
    state = (batch, heads, width, v.shape[-1])
    spans = -(-length // (chunk * span))
    return (
        torch.empty(v.shape, dtype=q.dtype, device=q.device),
        q.new_empty(state, dtype=dtype),
        q.new_empty(spans, *state, dtype=dtype),
    )


def _fake_backward(*args: Any) -> tuple[Tensor, ...]:
    do, operands = args[0], args[3:11]
    return tuple(
        do.new_empty(0) if x is None else torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in operands
    )


_forward = register(
    f"delta_rule_fwd({_OPERANDS}) -> (Tensor, Tensor, Tensor)", by_path(__package__, "forward"), _fake_forward
)
_backward = register(
    f"delta_rule_bwd(Tensor do, Tensor dfinal, Tensor starts, {_OPERANDS}) -> (" + ", ".join(["Tensor"] * 8) + ")",
    by_path(__package__, "backward"),
    _fake_backward,
)


def _check(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor | None,
    g: Tensor | None,
    a: Tensor | None,
    b: Tensor | None,
    initial_state: Tensor | None,
    chunk_size: int | None,
) -> None:
    """Raise TypeError unless all are floating-point, ValueError unless all shapes fit those of q and v."""
    removed = {"remove[0]": a, "remove[1]": b}
    require_floating({"q": q, "k": k, "v": v}, beta=beta, g=g, initial_state=initial_state, **removed)
    if q.ndim != 4 or q.shape[1] == 0:
        raise ValueError(f"q must be (B, L, H, K) with L > 0, got {tuple(q.shape)}")
    if v.ndim != 4 or v.shape[:3] != q.shape[:3]:
        raise ValueError(f"v must be (B, L, H, V) with B, L, H = {tuple(q.shape[:3])}, got {tuple(v.shape)}")
    state = (q.shape[0], q.shape[2], q.shape[3], v.shape[3])
    expected: dict[str, tuple[Tensor | None, list[tuple[int, ...]]]] = {
        "k": (k, [q.shape]),
        "beta": (beta, [q.shape[:3]]),
        "g": (g, [q.shape[:3], q.shape]),
        "remove[0]": (a, [q.shape]),
        "remove[1]": (b, [q.shape]),
        "initial_state": (initial_state, [state]),
    }
    for name, (tensor, shapes) in expected.items():
        if tensor is not None and tuple(tensor.shape) not in [tuple(shape) for shape in shapes]:
            allowed = " or ".join(str(tuple(shape)) for shape in shapes)
            raise ValueError(f"{name} must be {allowed}, got {tuple(tensor.shape)}")
    check_chunk_size(chunk_size, _LARGEST_CHUNK)


def _sizes(q: Tensor, k: Tensor, v: Tensor, *_: Any, chunk_size: int | None = None, **__: Any) -> dict[str, int]:
    return {"length": q.shape[1], "key": q.shape[3], "value": v.shape[3], "chunk": chunk_size or _TRITON_CHUNK}


def _limit(sizes: dict[str, int]) -> str | None:
    if sizes.get("key", 1) > 256:
        return f"keys of {sizes['key']} exceed the kernels' 256"
    if sizes.get("chunk", _TRITON_CHUNK) != _TRITON_CHUNK:
        return f"the kernels' chunks have {_TRITON_CHUNK} steps, not {sizes['chunk']}"
    return None


_OPERATOR = Operator(
    "delta_rule", delta_rule, "delta rule: DeltaNet and kin, with decay or own removal", limit=_limit, sizes=_sizes
)
add_operator(_OPERATOR)
