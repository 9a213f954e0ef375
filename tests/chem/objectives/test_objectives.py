"""Losses against plain loops, on both forms of logits, and the self-consistency batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from seqchem.collating import RTBatch, SpecialTokens, mask_conditional, mask_positions
from seqchem.objectives import (
    conditional_loss,
    filled,
    plm_loss,
    property_loss,
    self_consistency_batch,
    self_consistency_loss,
)

TOKENS = SpecialTokens(0, 1, 2, 3, 4, 5)
QED, VOCABULARY = 6, 30


@pytest.fixture
def batch() -> RTBatch:
    generator = torch.Generator().manual_seed(0)
    text = torch.randint(10, VOCABULARY, (5, 9), generator=generator)
    head = torch.tensor([2, QED, 7, 8, 9, 5]).expand(5, -1)
    ids = torch.cat((head, text, torch.full((5, 1), 3)), 1)
    masked = torch.zeros_like(ids, dtype=torch.bool)
    masked[:, 6:15] = torch.rand(5, 9, generator=generator) < 0.4
    masked[2] = False
    return mask_positions(ids, masked, TOKENS, order="forward")


@pytest.fixture
def logits(batch: RTBatch) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(*batch.input_ids.shape, VOCABULARY, generator=generator, dtype=torch.float64, requires_grad=True)


def each(logits: Tensor, labels: Tensor) -> list[list[float]]:
    """Cross entropy of every asked token, row by row."""
    chances = logits.detach().exp() / logits.detach().exp().sum(-1, keepdim=True)
    return [
        [-float(chances[row, place, label].log()) for place, label in enumerate(line) if label != -100]
        for row, line in enumerate(labels.tolist())
    ]


def test_the_losses_are_what_their_names_say(batch: RTBatch, logits: Tensor) -> None:
    rows, length = batch.labels.shape
    parts = each(logits, batch.labels)
    weights = torch.tensor([1.0, 0.5, 2.0, -0.3, 1.0], dtype=torch.float64)
    total = sum(map(sum, parts))
    masked = total / sum(map(len, parts))
    positions = total / (rows * length)
    weighted = sum(w * sum(part) / length for w, part in zip(weights.tolist(), parts, strict=True)) / rows
    by_row = [sum(part) / len(part) for part in parts if part]
    assert len(by_row) == 4
    labels = batch.labels
    assert property_loss(logits, labels).item() == pytest.approx(masked, rel=1e-12)
    assert plm_loss(logits, labels).item() == pytest.approx(masked, rel=1e-12)
    assert conditional_loss(logits, labels).item() == pytest.approx(positions, rel=1e-12)
    assert self_consistency_loss(logits, labels).item() == pytest.approx(positions, rel=1e-12)
    assert conditional_loss(logits, labels, sample_weights=weights).item() == pytest.approx(weighted, rel=1e-12)
    assert conditional_loss(logits, labels, reduction="rows").item() == pytest.approx(sum(by_row) / 4, rel=1e-12)
    assert conditional_loss(logits, labels, reduction="masked").item() == pytest.approx(masked, rel=1e-12)


@pytest.mark.parametrize("reduction", ["masked", "positions", "rows"])
def test_asked_positions_alone_give_the_same_loss_and_gradient(batch: RTBatch, logits: Tensor, reduction: Any) -> None:
    options: dict[str, Any] = {"sample_weights": torch.rand(5), "reduction": reduction}
    whole = conditional_loss(logits, batch.labels, **options)
    chosen = logits.gather(1, batch.positions()[..., None].expand(-1, -1, VOCABULARY))
    length = batch.labels.shape[1]
    cheap = conditional_loss(chosen, batch.position_labels(), length=length, **options)
    torch.testing.assert_close(cheap, whole, rtol=1e-12, atol=0)
    gradients = [torch.autograd.grad(loss, logits)[0] for loss in (whole, cheap)]
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-12, atol=1e-15)
    assert not gradients[0][2].any()  # the row that is asked for nothing


@pytest.mark.parametrize("reduction", ["masked", "positions", "rows"])
def test_nothing_asked_is_loss_0(logits: Tensor, reduction: Any) -> None:
    labels = torch.full(logits.shape[:2], -100)
    loss = property_loss(logits, labels, reduction=reduction)
    assert loss.item() == 0
    assert not torch.autograd.grad(loss, logits)[0].any()


def test_half_precision_logits_are_summed_in_single() -> None:
    logits = torch.zeros(1, 4, 1000, dtype=torch.bfloat16)
    assert property_loss(logits, torch.zeros(1, 4, dtype=torch.int64)).item() == pytest.approx(6.907755, rel=1e-6)


def test_an_unknown_reduction_is_refused(batch: RTBatch, logits: Tensor) -> None:
    with pytest.raises(ValueError, match="reduction"):
        property_loss(logits, batch.labels, reduction="sum")  # type: ignore[arg-type]


def test_the_likeliest_tokens_take_the_asked_places(batch: RTBatch, logits: Tensor) -> None:
    best = logits.detach().argmax(-1)
    wanted = torch.where(batch.asked, best, batch.input_ids)
    assert torch.equal(filled(batch, logits), wanted)
    chosen = logits.gather(1, batch.positions()[..., None].expand(-1, -1, VOCABULARY))
    assert torch.equal(filled(batch, chosen), wanted)
    assert not filled(batch, logits).requires_grad
    with pytest.raises(ValueError, match="the batch asks at"):
        filled(batch, logits[:, :1])


def test_self_consistency_asks_for_the_property_of_what_was_generated(batch: RTBatch, logits: Tensor) -> None:
    generator = torch.Generator().manual_seed(0)
    again = self_consistency_batch(batch, logits, TOKENS, [QED], generator=generator)
    assert again.positions().tolist() == [[2, 3, 4]] * 5
    assert again.position_labels().tolist() == [[7, 8, 9]] * 5
    generated = filled(batch, logits)
    assert torch.equal(again.input_ids[:, 5:], generated[:, 5:])


def test_a_generated_property_token_changes_nothing(batch: RTBatch, logits: Tensor) -> None:
    with torch.no_grad():
        logits[..., QED] += 100
    again = self_consistency_batch(batch, logits, TOKENS, [QED], order="hidden")
    assert again.positions().tolist() == [[2, 3, 4]] * 5
    assert (again.input_ids[:, 6:] == QED).any()


def test_published_and_sane_batches_give_a_loss_to_train_on() -> None:
    ids = torch.tensor([[2, QED, 7, 8, 9, 5, 11, 12, 13, 14, 15, 3]])
    for published in (False, True):
        made = mask_conditional(ids, TOKENS, generator=torch.Generator().manual_seed(1), published=published)
        logits = torch.zeros(1, 12, VOCABULARY)
        count = int(made.asked.sum())
        expected = count * torch.tensor(float(VOCABULARY)).log() / 12
        torch.testing.assert_close(conditional_loss(logits, made.labels), expected)
