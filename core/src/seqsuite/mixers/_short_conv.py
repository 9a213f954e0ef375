"""The short causal depthwise convolution with SiLU in front of a recurrence, over sequences and step by step."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqsuite.ops import causal_conv1d


def short_conv(conv: nn.Conv1d, x: Tensor, **options: Any) -> Any:
    """Convolve and activate (B, L, D) with a module's weights; options as `seqsuite.ops.causal_conv1d`."""
    return causal_conv1d(x, conv.weight[:, 0], conv.bias, activation="silu", **options)


def short_conv_step(conv: nn.Conv1d, x_t: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    """Convolve and activate one step.

    Args:
        conv: Holds the weights.
        x_t: (B, D).
        last: (B, D, taps) last inputs, newest last.

    Returns:
        (B, D) in the dtype of x_t, and the last inputs with x_t.
    """
    last = torch.cat((last[:, :, 1:], x_t[:, :, None].to(last.dtype)), dim=2)
    y = (last * conv.weight[:, 0]).sum(-1)
    return F.silu(y if conv.bias is None else y + conv.bias).to(x_t.dtype), last
