"""Rows of evaluation and generation."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from seqchem.collating import cross_primers, mask_prefilled, prime, read_numbers, resampled_weights
from seqchem.tokenizers import ExpressionTokenizer

Encode = Callable[..., torch.Tensor]


def test_masks_that_are_there_are_asked_for(tokenizer: ExpressionTokenizer, encode: Encode) -> None:
    answers = encode("<qed>0.72|CCO")
    ids = answers.clone()
    ids[0, [3, 8]] = tokenizer.mask_token_id
    batch = mask_prefilled(ids, tokenizer)
    assert batch.positions().tolist() == [[3, 8]]
    assert (batch.labels == -100).all()
    assert torch.equal(batch.input_ids, ids)
    known = mask_prefilled(ids, tokenizer, targets=answers)
    assert known.position_labels().tolist() == [answers[0, [3, 8]].tolist()]
    assert batch.perm_mask is not None
    assert batch.perm_mask[0, 8].nonzero()[:, 0].tolist() == [8]
    assert batch.perm_mask[0, 3].nonzero()[:, 0].tolist() == [3, 8]
    assert mask_prefilled(ids, tokenizer, order="none").perm_mask is None


def test_a_number_is_replaced_in_its_place(tokenizer: ExpressionTokenizer, encode: Encode) -> None:
    texts = ("<qed>0.72|CCO", "<logp>-1|<qed>0.05|C")
    ids, qed = encode(*texts), tokenizer.property_id("qed")
    wanted = [tokenizer.vocabulary.index(token) for token in ("_0_0_", "_._", "_9_-1_", "_1_-2_")]
    primed = prime(ids, tokenizer, qed, wanted)
    assert torch.equal(primed, encode("<qed>0.91|CCO", "<logp>-1|<qed>0.91|C"))
    with pytest.raises(ValueError, match="tokens for the number"):
        prime(ids, tokenizer, qed, wanted[:3])


def test_every_row_gets_every_primer_row_by_row(tokenizer: ExpressionTokenizer, encode: Encode) -> None:
    ids, qed = encode("<qed>0.7|CCO", "<qed>0.1|N"), tokenizer.property_id("qed")
    primers = [tokenizer.encode(f"<qed>0.{digit}|")[2:5] for digit in (2, 4, 6)]
    crossed = cross_primers(ids, tokenizer, qed, primers)
    assert torch.equal(crossed, encode(*[f"<qed>0.{digit}|{text}" for text in ("CCO", "N") for digit in (2, 4, 6)]))


def test_numbers_are_read_as_they_are_written(tokenizer: ExpressionTokenizer, encode: Encode) -> None:
    texts = ("<qed>0.727|C", "<logp>-12.05|<qed>1|C", "<logp>+3.5|C", "CC", "<qed>0.[MASK]1|C")
    found = read_numbers(
        encode(*texts), tokenizer, [tokenizer.property_id("qed"), tokenizer.property_id("logp")], tokenizer.vocabulary
    )
    nan = math.nan
    wanted = torch.tensor([[0.727, nan], [1, -12.05], [nan, 3.5], [nan, nan], [nan, nan]], dtype=torch.float64)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12, equal_nan=True)


def test_tokens_without_a_digit_are_no_number(tokenizer: ExpressionTokenizer) -> None:
    row = [tokenizer.vocabulary.index(token) for token in ("[CLS]", "<qed>", "_-_", "_._", "|", "C", "[SEP]")]
    qed = tokenizer.property_id("qed")
    assert read_numbers(torch.tensor([row]), tokenizer, [qed], tokenizer.vocabulary).isnan().all()


def test_weights_fall_from_1_to_minus_1_across_the_range() -> None:
    real = torch.tensor([0.2, 0.2, 0.0])
    sampled = torch.tensor([0.2, 0.7, 1.0])
    torch.testing.assert_close(resampled_weights(real, sampled, 0.0, 1.0), torch.tensor([1.0, 0.0, -1.0]))
    with pytest.raises(ValueError, match="empty"):
        resampled_weights(real, sampled, 1.0, 1.0)
