"""Laws of the order in which masked tokens see each other."""

from __future__ import annotations

import pytest
import torch

from seqchem.collating import mask_positions, permutation_mask
from seqchem.tokenizers import ExpressionTokenizer


def masks(rows: int, length: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(rows, length, generator=torch.Generator().manual_seed(seed)) < 0.4


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(1)


@pytest.mark.parametrize("order", ["random", "forward", "hidden"])
def test_unmasked_tokens_are_seen_by_all_and_see_no_masked_one(order: str, generator: torch.Generator) -> None:
    masked = masks(6, 11)
    hidden = permutation_mask(masked, order=order, generator=generator) > 0  # type: ignore[arg-type]
    for row, mask in zip(hidden, masked, strict=True):
        assert not row[:, ~mask].any()
        assert row[~mask][:, mask].all()
        assert row.diagonal()[mask].all()  # what is asked for does not see itself in the query stream


@pytest.mark.parametrize("halves", [False, True])
def test_masked_tokens_are_in_one_total_order(halves: bool, generator: torch.Generator) -> None:
    masked = masks(6, 12)
    sees = permutation_mask(masked, generator=generator, halves=halves) == 0
    for row, mask in zip(sees, masked, strict=True):
        inner = row[mask][:, mask]
        counts = sorted(inner.sum(1).tolist())
        assert counts == list(range(int(mask.sum())))  # the k-th sees the k before it: a strict total order


def test_published_halves_come_one_after_the_other_with_one_permutation() -> None:
    drawn = torch.tensor([[2, 0, 3, 1]])
    masked = torch.ones(1, 8, dtype=torch.bool)
    sees = permutation_mask(masked, randperm=drawn)[0] == 0
    place = [2, 0, 3, 1, 6, 4, 7, 5]
    assert sees.tolist() == [[place[i] > place[j] for j in range(8)] for i in range(8)]


def test_every_order_is_equally_likely() -> None:
    masked = torch.tensor([False, True, True, False, True]).expand(6000, -1)
    sees = permutation_mask(masked, generator=torch.Generator().manual_seed(3)) == 0
    inner = sees[:, [1, 2, 4]][:, :, [1, 2, 4]]
    _, counts = torch.unique(inner.sum(2), dim=0, return_counts=True)
    assert len(counts) == 6
    # Six orders of 1000 expected: chi-square with 5 degrees of freedom is below 20.5 with probability 0.999.
    assert ((counts - 1000.0) ** 2 / 1000).sum() < 20.5


def test_reading_order_draws_nothing() -> None:
    masked = torch.tensor([[True, False, True, True]])
    sees = permutation_mask(masked, order="forward")[0] == 0
    assert sees[0].tolist() == [False, True, False, False]
    assert sees[2].tolist() == [True, True, False, False]
    assert sees[3].tolist() == [True, True, True, False]


def test_hidden_shows_no_masked_token_to_anybody() -> None:
    masked = masks(3, 9)
    assert torch.equal(permutation_mask(masked, order="hidden") > 0, masked[:, None, :].expand(-1, 9, -1))


@pytest.mark.parametrize("order", ["random", "forward", "hidden"])
def test_nothing_goes_round_the_order_through_functional_tokens(order: str, generator: torch.Generator) -> None:
    """In as many layers as one likes a query learns only of masked tokens that come before it."""
    masked = masks(8, 10, seed=5)
    functional = torch.zeros_like(masked)
    functional[:, 0] = functional[:, -1] = True
    masked &= ~functional
    places = torch.rand(8, 10, generator=generator)
    hidden = permutation_mask(masked, order=order, randperm=places, functional=functional) > 0  # type: ignore[arg-type]
    before = permutation_mask(masked, order=order, randperm=places) == 0  # type: ignore[arg-type]
    eye = torch.eye(10, dtype=torch.bool)
    shown = 0
    for row in range(8):
        content = ~hidden[row] | eye  # the content stream sees itself
        reached = content.float()
        for _ in range(10):
            reached = ((reached @ content.float()) > 0).float()
        queries = (~hidden[row]).float() @ reached > 0
        for place in masked[row].nonzero()[:, 0].tolist():
            allowed = before[row, place] & masked[row]
            assert not (queries[place] & masked[row] & ~allowed).any()
        shown += int((~hidden[row][functional[row]][:, masked[row]]).sum())
        assert (~hidden[row]).diagonal()[functional[row]].all()
    assert (shown > 0) == (order != "hidden")  # functional tokens do see masked ones before them


def test_specials_take_places_only_if_asked(tokenizer: ExpressionTokenizer) -> None:
    ids = torch.tensor([[tokenizer.cls_token_id, 20, 21, 22, tokenizer.sep_token_id, tokenizer.pad_token_id]])
    masked = torch.tensor([[False, True, True, False, False, False]])
    plain = mask_positions(ids, masked, tokenizer, order="forward")
    ordered = mask_positions(ids, masked, tokenizer, order="forward", ordered_specials=True)
    assert plain.perm_mask is not None
    assert ordered.perm_mask is not None
    assert plain.perm_mask[0, 4].tolist() == [0, 1, 1, 0, 0, 0]
    assert ordered.perm_mask[0, 4].tolist() == [0, 0, 0, 0, 0, 0]
    assert ordered.perm_mask[0, :, 4].tolist() == [1, 1, 1, 1, 0, 1]


def test_rows_with_their_own_generators_do_not_depend_on_batch_or_padding() -> None:
    masked = masks(5, 9, seed=7)

    def draws(rows: list[int]) -> list[torch.Generator]:
        return [torch.Generator().manual_seed(row) for row in rows]

    whole = permutation_mask(masked, generator=draws([0, 1, 2, 3, 4]))
    padded = torch.cat((masked[[3, 1]], torch.zeros(2, 4, dtype=torch.bool)), 1)
    assert torch.equal(permutation_mask(padded, generator=draws([3, 1]))[:, :9, :9], whole[[3, 1]])


def test_what_cannot_be_drawn_is_refused(generator: torch.Generator) -> None:
    masked = masks(2, 5)
    with pytest.raises(ValueError, match="generator"):
        permutation_mask(masked)
    with pytest.raises(ValueError, match="no halves"):
        permutation_mask(masked, generator=generator, halves=True)
    with pytest.raises(ValueError, match="3 generators for 2 rows"):
        permutation_mask(masked, generator=[generator] * 3)
    with pytest.raises(ValueError, match="randperm must be"):
        permutation_mask(masks(2, 6), randperm=torch.zeros(2, 4))
