"""Softmax attention through F.scaled_dot_product_attention, with as small a mask as will do.

Padding lies behind the valid positions here (order.py), so a place in the row counts valid positions. A
sliding window over a long row is folded: blocks of `window` queries beside the keys of their own and the
neighbouring blocks, so that memory and work grow with L times the window, not with L squared.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    valid: Tensor | None,
    segment: Tensor | None,
    causal: bool,
    window: int | None,
    scale: float,
    slopes: Tensor | None,
    dropout: float = 0.0,
) -> Tensor:
    """Return (B, L, H, V); the queries are the last L of the S keys' places.

    Args:
        q: (B, L, H, K).
        k: (B, S, G, K).
        v: (B, S, G, V).
        valid: (B, S) bool, which keys are there; None if all that matter are.
        segment: (B, S) the document of each key; None if all are one.
        causal: A query sees no later key.
        window: A query sees keys less than this far away; None for all.
        scale: Of the logits.
        slopes: (H,) subtracted from the logits per place of distance.
        dropout: Probability of a softmax weight to be set to 0.
    """
    length, keys = q.shape[1], k.shape[1]
    if window is not None and window >= keys:
        window = None
    if window is not None and keys > (2 if causal else 3) * window:
        return _folded(q, k, v, valid, segment, causal, window, scale, slopes, dropout)
    if valid is None and segment is None and window is None and slopes is None:
        if not causal or length == 1:
            return _sdpa(q, k, v, scale, dropout)
        if length == keys:
            return _sdpa(q, k, v, scale, dropout, causal=True)
    place = torch.arange(keys, device=q.device)
    mask = _mask(place[None, -length:], place[None], valid, valid, segment, segment, causal, window)
    bias = _biased(mask, place[None, -length:], place[None], slopes, q.dtype)
    return _sdpa(q, k, v, scale, dropout, mask=bias)


def _folded(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    valid: Tensor | None,
    segment: Tensor | None,
    causal: bool,
    window: int,
    scale: float,
    slopes: Tensor | None,
    dropout: float,
) -> Tensor:
    """Attend in blocks of `window` queries beside the blocks of keys that they can see."""
    batch, length = q.shape[:2]
    keys = k.shape[1]
    blocks = -(-length // window)
    span = 2 if causal else 3
    first = keys - length - window  # the place where the first block's keys begin
    last = first + (blocks + span - 1) * window
    place = torch.arange(first, last, device=q.device)
    here = ((place >= 0) & (place < keys))[None]
    here = here if valid is None else here & _cut(valid, first, last)
    segment = None if segment is None else _cut(segment, first, last)
    q_place = place[window : window * (blocks + 1)].view(blocks, window)
    k_place = _windows(place[None], window, span)[0]  # (n, span w)
    mask = _mask(
        q_place[None],
        k_place[None],
        None,
        _windows(here, window, span),
        None if segment is None else segment[:, window : window * (blocks + 1)].view(batch, blocks, window),
        None if segment is None else _windows(segment, window, span),
        causal,
        window,
    )  # (B or 1, n, w, span w)
    mask = mask.expand(batch, -1, -1, -1).flatten(0, 1)
    q = F.pad(q, (0, 0, 0, 0, 0, blocks * window - length)).reshape(batch * blocks, window, *q.shape[2:])
    k, v = (_windows(_cut(m, first, last), window, span).flatten(0, 1) for m in (k, v))
    gaps = (q_place[:1], k_place[:1])  # the same in every block
    out = _sdpa(q, k, v, scale, dropout, mask=_biased(mask, *gaps, slopes, q.dtype))
    return out.reshape(batch, blocks * window, *out.shape[2:])[:, :length]


def _cut(x: Tensor, first: int, last: int) -> Tensor:
    """Return the places first .. last - 1 of (B, S, ...), zeros beyond its ends."""
    pad = (0, 0) * (x.ndim - 2) + (max(0, -first), max(0, last - x.shape[1]))
    return F.pad(x[:, max(0, first) : last], pad)


def _windows(x: Tensor, window: int, span: int) -> Tensor:
    """Return (B, n, span w, ...) from (B, (n + span - 1) w, ...): each block beside its followers."""
    parts = x.unflatten(1, (-1, window))
    count = parts.shape[1] - span + 1
    return torch.cat([parts[:, at : at + count] for at in range(span)], 2)


def _mask(
    q_place: Tensor,
    k_place: Tensor,
    q_valid: Tensor | None,
    k_valid: Tensor | None,
    q_segment: Tensor | None,
    k_segment: Tensor | None,
    causal: bool,
    window: int | None,
) -> Tensor:
    """Return (..., L, S) bool, which keys each query sees; each sees itself, so that no softmax is empty."""
    gap = q_place[..., :, None] - k_place[..., None, :]
    seen = gap >= 0 if causal else torch.ones_like(gap, dtype=torch.bool)
    if window is not None:
        seen = seen & (gap.abs() < window)
    if k_valid is not None:
        seen = seen & k_valid[..., None, :]
    if q_segment is not None and k_segment is not None:
        own = q_segment[..., -q_place.shape[-1] :]
        seen = seen & (own[..., :, None] == k_segment[..., None, :])
    return seen | (gap == 0)


def _biased(mask: Tensor, q_place: Tensor, k_place: Tensor, slopes: Tensor | None, dtype: torch.dtype) -> Tensor:
    """Return the mask (B, 1, L, S), or with slopes the additive bias (B, H, L, S)."""
    mask = mask[:, None]
    if slopes is None:
        return mask
    gap = (q_place[..., :, None] - k_place[..., None, :]).abs()[:, None]
    bias = -slopes.to(dtype)[:, None, None] * gap.to(dtype)
    return bias.masked_fill(~mask, -torch.inf)


def _sdpa(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    scale: float,
    dropout: float,
    *,
    mask: Tensor | None = None,
    causal: bool = False,
) -> Tensor:
    """Call PyTorch's attention with heads before positions."""
    q, k, v = (m.transpose(1, 2) for m in (q, k, v))
    grouped = q.shape[1] != k.shape[1]
    out = F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, dropout_p=dropout, is_causal=causal, scale=scale, enable_gqa=grouped
    )  # (B, H, L, V)
    return out.transpose(1, 2)
