"""All rows' spans at once against a plain loop over the same numbers, and against the published order of draws."""

from __future__ import annotations

import pytest
import torch
from transformers import DataCollatorForPermutationLanguageModeling

from seqchem.collating import draw_spans, mask_plm, published_spans
from seqchem.tokenizers import ExpressionTokenizer


def looped(
    start: int, end: int, length: int, probability: float, max_span: int, draws: list[list[float]]
) -> list[bool]:
    """Walk a region as the published code does, with uniform numbers in place of drawn integers."""
    masked, place, pairs = [False] * length, start, iter(draws)
    while place < end:
        first, second = next(pairs)
        span = min(1 + int(first * max_span), end - place)
        context = int(span / probability)
        begin = place + int(second * (context - span + 1))
        begin = max(min(begin, end - span), place)
        for index in range(begin, begin + span):
            masked[index] = True
        place += context
    return masked


@pytest.mark.parametrize(("probability", "max_span"), [(1 / 6, 5), (0.4, 12), (0.4, 7), (1.0, 7), (0.9, 1), (0.13, 3)])
def test_all_rows_at_once_are_the_loop(probability: float, max_span: int) -> None:
    draw = torch.Generator().manual_seed(0)
    rows, length = 200, 37
    start = torch.randint(0, 12, (rows,), generator=draw)
    end = (start + torch.randint(0, 30, (rows,), generator=draw)).clamp(max=length)
    draws = torch.rand(rows, length, 2, generator=draw, dtype=torch.float64)
    found = draw_spans(start, end, length, probability=probability, max_span=max_span, draws=draws)
    for row in range(rows):
        first, last = int(start[row]), int(end[row])
        assert found[row].tolist() == looped(first, last, length, probability, max_span, draws[row].tolist())
    assert torch.equal(found.any(1), end > start)


def test_both_ways_of_drawing_mask_equally_often() -> None:
    rows, length = 4000, 30
    options = {"probability": 0.4, "max_span": 7}
    bounds = torch.full((rows,), 3), torch.full((rows,), 28)
    fast = draw_spans(*bounds, length, generator=torch.Generator().manual_seed(1), **options).double()  # type: ignore[arg-type]
    one = torch.Generator().manual_seed(2)
    slow = torch.stack(
        [published_spans(3, 28, length, generator=one, **options) for _ in range(rows)]  # type: ignore[arg-type]
    ).double()
    # Shares of 4000 rows at each position differ by less than 4.5 standard errors of their difference.
    gap = (fast.mean(0) - slow.mean(0)).abs()
    assert (gap <= 4.5 * (0.25 * 2 / rows) ** 0.5).all()
    assert not fast[:, :3].any()
    assert not fast[:, 28:].any()
    assert fast[:, 27].any()


def test_what_has_no_meaning_is_refused() -> None:
    place = torch.zeros(1, dtype=torch.int64)
    draw = torch.Generator()
    with pytest.raises(ValueError, match="probability"):
        draw_spans(place, place + 4, 5, probability=0, max_span=3, generator=draw)
    with pytest.raises(ValueError, match="probability"):
        published_spans(0, 4, 5, probability=1.5, max_span=3, generator=draw)
    with pytest.raises(ValueError, match="max_span"):
        draw_spans(place, place + 4, 5, probability=0.5, max_span=0, generator=draw)
    with pytest.raises(ValueError, match="generator"):
        draw_spans(place, place + 4, 5, probability=0.5, max_span=2)


class Peer:
    """What the public collator asks of a tokenizer."""

    mask_token, pad_token = "[MASK]", "[PAD]"

    def __init__(self, tokenizer: ExpressionTokenizer) -> None:
        self.mask_token_id, self.pad_token_id = tokenizer.mask_token_id, tokenizer.pad_token_id
        self.specials = (tokenizer.cls_token_id, tokenizer.sep_token_id)

    def get_special_tokens_mask(self, ids: list[int], already_has_special_tokens: bool) -> list[int]:
        return [int(one in self.specials) for one in ids]


@pytest.mark.parametrize("seed", range(5))
def test_the_published_plm_is_that_of_transformers(
    tokenizer: ExpressionTokenizer, encode: object, random_texts: object, seed: int
) -> None:
    ids = encode(*random_texts(6, seed))  # type: ignore[operator]
    peer = DataCollatorForPermutationLanguageModeling(Peer(tokenizer), plm_probability=0.3, max_span_length=4)  # type: ignore[arg-type]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        inputs, perm_mask, mapping, labels = peer.torch_mask_tokens(ids.clone())
    generator = torch.Generator().manual_seed(seed)
    batch = mask_plm(ids, tokenizer, probability=0.3, max_span=4, generator=generator, published=True)
    assert torch.equal(batch.input_ids, inputs)
    assert torch.equal(batch.labels, labels)
    assert torch.equal(mapping, torch.eye(ids.shape[1]).expand_as(mapping))
    # Later versions of the peer let special tokens and padding see masked ones; the published ones did not.
    plain = ~torch.isin(ids, torch.tensor([tokenizer.pad_token_id, *peer.tokenizer.specials]))  # type: ignore[attr-defined]
    assert batch.perm_mask is not None
    assert torch.equal(batch.perm_mask[plain], perm_mask[plain])
