"""Which digits property prediction asks for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from seqchem.collating import leading_places, mask_properties, number_places, number_region, permutation_mask
from seqchem.tokenizers import ExpressionTokenizer

Encode = Callable[..., torch.Tensor]
TokensAt = Callable[..., list[list[str]]]


def numbers(text: str, name: str) -> list[str]:
    """Characters of a property's number in a text."""
    _, found, rest = text.partition(f"<{name}>")
    return list(rest.partition("|")[0]) if found else []


TEXTS = ("<qed>0.727|CCO", "<logp>-1.25|<qed>0.05|C(=O)c1c", "<logp>+2.50|C", "CCN", "<qed>0.9|<logp>-0.75|N")


@pytest.mark.parametrize("names", [["qed"], ["logp"], ["qed", "logp"]])
def test_all_of_the_number_is_masked_and_nothing_else(
    tokenizer: ExpressionTokenizer, encode: Encode, tokens_at: TokensAt, names: list[str]
) -> None:
    ids = encode(*TEXTS)
    generator = torch.Generator().manual_seed(0)
    batch = mask_properties(ids, tokenizer, [tokenizer.property_id(name) for name in names], generator=generator)
    for text, found in zip(TEXTS, tokens_at(ids, batch.asked), strict=True):
        order = sorted(names, key=text.find)
        assert [token.split("_")[1] for token in found] == [one for name in order for one in numbers(text, name)]
    assert torch.equal(batch.labels[batch.asked], ids[batch.asked])
    assert (batch.labels[~batch.asked] == -100).all()
    assert batch.perm_mask is not None
    sees = (batch.perm_mask == 0)[0][batch.asked[0]][:, batch.asked[0]]
    assert sorted(sees.sum(1).tolist()) == list(range(int(batch.asked[0].sum())))


def test_each_row_is_asked_for_its_own_properties(
    tokenizer: ExpressionTokenizer, encode: Encode, tokens_at: TokensAt
) -> None:
    ids = encode(*TEXTS)
    qed, logp = tokenizer.property_id("qed"), tokenizer.property_id("logp")
    asked = torch.tensor([qed, logp, qed, -1, logp])
    batch = mask_properties(ids, tokenizer, asked, order="forward")
    wanted = [numbers(text, name) for text, name in zip(TEXTS, ["qed", "logp", "qed", "none", "logp"], strict=True)]
    assert [len(number) for number in wanted] == [5, 5, 0, 0, 5]
    found = [[token.split("_")[1] for token in row] for row in tokens_at(ids, batch.asked)]
    assert found == wanted
    both = mask_properties(ids, tokenizer, torch.tensor([[qed, logp]]).repeat(5, 1), order="forward")
    assert torch.equal(both.asked, mask_properties(ids, tokenizer, [qed, logp], order="forward").asked)


def test_published_properties_have_separate_orders(tokenizer: ExpressionTokenizer, encode: Encode) -> None:
    ids = encode("<qed>0.727|<logp>-1.25|CC", "<logp>+0.50|<qed>0.111|CO")
    properties = [tokenizer.property_id("qed"), tokenizer.property_id("logp")]
    generator = torch.Generator().manual_seed(4)
    batch = mask_properties(ids, tokenizer, properties, generator=generator, published=True)
    again = torch.Generator().manual_seed(4)
    single = [permutation_mask(number_region(ids, tokenizer, one), generator=again, halves=True) for one in properties]
    assert batch.perm_mask is not None
    assert torch.equal(batch.perm_mask, torch.maximum(*single))
    first, second = (number_region(ids, tokenizer, one)[0] for one in properties)
    assert batch.perm_mask[0][first][:, second].all()
    assert batch.perm_mask[0][second][:, first].all()


@pytest.mark.parametrize("kept", [0, 1, 3, 4, 9])
def test_leading_places_stay_visible_but_one_is_always_asked(
    tokenizer: ExpressionTokenizer, encode: Encode, tokens_at: TokensAt, kept: int
) -> None:
    ids = encode("<qed>0.727|CCO", "<logp>-1.25|C", "CC")
    properties = [tokenizer.property_id("qed"), tokenizer.property_id("logp")]
    batch = mask_properties(ids, tokenizer, properties, keep_leading=kept, order="hidden")
    wanted = [list(text[min(kept, len(text) - 1) :]) for text in ("0.727", "-1.25")]
    found = [[token.split("_")[1] for token in row] for row in tokens_at(ids, batch.asked)]
    assert found == [*wanted, []]
    rows = mask_properties(ids, tokenizer, properties, keep_leading=torch.tensor([kept, 0, 2]), order="hidden")
    assert torch.equal(rows.asked[0], batch.asked[0])
    assert int(rows.asked[1].sum()) == 5


def test_leading_places_are_drawn_evenly(tokenizer: ExpressionTokenizer, encode: Encode) -> None:
    ids = encode(*["<qed>0.727|CCO"] * 3000, "CC", "<qed>1|C")
    qed = tokenizer.property_id("qed")
    generator = torch.Generator().manual_seed(0)
    drawn = leading_places(ids, tokenizer, [qed], 0.6, generator)
    assert drawn[3000:].tolist() == [0, 0]
    counts = torch.bincount(drawn[:3000], minlength=6).double()
    expected = torch.tensor([0.4, 0.15, 0.15, 0.15, 0.15, 0.0]) * 3000
    assert counts[5] == 0
    # Chi-square with 4 degrees of freedom: below 18.5 with probability 0.999.
    assert (((counts - expected) ** 2)[:5] / expected[:5]).sum() < 18.5
    assert not leading_places(ids, tokenizer, [qed], 0.0, generator).any()


def test_offsets_choose_places_of_each_number(
    tokenizer: ExpressionTokenizer, encode: Encode, tokens_at: TokensAt
) -> None:
    ids = encode("<qed>0.727|<logp>-1.2|C", "<logp>+3|<qed>0.1|N")
    properties = [tokenizer.property_id("qed"), tokenizer.property_id("logp")]
    batch = mask_properties(ids, tokenizer, properties, offsets=[[2, 4, 7], None], order="hidden")
    found = [[token.split("_")[1] for token in row] for row in tokens_at(ids, batch.asked)]
    assert found == [["7", "7", "-", "1", ".", "2"], ["+", "3", "1"]]


def test_a_property_that_stands_twice(tokenizer: ExpressionTokenizer, encode: Encode) -> None:
    ids = encode("<qed>0.1|C", "<qed>0.2|<qed>0.3|C")
    qed = tokenizer.property_id("qed")
    with pytest.raises(ValueError, match="row 1"):
        mask_properties(ids, tokenizer, [qed], duplicates="error", order="hidden")
    batch = mask_properties(ids, tokenizer, [qed], order="hidden")
    assert batch.asked.sum(1).tolist() == [3, 3]
    with pytest.raises(ValueError, match="empty"):
        mask_properties(ids, tokenizer, [])


def test_a_number_without_a_separator_ends_with_the_row(tokenizer: ExpressionTokenizer) -> None:
    number = [tokenizer.vocabulary.index(token) for token in ("_0_0_", "_._", "_5_-1_")]
    row = [tokenizer.cls_token_id, tokenizer.property_id("qed"), *number, tokenizer.sep_token_id]
    ids = torch.tensor([[*row, tokenizer.pad_token_id, tokenizer.pad_token_id]])
    assert number_region(ids, tokenizer, tokenizer.property_id("qed"))[0].nonzero()[:, 0].tolist() == [2, 3, 4]


def test_places_of_a_number(tokenizer: ExpressionTokenizer, encode: Encode) -> None:
    ids = encode("<qed>0.72|CCO", "<logp>+1|<qed>0.05|C")
    qed = tokenizer.property_id("qed")
    assert number_places(ids, tokenizer, qed, 4).tolist() == [[2, 3, 4, 5], [6, 7, 8, 9]]
    with pytest.raises(ValueError, match="row 0 has 4 tokens"):
        number_places(ids, tokenizer, qed, 5)
    with pytest.raises(ValueError, match="row 0 has 0 tokens"):
        number_places(ids, tokenizer, tokenizer.property_id("logp"), 2)
