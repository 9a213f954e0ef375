"""The causal depthwise convolution as its formula: a loop over time and a window of inputs."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def causal_conv1d_reference(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    history: Tensor | None = None,
    segment: Tensor | None = None,
    silu: bool = False,
    reverse: bool = False,
) -> Tensor:
    """Return y (B, L, D); `history` (B, K - 1, D) are the inputs met before x, latest last.

    `segment` (B, L) numbers the documents of each row; a window does not reach into another one.
    """
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    batch, _, width = x.shape
    taps = weight.to(dtype).unbind(1)
    blank = x.new_zeros(batch, width, dtype=dtype)
    past = [blank] * (len(taps) - 1) if history is None else list(history.to(dtype).unbind(1))
    home = _segments(segment, x, reverse)
    steps = list(x.to(dtype).unbind(1))
    window = past + (steps[::-1] if reverse else steps)
    outputs = []
    for t in range(len(steps)):
        y = blank if bias is None else blank + bias.to(dtype)
        for k, tap in enumerate(taps):
            same = (home[max(t - len(taps) + 1 + k, -1) + 1] == home[t + 1])[:, None]
            y = y + torch.where(same, window[t + k] * tap, 0)
        outputs.append(F.silu(y) if silu else y)
    return torch.stack(outputs[::-1] if reverse else outputs, 1).to(x.dtype)


def _segments(segment: Tensor | None, x: Tensor, reverse: bool) -> list[Tensor]:
    """Give the document of the history and of every step, in the order of the run."""
    if segment is None:
        segment = torch.zeros(x.shape[:2], dtype=torch.long, device=x.device)
    entering = segment[:, -1] if reverse else torch.zeros_like(segment[:, 0])
    steps = list(segment.unbind(1))
    return [entering, *(steps[::-1] if reverse else steps)]
