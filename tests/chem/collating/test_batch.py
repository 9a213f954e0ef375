"""Padding, attention and the cheap list of asked positions."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from seqchem.collating import RTBatch, attended, mask_positions, mask_properties, pad_rows
from seqchem.tokenizers import ExpressionTokenizer
from seqsuite.objectives import IGNORE


def test_rows_are_filled_up_behind_to_an_even_length() -> None:
    rows = [[2, 7, 3], [2, 7, 8, 9, 3]]
    even = pad_rows(rows, 1)
    assert even.tolist() == [[2, 7, 3, 1, 1, 1], [2, 7, 8, 9, 3, 1]]
    assert pad_rows(rows, 1, even=False).tolist() == [[2, 7, 3, 1, 1], [2, 7, 8, 9, 3]]
    assert even.dtype == torch.int64
    assert pad_rows([[], [4]], 0).tolist() == [[0, 0], [4, 0]]


def test_no_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one row"):
        pad_rows([], 0)


def test_padding_is_never_attended_whatever_its_id(
    late_pad: ExpressionTokenizer, encode: Callable[..., torch.Tensor]
) -> None:
    ids = encode("<qed>0.500|CCO", "<qed>0.500|CCOCCO", by=late_pad)
    assert late_pad.pad_token_id == 1
    batch = mask_properties(ids, late_pad, [late_pad.property_id("qed")], order="forward")
    assert torch.equal(batch.attention_mask == 0, ids == 1)
    assert (ids == 1).any()
    # The published rule looks for id 0 and attends to this padding.
    assert attended(ids, late_pad.pad_token_id, published=True).all()


def test_positions_are_the_asked_ones_in_reading_order(tokenizer: ExpressionTokenizer) -> None:
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(20, 60, (7, 12), generator=draw)
    masked = torch.rand(7, 12, generator=draw) < 0.4
    masked[3] = False
    batch = mask_positions(ids, masked, tokenizer, order="none")
    positions, labels = batch.positions(), batch.position_labels()
    assert positions.shape == labels.shape == (7, int(masked.sum(1).max()))
    for row in range(7):
        wanted = masked[row].nonzero()[:, 0].tolist()
        count = len(wanted)
        assert positions[row].tolist() == wanted + [0] * (positions.shape[1] - count)
        assert labels[row].tolist() == ids[row, wanted].tolist() + [IGNORE] * (positions.shape[1] - count)
    assert torch.equal(batch.input_ids == tokenizer.mask_token_id, masked)
    assert torch.equal(batch.input_ids[~masked], ids[~masked])
    assert batch.perm_mask is None


def test_a_batch_that_asks_for_nothing_still_has_a_position(tokenizer: ExpressionTokenizer) -> None:
    ids = torch.full((2, 4), 20)
    batch = mask_positions(ids, torch.zeros(2, 4, dtype=torch.bool), tokenizer, order="none")
    assert batch.positions().tolist() == [[0], [0]]
    assert batch.position_labels().tolist() == [[IGNORE], [IGNORE]]


def test_positions_follow_the_labels_where_no_mask_is_kept() -> None:
    labels = torch.tensor([[IGNORE, 5, 6], [7, IGNORE, IGNORE]])
    batch = RTBatch(torch.zeros(2, 3, dtype=torch.int64), torch.ones(2, 3), None, labels, torch.ones(2))
    assert batch.positions().tolist() == [[1, 2], [0, 0]]
    assert batch.position_labels().tolist() == [[5, 6], [7, IGNORE]]
    assert batch.to("cpu").real_property is None
