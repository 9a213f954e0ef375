"""Losses for masks in which some classes have few pixels.

    loss = F.cross_entropy(logits, mask, weight=enet_weights(counts)) + soft_dice(logits, mask, ignore=255)

Dice: V-Net, Milletari et al. 2016, https://arxiv.org/abs/1606.04797, here over the classes of a batch and with the
sum of probabilities below the line, as Drozdzal et al. 2016 (https://arxiv.org/abs/1608.04117) have it. Weights of
classes: ENet, Paszke et al. 2016, https://arxiv.org/abs/1606.02147.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_SMOOTH = 1.0
"""Added above and below the line: of a class with few pixels neither is zero."""
_ENET = 1.02


def soft_dice(logits: Tensor, mask: Tensor, *, ignore: int) -> Tensor:
    """Return 1 - 2 sum(p y) / (sum(p) + sum(y)), the mean over the classes that the masks have.

    Args:
        logits: (B, K, H, W); p is their softmax.
        mask: (B, H, W) int64; y is its indicator of a class.
        ignore: The label of pixels that do not count.

    Returns:
        A number from 0 to 1; 0 where no pixel counts.
    """
    counted = (mask != ignore)[:, None]
    found = logits.softmax(1) * counted
    truth = F.one_hot(mask.where(mask != ignore, 0), logits.shape[1]).movedim(-1, 1) * counted
    there = truth.sum((0, 2, 3))
    shared = (found * truth).sum((0, 2, 3))
    each = 1 - (2 * shared + _SMOOTH) / (found.sum((0, 2, 3)) + there + _SMOOTH)
    # A class that the batch lacks has no mask to overlap with: it would only push its probabilities down.
    occurs = (there > 0).to(each.dtype)
    return (each * occurs).sum() / occurs.sum().clamp(min=1)


def enet_weights(counts: np.ndarray) -> Tensor:
    """Return ENet's weights of classes, 1 / ln(1.02 + share), from 1.4 to 50.5.

    Args:
        counts: (K,) pixels of each class.
    """
    shares = np.asarray(counts, np.float64) / max(1, np.sum(counts))
    return torch.from_numpy(1 / np.log(_ENET + shares)).float()
