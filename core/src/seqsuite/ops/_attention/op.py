"""The public `attention`: checks, padding, and the choice between the formula and PyTorch's kernels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from seqsuite.ops._attention.portable import attend
from seqsuite.ops._attention.reference import attention_reference
from seqsuite.ops._debug import watched
from seqsuite.ops._dispatch import Operator, add_operator, choose
from seqsuite.ops._operands import require_floating, require_one_device
from seqsuite.ops._order import put_back, reorder, valid_first
from seqsuite.ops._seq import Seq, check_seq


@watched
def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    causal: bool = False,
    window: int | None = None,
    scale: float | None = None,
    slopes: Tensor | None = None,
    seq: Seq | None = None,
    past: Tensor | None = None,
    dropout: float = 0.0,
    backend: str | None = None,
) -> Tensor:
    r"""Softmax attention, thin over `torch.nn.functional.scaled_dot_product_attention`.

    .. math::
        o_{i,h} = \sum_j \mathrm{softmax}_j\big(s\, q_{i,h} \cdot k_{j,g(h)} - a_h |p_i - p_j|\big)\, v_{j,g(h)}

    over the keys j that query i may see; p counts the valid positions of a row, :math:`g(h) = h G / H`. There may be
    more keys than queries: the queries stand at the last L places, behind a cache. Kernels, their precision and
    whether they can be differentiated twice are PyTorch's, on every device; so this is no operator of its own in
    torch.library, and has no Triton kernels.

    Args:
        q: Queries (B, L, H, K).
        k: Keys (B, S, G, K), S >= L, with G dividing H: each is shared by H / G heads.
        v: Values (B, S, G, V).
        causal: A query sees no later key.
        window: A query sees only keys less than this many places away (itself: 1). Long rows are folded into blocks,
            in memory that grows with L times the window.
        scale: s; ``K ** -0.5`` by default.
        slopes: a (H,), ALiBi's (https://arxiv.org/abs/2108.12409); none by default.
        seq: Padding, packing and resets of the L positions. Padding is not seen and yields 0; what lies there is
            not read. The first S - L keys belong to the document that enters from the left.
        past: (B,) how many of the first S - L keys are there: the last ones of them; all by default.
        dropout: Probability with which a softmax weight is set to 0, the others scaled up; drawn from torch's
            generator of the device, in another order by each path.
        backend: "reference" or "portable"; None chooses the latter.

    Returns:
        (B, L, H, V), in the dtype of `q`.

    Raises:
        TypeError: If an operand is not floating-point, or complex.
        ValueError: If shapes do not fit, there is no step, the window is not positive, or `dropout` is not in [0, 1).
        seqsuite.errors.UserError: If the backend asked for cannot serve the call.
    """
    _check(q, k, v, window, slopes, seq, past)
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must be at least 0 and below 1, got {dropout}")
    path = choose(_OPERATOR, q.device.type, q.dtype, _sizes(q, k), backend).backend
    cached = k.shape[1] - q.shape[1]
    k, v = k.to(q.dtype), v.to(q.dtype)  # PyTorch's kernels take one dtype
    scale = max(1, q.shape[-1]) ** -0.5 if scale is None else scale
    if seq is not None and seq.valid is not None:
        pad = ~seq.valid[..., None, None]
        q = q.masked_fill(pad, 0)
        k, v = (torch.cat((m[:, :cached], m[:, cached:].masked_fill(pad, 0)), 1) for m in (k, v))
    valid, segment = _keys(q, cached, seq, past)
    if path == "reference":
        out = attention_reference(q, k, v, valid, segment, causal, window, scale, slopes, dropout)
    else:
        order = valid_first(seq)
        if order is not None:
            q, whole = reorder(q, order), _behind(order, cached)
            k, v, valid, segment = (reorder(m, whole) for m in (k, v, valid, segment))
        padded = seq is not None and seq.valid is not None and not causal
        known = valid if padded or past is not None else None  # a causal query sees no padding behind it
        apart = segment if seq is not None and seq.segment is not None else None
        out = put_back(attend(q, k, v, known, apart, causal, window, scale, slopes, dropout), order)
    return out if seq is None or seq.valid is None else out.masked_fill(~seq.valid[..., None, None], 0)


def _keys(q: Tensor, cached: int, seq: Seq | None, past: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return which keys are there and the document of each, both (B, S)."""
    shape, device = q.shape[:2], q.device
    valid = torch.ones(shape, dtype=torch.bool, device=device) if seq is None or seq.valid is None else seq.valid
    segment = torch.zeros(shape, dtype=torch.long, device=device) if seq is None or seq.segment is None else seq.segment
    before = torch.ones(shape[0], cached, dtype=torch.bool, device=device)
    if past is not None:
        before = torch.arange(cached, device=device) >= cached - past[:, None]
    return torch.cat((before, valid), 1), torch.cat((torch.zeros_like(before, dtype=torch.long), segment), 1)


def _behind(order: Tensor, cached: int) -> Tensor:
    """Return the order (B, S) that leaves the cached keys in front."""
    first = torch.arange(cached, device=order.device).expand(len(order), -1)
    return torch.cat((first, order + cached), 1)


def _check(
    q: Tensor, k: Tensor, v: Tensor, window: int | None, slopes: Tensor | None, seq: Seq | None, past: Tensor | None
) -> None:
    """Raise TypeError unless all are floating-point, ValueError unless shapes fit and the window is positive."""
    require_floating({"q": q, "k": k, "v": v}, slopes=slopes)
    require_one_device(q=q, past=past)
    if q.ndim != 4 or q.shape[1] == 0:
        raise ValueError(f"q must be (B, L, H, K) with L > 0, got {tuple(q.shape)}")
    batch, length, heads, width = q.shape
    if k.ndim != 4 or k.shape[0] != batch or k.shape[1] < length or k.shape[3] != width:
        raise ValueError(f"k must be ({batch}, S, G, {width}) with S >= {length}, got {tuple(k.shape)}")
    if k.shape[2] == 0 or heads % k.shape[2]:
        raise ValueError(f"k must have a number of heads that divides the {heads} of q, got {k.shape[2]}")
    if v.ndim != 4 or v.shape[:3] != k.shape[:3]:
        raise ValueError(f"v must be {(*k.shape[:3], 'V')}, got {tuple(v.shape)}")
    if slopes is not None and slopes.shape != (heads,):
        raise ValueError(f"slopes must be ({heads},), got {tuple(slopes.shape)}")
    if past is not None and (past.shape != (batch,) or past.is_floating_point()):
        raise ValueError(f"past must be ({batch},) integers, got {tuple(past.shape)} of {past.dtype}")
    if window is not None and not isinstance(window, int | torch.SymInt):
        raise TypeError(f"window must be an integer, not {window!r}")
    if window is not None and window < 1:
        raise ValueError(f"window must be at least 1, got {window}")
    check_seq(seq, q)


def _sizes(q: Tensor, k: Tensor, *_: Any, **__: Any) -> dict[str, int]:
    return {"length": q.shape[1], "keys": k.shape[1], "heads": q.shape[2]}


def _limit(_: dict[str, int]) -> str:
    return "attention has no Triton kernels of its own; PyTorch's serve it on a GPU"


_OPERATOR = Operator(
    "attention", attention, "softmax attention through PyTorch's own kernels", limit=_limit, sizes=_sizes
)
add_operator(_OPERATOR)
