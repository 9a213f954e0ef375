"""Losses over the steps of windows that count; what is padding takes no part.

loss = masked_mean(action_losses(predicted, batch["actions"]), batch["mask"])
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of values (B, K) where the mask (B, K) is set; 0 where it is set nowhere."""
    # `where` and not a product: what a network says of padding may be no number.
    return torch.where(mask, values, 0.0).sum() / mask.sum().clamp(min=1)


def action_losses(predicted: Tensor, actions: Tensor) -> Tensor:
    """Return the loss (B, K) of each step: squared error, mean over dimensions; of choices the cross entropy.

    Args:
        predicted: (B, K, A), or logits (B, K, n).
        actions: (B, K, A) float, or (B, K) int64.
    """
    if actions.is_floating_point():
        return squared_errors(predicted, actions)
    return F.cross_entropy(predicted.float().transpose(1, 2), actions, reduction="none")


def squared_errors(predicted: Tensor, wanted: Tensor) -> Tensor:
    """Return the squared error (B, K) of values (B, K, ...), mean over their dimensions."""
    return (predicted.float() - wanted.float()).square().flatten(2).mean(-1)
