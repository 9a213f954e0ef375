"""The causal depthwise convolution in PyTorch: one grouped F.conv1d, or shifted products where rows hold documents."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def forward(x: Tensor, weight: Tensor, bias: Tensor | None, history: Tensor | None, segment: Tensor | None, reverse: bool) -> Tensor:
    """Return the convolution without activation (B, L, D)."""
    taps = weight.shape[1]
    extended = extend(x, history, taps, reverse)
    if segment is None:
        kernel = (weight.flip(1) if reverse else weight).unsqueeze(1)
        return F.conv1d(extended.transpose(1, 2), kernel, bias, groups=x.shape[2]).transpose(1, 2)
    length = x.shape[1]
    home = extend_segment(segment, taps, reverse)
    y = torch.zeros_like(x) if bias is None else bias.expand_as(x)
    for k in range(taps):
        at = taps - 1 - k if reverse else k
        same = home[:, at : at + length] == segment
        y = y + torch.where(same[..., None], extended[:, at : at + length] * weight[:, k], 0)
    return y


def extend(x: Tensor, history: Tensor | None, taps: int, reverse: bool) -> Tensor:
    """Put the K - 1 inputs met before x at the end where the run begins."""
    if history is None:
        return F.pad(x, (0, 0, 0, taps - 1) if reverse else (0, 0, taps - 1, 0))
    return torch.cat((x, history.flip(1)) if reverse else (history, x), 1)


def extend_segment(segment: Tensor, taps: int, reverse: bool) -> Tensor:
    """Number the history: it belongs to the last document of a reverse run, to document 0 of a forward run."""
    if reverse:
        return torch.cat((segment, segment[:, -1:].expand(-1, taps - 1)), 1)
    return F.pad(segment, (taps - 1, 0))
