"""Losses of the Regression Transformer (arXiv 2202.01338) and the batch of its self-consistency step.

    loss = property_loss(logits, batch.position_labels())
    loss = conditional_loss(logits, batch.position_labels(), length=batch.input_ids.shape[1])
    again = self_consistency_batch(batch, logits, tokenizer, asked, generator=generator)
    loss = loss + weight * self_consistency_loss(logits_of(again), again.position_labels(), length=...)

Logits come at all positions (B, T, V), or only at the asked ones (B, P, V) beside `RTBatch.position_labels`. The
published losses are not on one scale: that of property prediction is a mean over masked tokens, those of conditional
generation are means over all T tokens, unmasked ones counting 0; `reduction` chooses. A batch in which nothing is
asked has the loss 0 and zero gradients.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from seqchem.collating.batch import RTBatch, SpecialIds
from seqchem.collating.draws import Draws
from seqchem.collating.permutation import Order
from seqchem.collating.properties import Properties, mask_properties
from seqsuite.objectives import IGNORE

LossReduction = Literal["masked", "positions", "rows"]
"""Mean over the masked tokens of the batch; over all T positions, unmasked ones counting 0; over the masked tokens of
each row and then over the rows that have any."""


def property_loss(logits: Tensor, labels: Tensor, *, reduction: LossReduction = "masked") -> Tensor:
    """Return the loss of property prediction, a scalar in nats.

    Args:
        logits: (B, P, V), at all positions or at the asked ones.
        labels: (B, P) int64, -100 where nothing is asked.
        reduction: See `LossReduction`; the published one by default.
    """
    return _reduced(logits, labels, None, None, reduction)


def plm_loss(logits: Tensor, labels: Tensor, *, reduction: LossReduction = "masked") -> Tensor:
    """Return the loss of permutation (or masked) language modelling; as `property_loss`."""
    return _reduced(logits, labels, None, None, reduction)


def conditional_loss(
    logits: Tensor,
    labels: Tensor,
    *,
    sample_weights: Tensor | None = None,
    length: int | None = None,
    reduction: LossReduction = "positions",
) -> Tensor:
    """Return the loss of conditional generation, a scalar in nats.

    Args:
        logits: (B, P, V), at all positions or at the asked ones.
        labels: (B, P) int64, -100 where nothing is asked.
        sample_weights: (B,) weight of each row; below 0 the row is made less likely.
        length: T, which "positions" divides by; None: P.
        reduction: See `LossReduction`; the published one by default.
    """
    return _reduced(logits, labels, sample_weights, length, reduction)


def self_consistency_loss(
    logits: Tensor, labels: Tensor, *, length: int | None = None, reduction: LossReduction = "positions"
) -> Tensor:
    """Return the loss of finding the asked property in what was generated for it.

    Args:
        logits: (B, P, V) of the second pass, over the batch of `self_consistency_batch`.
        labels: (B, P) int64, the property's tokens, -100 elsewhere.
        length: T, which "positions" divides by; None: P.
        reduction: See `LossReduction`; the published one by default.
    """
    return _reduced(logits, labels, None, length, reduction)


def filled(batch: RTBatch, logits: Tensor) -> Tensor:
    """Return the rows with the likeliest token at every asked position, (B, T) int64, without gradients.

    Args:
        batch: What was asked.
        logits: (B, T, V) at all positions, or (B, P, V) at `batch.positions()`.

    Raises:
        ValueError: The logits are at neither.
    """
    best = logits.detach().argmax(-1)
    if best.shape == batch.input_ids.shape:
        return torch.where(batch.asked, best, batch.input_ids)
    positions = batch.positions()
    if best.shape != positions.shape:
        raise ValueError(f"logits of {best.shape[1]} positions: the batch asks at {positions.shape[1]}")
    # Rows that ask less are filled up with position 0, which keeps its own token.
    kept = batch.asked.gather(1, positions)
    return batch.input_ids.scatter(1, positions, torch.where(kept, best, batch.input_ids.gather(1, positions)))


def self_consistency_batch(
    batch: RTBatch,
    logits: Tensor,
    tokens: SpecialIds,
    properties: Properties,
    *,
    order: Order = "random",
    generator: Draws | None = None,
    randperm: Tensor | None = None,
    published: bool = False,
) -> RTBatch:
    """Return the batch that asks for the properties of what was just generated.

    The likeliest tokens take the masked places (no sampling, no gradient), and the properties, which were visible,
    are masked in their place.

    Args:
        batch: A batch of `mask_conditional`.
        logits: What the model gave for it; see `filled`.
        tokens: The special ids.
        properties: Ids of the properties; see `mask_properties`.
        order: How masked tokens see each other; see `mask_properties`, as for the next three.
        generator: Draws the order.
        randperm: In its place.
        published: See `mask_properties`.
    """
    return mask_properties(
        filled(batch, logits),
        tokens,
        properties,
        order=order,
        generator=generator,
        randperm=randperm,
        published=published,
    )


def _reduced(
    logits: Tensor, labels: Tensor, weights: Tensor | None, length: int | None, reduction: LossReduction
) -> Tensor:
    work = logits if logits.dtype == torch.float64 else logits.float()
    kept = labels != IGNORE
    each = F.cross_entropy(work.flatten(0, 1), labels.flatten(), ignore_index=IGNORE, reduction="none").view_as(labels)
    if weights is not None:
        each = each * weights.to(each.dtype)[:, None]
    if reduction == "masked":
        return each.sum() / kept.sum().clamp(min=1)
    if reduction == "rows":
        counts = kept.sum(1)
        return (each.sum(1) / counts.clamp(min=1)).sum() / (counts > 0).sum().clamp(min=1)
    if reduction == "positions":
        return each.sum(1).mean() / (labels.shape[1] if length is None else length)
    raise ValueError(f"reduction must be masked, positions or rows, not {reduction!r}")
