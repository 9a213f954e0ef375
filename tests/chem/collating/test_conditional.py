"""What pretraining and conditional generation ask for, and what they never do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from seqchem.collating import (
    RTBatch,
    entity_numbers,
    mask_conditional,
    mask_entities,
    mask_plm,
    special_positions,
    text_region,
)
from seqchem.tokenizers import ExpressionTokenizer

Encode = Callable[..., torch.Tensor]
Texts = Callable[..., list[str]]
TokensAt = Callable[..., list[list[str]]]


def own_generators(count: int, first: int = 0) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(first + row) for row in range(count)]


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_the_text_is_what_follows_the_last_separator(
    tokenizer: ExpressionTokenizer, encode: Encode, tokens_at: TokensAt
) -> None:
    texts = ("<qed>0.7|CC(=O)N", "<qed>0.7|<logp>-1|c1nn", "CO", "<qed>0.5|", "<qed>0.5|CXC")
    found = tokens_at(encode(*texts), text_region(encode(*texts), tokenizer))
    assert [*map("".join, found)] == ["CC(=O)N", "c1nn", "CO", "", "CC"]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("mode", ["plm", "conditional", "entities"])
def test_specials_are_never_masked_and_something_always_is(
    tokenizer: ExpressionTokenizer,
    late_pad: ExpressionTokenizer,
    random_texts: Texts,
    encode: Encode,
    mode: str,
    seed: int,
) -> None:
    for own in (tokenizer, late_pad):
        generator = torch.Generator().manual_seed(seed)
        ids = encode(*random_texts(40, seed), by=own)
        text = text_region(ids, own)
        unknown = text & (torch.rand(ids.shape, generator=generator) < 0.3)
        ids = ids.masked_fill(unknown, own.unk_token_id)
        options: dict[str, Any] = {"probability": 0.4, "max_span": 6, "generator": generator}
        if mode == "entities":
            batch = mask_entities(ids, own, [own.vocabulary.index(".")], **options)
        else:
            batch = {"plm": mask_plm, "conditional": mask_conditional}[mode](ids, own, **options)
        special = special_positions(ids, own)
        assert not (batch.asked & special).any()
        region = ids != own.pad_token_id if mode == "plm" else text
        free = region & ~special
        assert torch.equal(batch.asked.any(1), free.any(1))
        assert not (batch.asked & ~region).any()
        assert unknown.sum() > 0
        assert free.any(1).sum() > 20


def test_every_token_of_the_text_is_masked_at_some_time(
    tokenizer: ExpressionTokenizer, encode: Encode, generator: torch.Generator
) -> None:
    ids = encode(*["<qed>0.7|CC(=O)Nc1nnC", "<qed>0.7|CC(=O)Nc"] * 200)
    options: dict[str, Any] = {"probability": 0.4, "max_span": 5, "generator": generator}
    masked = mask_conditional(ids, tokenizer, **options).asked
    text = text_region(ids, tokenizer)
    for parity in (0, 1):
        assert torch.equal(masked[parity::2].any(0), text[parity])
    for entity, own in ((0, "CC"), (1, "NO("), (2, "F")):
        rows = encode(*["<qed>0.7|CC.NO(.F"] * 300)
        numbers = entity_numbers(rows, tokenizer, [tokenizer.vocabulary.index(".")])
        found = mask_entities(rows, tokenizer, [tokenizer.vocabulary.index(".")], entity=entity, **options).asked
        assert torch.equal(found.any(0), numbers[0] == entity)
        assert int((numbers[0] == entity).sum()) == len(own)


def test_the_published_draws_leave_short_texts_and_last_tokens_alone(
    tokenizer: ExpressionTokenizer, encode: Encode, generator: torch.Generator
) -> None:
    options: dict[str, Any] = {"probability": 1 / 6, "max_span": 5, "generator": generator, "published": True}
    ids = encode(*["<qed>0.7|C"] * 200, "<qed>0.7|" + "C" * 30)
    asked = mask_conditional(ids, tokenizer, **options).asked[:200].any(1)
    assert 0 < int(asked.sum()) < 200
    dot = [tokenizer.vocabulary.index(".")]
    rows = encode(*["<qed>0.7|CC.NO(.F"] * 300)
    published = {**options, "probability": 1.0}
    own = (entity_numbers(rows[:1], tokenizer, dot)[0] == 1).nonzero()[:, 0].tolist()
    seen = mask_entities(rows, tokenizer, dot, entity=1, **published).asked.any(0)
    assert seen.nonzero()[:, 0].tolist() == own[:-1]
    with pytest.raises(ValueError, match="needs an entity"):
        mask_entities(rows, tokenizer, dot, **published)
    with pytest.raises(ValueError, match="one generator"):
        mask_conditional(ids, tokenizer, generator=own_generators(len(ids)), published=True)


def test_what_is_kept_is_not_masked(tokenizer: ExpressionTokenizer, encode: Encode, generator: torch.Generator) -> None:
    ids = encode(*["<qed>0.7|CC(=O)N"] * 50)
    text = text_region(ids, tokenizer)
    keep = text.clone()
    place = int(text[0].nonzero()[3, 0])
    keep[:, place] = False
    batch = mask_conditional(ids, tokenizer, keep=keep, generator=generator)
    assert torch.equal(batch.asked, text & ~keep)
    assert not mask_conditional(ids, tokenizer, keep=text, generator=generator).asked.any()


@pytest.mark.parametrize(
    ("entity", "wanted"),
    [(0, ["CC", "c1c", "N"]), (1, ["O", "N", ""]), (2, ["", "F", ""]), (-1, ["O", "F", "N"]), (-2, ["CC", "N", ""])],
)
def test_a_whole_entity(
    tokenizer: ExpressionTokenizer, encode: Encode, tokens_at: TokensAt, entity: int, wanted: list[str]
) -> None:
    ids = encode("<qed>0.7|CC.O", "<qed>0.7|c1c.N.F", "<qed>0.7|N")
    dot = [tokenizer.vocabulary.index(".")]
    batch = mask_entities(ids, tokenizer, dot, entity=entity, whole=True, order="forward")
    assert [*map("".join, tokens_at(ids, batch.asked))] == wanted


def test_each_row_draws_one_of_its_entities(
    tokenizer: ExpressionTokenizer, encode: Encode, generator: torch.Generator
) -> None:
    ids = encode(*["<qed>0.7|CC.NO.F"] * 900, *["<qed>0.7|CC"] * 5, "<qed>0.7|")
    dot = [tokenizer.vocabulary.index(".")]
    batch = mask_entities(ids, tokenizer, dot, whole=True, generator=generator, order="none")
    numbers = entity_numbers(ids, tokenizer, dot)
    drawn = numbers.masked_fill(~batch.asked, -1).amax(1)
    assert all(len(set(row[mask].tolist())) <= 1 for row, mask in zip(numbers, batch.asked, strict=True))
    assert drawn[900:].tolist() == [0, 0, 0, 0, 0, -1]
    counts = torch.bincount(drawn[:900], minlength=3).double()
    assert ((counts - 300) ** 2 / 300).sum() < 13.8  # chi-square, 2 degrees of freedom, 0.999


@pytest.mark.parametrize("collate", [mask_plm, mask_conditional])
def test_rows_with_their_own_generators_do_not_depend_on_batch_or_padding(
    tokenizer: ExpressionTokenizer, encode: Encode, random_texts: Texts, collate: Callable[..., RTBatch]
) -> None:
    texts = random_texts(6, 3)
    whole = collate(encode(*texts, "<qed>0.5|" + "C" * 60), tokenizer, generator=own_generators(7))
    alone = collate(encode(texts[4], texts[2]), tokenizer, generator=[*own_generators(1, 4), *own_generators(1, 2)])
    length = alone.input_ids.shape[1]
    assert torch.equal(whole.input_ids[[4, 2], :length], alone.input_ids)
    assert torch.equal(whole.labels[[4, 2], :length], alone.labels)
    assert whole.perm_mask is not None
    assert alone.perm_mask is not None
    assert torch.equal(whole.perm_mask[[4, 2], :length, :length], alone.perm_mask)


def test_the_same_seed_gives_the_same_batch(
    tokenizer: ExpressionTokenizer, encode: Encode, random_texts: Texts
) -> None:
    ids = encode(*random_texts(8, 1))
    first, again, other = (
        mask_conditional(ids, tokenizer, generator=torch.Generator().manual_seed(seed)) for seed in (5, 5, 6)
    )
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True) if a is not None and b is not None)
    assert not torch.equal(first.asked, other.asked)


def test_weights_and_values_are_handed_on(
    tokenizer: ExpressionTokenizer, encode: Encode, generator: torch.Generator
) -> None:
    ids = encode("<qed>0.7|CC", "<qed>0.2|CO")
    weights, values = torch.tensor([1.0, -0.5]), torch.tensor([[0.7], [0.2]])
    batch = mask_conditional(
        ids, tokenizer, generator=generator, sample_weights=weights, real_property=values, order="none"
    )
    assert torch.equal(batch.sample_weights, weights)
    assert batch.real_property is values
    assert mask_plm(ids, tokenizer, generator=generator).sample_weights.tolist() == [1, 1]
