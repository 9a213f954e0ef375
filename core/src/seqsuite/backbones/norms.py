"""Normalisations of the residual stream."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RMSNorm(nn.Module):
    """Root-mean-square norm over the last axis, weight only (Zhang and Sennrich 2019).

    Computed in float32 at least; the result has the weight's dtype, whatever the residual stream's.
    """

    def __init__(self, d_model: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(d_model))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (..., D)."""
        work = x if x.dtype == torch.float64 else x.float()
        return F.rms_norm(work, self.weight.shape, self.weight.to(work.dtype), self.eps).to(self.weight.dtype)


class LayerNorm(nn.LayerNorm):
    """Layer norm with weight and bias, computed in float32 at least, in the weight's dtype."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (..., D)."""
        work = x if x.dtype == torch.float64 else x.float()
        weight, bias = self.weight.to(work.dtype), self.bias.to(work.dtype)
        return F.layer_norm(work, self.normalized_shape, weight, bias, self.eps).to(self.weight.dtype)


def create_norm(kind: str, d_model: int, eps: float) -> nn.Module:
    """Build a norm: kind "rms" or "layer"."""
    return {"rms": RMSNorm, "layer": LayerNorm}[kind](d_model, eps=eps)
