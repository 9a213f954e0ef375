"""Softmax attention as its formula: every logit, by hand."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from seqsuite.ops._operands import compute_dtype


def attention_reference(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    valid: Tensor,
    segment: Tensor,
    causal: bool,
    window: int | None,
    scale: float,
    slopes: Tensor | None,
    dropout: float = 0.0,
) -> Tensor:
    """Return (B, L, H, V); `valid` and `segment` are (B, S), of the keys, whose last L are the queries' own."""
    dtype = compute_dtype(q)
    length, heads = q.shape[1:3]
    k, v = (m.to(dtype).repeat_interleave(heads // k.shape[2], 2) for m in (k, v))
    place = valid.cumsum(1)  # counts valid positions only
    gap = place[:, -length:, None] - place[:, None]  # (B, L, S)
    seen = valid[:, None] & (segment[:, -length:, None] == segment[:, None])
    if causal:
        seen = seen & (gap >= 0)
    if window is not None:
        seen = seen & (gap.abs() < window)
    logits = torch.einsum("blhk,bshk->bhls", q.to(dtype), k) * scale
    if slopes is not None:
        logits = logits - slopes.to(dtype)[:, None, None] * gap[:, None].abs()
    weight = F.dropout(_softmax(logits, seen), dropout)
    return torch.einsum("bhls,bshv->blhv", weight, v).to(q.dtype)


def _softmax(logits: Tensor, seen: Tensor) -> Tensor:
    """Softmax over what is seen; zeros where nothing is."""
    hidden = ~seen[:, None]
    top = logits.masked_fill(hidden, -torch.inf).amax(-1, keepdim=True).clamp(min=torch.finfo(logits.dtype).min)
    weight = (logits - top.detach()).masked_fill(hidden, -torch.inf).exp()
    return weight / weight.sum(-1, keepdim=True).clamp(min=torch.finfo(logits.dtype).tiny)
