"""Token losses as sums with counts, so that means over batches and ranks are exact.

    loss = cross_entropy(model(ids), labels)
    loss.mean.backward()
    total += loss                      # over an epoch; total.bits are bits per token

A batch in which every label is ignored has the mean 0 (and zero gradients), not NaN.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from seqsuite.ops import Seq

IGNORE = -100
"""Label of a position that no loss looks at."""


@dataclass(frozen=True)
class Loss:
    """A sum over tokens and what it is divided by.

    Attributes:
        total: Sum of the (weighted) losses, in nats.
        count: Number of tokens, or sum of their weights.
    """

    total: Tensor
    count: Tensor

    @property
    def mean(self) -> Tensor:
        """Nats per token; 0 where no token counts."""
        return self.total / torch.where(self.count > 0, self.count, 1)

    @property
    def bits(self) -> Tensor:
        """Bits per token; 0 where no token counts."""
        return self.mean / math.log(2)

    def __add__(self, other: Loss) -> Loss:
        """Pool with the loss of another batch."""
        return Loss(self.total + other.total, self.count + other.count)


def cross_entropy(
    logits: Tensor, labels: Tensor, *, ignore_index: int = IGNORE, token_weights: Tensor | None = None
) -> Loss:
    """Sum the cross entropy of the labelled positions.

    Args:
        logits: (..., V), in any precision; computed in float32 at least.
        labels: (...) int64, `ignore_index` where nothing is asked.
        ignore_index: The label of such positions.
        token_weights: (...) weight of each position; the mean is over the weights of labelled positions.
    """
    work = logits if logits.dtype == torch.float64 else logits.float()
    kept = labels != ignore_index
    each = F.cross_entropy(
        work.reshape(-1, work.shape[-1]), labels.reshape(-1), ignore_index=ignore_index, reduction="none"
    ).view(labels.shape)
    if token_weights is None:
        return Loss(each.sum(), kept.sum())
    weights = token_weights.to(each.dtype) * kept
    return Loss((each * weights).sum(), weights.sum())


def next_token_labels(tokens: Tensor, *, ignore: Collection[int] = (), seq: Seq | None = None) -> Tensor:
    """Return the labels of next-token prediction: position t asks for token t + 1.

    Args:
        tokens: (B, L) int64.
        ignore: Ids that are never asked for (padding).
        seq: No token is asked for across documents or at padding.

    Returns:
        (B, L) int64; `IGNORE` at the last position and wherever nothing is asked.
    """
    target = tokens[:, 1:]
    asked = torch.ones_like(target, dtype=torch.bool)
    if ignore:
        asked &= ~torch.isin(target, torch.tensor(sorted(ignore), device=tokens.device))
    if seq is not None and seq.valid is not None:
        asked &= seq.valid[:, 1:] & seq.valid[:, :-1]
    if seq is not None and seq.segment is not None:
        asked &= seq.segment[:, 1:] == seq.segment[:, :-1]
    last = torch.full_like(tokens[:, :1], IGNORE)
    return torch.cat((target.masked_fill(~asked, IGNORE), last), dim=1)
