"""Searches and number decoding against plain enumeration."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

import seqsuite
from seqchem.collating import mask_prefilled, number_places, pad_rows
from seqchem.decoding import (
    DecodedNumbers,
    NumberGrammar,
    beam,
    beam_number,
    decode_number,
    digit_distribution,
    greedy,
    model_logits,
    sample,
    sequential,
)
from seqchem.tokenizers import NumberFormat, Tokenizer, build_vocabulary

MASK, VOCABULARY = 1, 24
SLOTS = {
    "signed": (("_+_", "_-_"), ("_0_0_", "_1_0_"), ("_._",), ("_0_-1_", "_4_-1_", "_9_-1_"), ("_2_-2_", "_7_-2_")),
    "plain": (("_0_1_", "_3_1_"), ("_1_0_", "_5_0_", "_6_0_"), ("_._",), ("_0_-1_", "_8_-1_")),
    "constant digit": (("_7_0_",), ("_._",), ("_2_-1_", "_3_-1_", "_9_-1_")),
    "label": (("_0_0_", "_1_0_"),),
}


def grammar_of(name: str, scale: float = 1.0, offset: float = 0.0) -> NumberGrammar:
    count = itertools.count(3)
    ids = [[next(count) for _ in slot] for slot in SLOTS[name]]
    return NumberGrammar.from_slots(SLOTS[name], ids, scale=scale, offset=offset)


def value_of(tokens: Sequence[str]) -> float:
    return float("".join(token.split("_")[1] for token in tokens))


def all_numbers(name: str) -> list[tuple[tuple[int, ...], float]]:
    """Every number of a grammar: which token of each slot, and its value."""
    slots = SLOTS[name]
    return [
        (choice, value_of([slot[index] for slot, index in zip(slots, choice, strict=True)]))
        for choice in itertools.product(*(range(len(slot)) for slot in slots))
    ]


def drawn_logits(rows: int, places: int, seed: int = 0) -> Tensor:
    return 2 * torch.randn(rows, places, VOCABULARY, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def summary(values: Sequence[float], chances: Sequence[float]) -> tuple[float, float]:
    mean = sum(v * p for v, p in zip(values, chances, strict=True))
    return mean, sum(p * (v - mean) ** 2 for v, p in zip(values, chances, strict=True))


class Dependent:
    """A model whose digits depend on those before them: logits from a table of the row so far.

    Attributes:
        calls: Shapes of what it was asked.
    """

    def __init__(self, width: int, start: int, *, strength: float = 1.0) -> None:
        self.width, self.start, self.strength = width, start, strength
        self.calls: list[tuple[int, int]] = []

    def logits(self, row: Sequence[int]) -> Tensor:
        """Logits (S, V) of all places, given the row's tokens with [MASK]s."""
        seed = sum((7 * place + 1) * (token + 2) ** 3 for place, token in enumerate(row) if token != MASK)
        base = torch.randn(self.width, VOCABULARY, generator=torch.Generator().manual_seed(11), dtype=torch.float64)
        more = torch.randn(self.width, VOCABULARY, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        return base + self.strength * more

    def __call__(self, input_ids: Tensor, positions: Tensor) -> Tensor:
        self.calls.append((len(input_ids), positions.shape[1]))
        assert (input_ids.gather(1, positions) == MASK).all()  # what is asked for is masked
        rows = [self.logits(row) for row in input_ids.tolist()]
        return torch.stack([row[where - self.start] for row, where in zip(rows, positions, strict=True)])


def enumerated(model: Dependent, row: list[int], places: list[int], name: str) -> dict[tuple[int, ...], float]:
    """Probability of every number of a grammar in a row, digit by digit."""
    grammar, found = grammar_of(name), {}
    for choice, _ in all_numbers(name):
        current = list(row)
        for place in places:
            current[place] = MASK
        chance = 1.0
        for slot, (place, index) in enumerate(zip(places, choice, strict=True)):
            allowed = grammar.ids[slot]
            shares = model.logits(current)[slot, list(allowed)].softmax(0)
            chance *= float(shares[index])
            current[place] = allowed[index]
        found[choice] = chance
    return found


@pytest.fixture
def places() -> Callable[[str, int], tuple[Tensor, Tensor]]:
    """Rows of some tokens with a number from position 2 on, and its positions."""

    def made(name: str, rows: int) -> tuple[Tensor, Tensor]:
        width = len(SLOTS[name])
        ids = torch.randint(12, 20, (rows, width + 4), generator=torch.Generator().manual_seed(3))
        return ids, torch.arange(2, 2 + width).expand(rows, -1)

    return made


def test_greedy_and_restrictions() -> None:
    logits = drawn_logits(3, 4)
    allowed = torch.zeros(VOCABULARY, dtype=torch.bool)
    allowed[[4, 9]] = True
    assert torch.equal(greedy(logits), logits.argmax(-1))
    assert torch.equal(greedy(logits, allowed=allowed) == 9, logits[..., 9] > logits[..., 4])
    tokens, _ = beam(logits, width=4, allowed=allowed)
    assert set(tokens.flatten().tolist()) <= {4, 9}


@pytest.mark.parametrize("temperature", [0.7, 1.4])
def test_samples_come_from_the_softmax(temperature: float) -> None:
    logits = 0.4 * drawn_logits(1, 1)[..., :5]
    count = 20000
    drawn = sample(
        logits.expand(count, -1, -1), temperature=temperature, generator=torch.Generator().manual_seed(0)
    ).flatten()
    expected = count * (logits[0, 0] / temperature).softmax(0)
    counts = torch.bincount(drawn, minlength=5)
    assert expected.min() > 20
    assert ((counts - expected) ** 2 / expected).sum() < 18.5  # chi-square, 4 degrees of freedom, 0.999


def test_sampling_is_settled_by_its_generator_and_respects_what_is_allowed() -> None:
    logits = drawn_logits(4, 6)
    allowed = torch.zeros(4, 6, VOCABULARY, dtype=torch.bool)
    allowed[..., ::5] = True
    first, again = (sample(logits, generator=torch.Generator().manual_seed(2), allowed=allowed) for _ in range(2))
    assert torch.equal(first, again)
    assert (first % 5 == 0).all()
    cold = sample(logits, generator=torch.Generator(), temperature=0, allowed=allowed)
    assert torch.equal(cold, greedy(logits, allowed=allowed))
    with pytest.raises(ValueError, match="temperature"):
        sample(logits, generator=torch.Generator(), temperature=-1)


@pytest.mark.parametrize("width", [1, 3, 6])
def test_the_beam_is_the_best_of_all_combinations(width: int) -> None:
    logits = drawn_logits(2, 4)[..., :6]
    tokens, scores = beam(logits, width=width, top_tokens=6, eps=0.0)
    logs = logits.log_softmax(-1)
    for row in range(2):
        ranked = sorted(
            (
                (sum(float(logs[row, p, t]) for p, t in enumerate(path)), path)
                for path in itertools.product(range(6), repeat=4)
            ),
            reverse=True,
        )[:width]
        assert [tuple(path) for path in tokens[row].T.tolist()] == [path for _, path in ranked]
        torch.testing.assert_close(scores[row], torch.tensor([score for score, _ in ranked], dtype=torch.float64))


@pytest.mark.parametrize("name", SLOTS)
def test_digits_are_distributed_over_what_the_grammar_allows(name: str) -> None:
    grammar = grammar_of(name)
    logits = drawn_logits(3, grammar.width)
    found = digit_distribution(logits, grammar)
    for place, allowed in enumerate(grammar.ids):
        weights = logits[:, place, list(allowed)].exp()
        torch.testing.assert_close(found[place], weights / weights.sum(1, keepdim=True))
    again = digit_distribution(logits, [list(slot) for slot in grammar.ids])
    assert all(torch.equal(one, other) for one, other in zip(found, again, strict=True))
    with pytest.raises(ValueError, match="places"):
        digit_distribution(logits[:, :-1], grammar)


@pytest.mark.parametrize("name", SLOTS)
@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (-12.5, 3.25)])
def test_independent_digits_against_enumeration(name: str, scale: float, offset: float) -> None:
    grammar = grammar_of(name, scale, offset)
    logits = drawn_logits(6, grammar.width, seed=4)
    found = decode_number(logits, grammar)
    shares = digit_distribution(logits, grammar)
    for row in range(6):
        numbers = all_numbers(name)
        chances = [
            math.prod(float(shares[place][row, index]) for place, index in enumerate(choice)) for choice, _ in numbers
        ]
        values = [value * scale + offset for _, value in numbers]
        mean, variance = summary(values, chances)
        best = max(range(len(numbers)), key=chances.__getitem__)
        assert found.value[row].item() == pytest.approx(values[best], abs=1e-12)
        assert found.mean[row].item() == pytest.approx(mean, abs=1e-11)
        assert found.variance[row].item() == pytest.approx(variance, rel=1e-9, abs=1e-11)
        assert found.log_probability[row].item() == pytest.approx(math.log(chances[best]), abs=1e-12)
        wanted = [grammar.ids[place][index] for place, index in enumerate(numbers[best][0])]
        assert found.tokens[row].tolist() == wanted


@pytest.mark.parametrize("name", SLOTS)
@pytest.mark.parametrize("width", [1, 2, 5, 100])
def test_left_to_right_against_enumeration(
    name: str, width: int, places: Callable[[str, int], tuple[Tensor, Tensor]]
) -> None:
    """A beam that holds every number is exact; a narrow one keeps the best beginnings at each step."""
    ids, where = places(name, 4)
    grammar, model = grammar_of(name, 2.0, -1.0), Dependent(len(SLOTS[name]), 2)
    found = beam_number(model, ids, where, grammar, mask_token_id=MASK, width=width)
    for row in range(4):
        chances = enumerated(model, ids[row].tolist(), where[row].tolist(), name)
        numbers = {choice: 2 * value - 1 for choice, value in all_numbers(name)}
        kept: list[tuple[int, ...]] = [()]
        for place in range(grammar.width):
            grown = [(*one, index) for one in kept for index in range(len(grammar.ids[place]))]
            mass = {one: sum(p for choice, p in chances.items() if choice[: place + 1] == one) for one in grown}
            kept = sorted(grown, key=mass.__getitem__, reverse=True)[:width]
        assert found.candidates is not None
        assert found.candidate_log_probabilities is not None
        assert found.candidates[row].tolist() == pytest.approx([numbers[one] for one in kept], abs=1e-12)
        logs = [math.log(chances[one]) for one in kept]
        assert found.candidate_log_probabilities[row].tolist() == pytest.approx(logs, abs=1e-10)
        assert found.value[row].item() == pytest.approx(numbers[kept[0]], abs=1e-12)
        assert found.tokens[row].tolist() == [grammar.ids[p][index] for p, index in enumerate(kept[0])]
        if width == 100:
            mean, variance = summary([numbers[one] for one in chances], list(chances.values()))
            assert found.mean[row].item() == pytest.approx(mean, abs=1e-11)
            assert found.variance[row].item() == pytest.approx(variance, rel=1e-9, abs=1e-11)


@pytest.mark.parametrize("name", SLOTS)
@pytest.mark.parametrize("width", [1, 2, 100])
def test_any_beam_is_exact_where_digits_are_independent(
    name: str, width: int, places: Callable[[str, int], tuple[Tensor, Tensor]]
) -> None:
    ids, where = places(name, 3)
    grammar, model = grammar_of(name, 3.0, 0.5), Dependent(len(SLOTS[name]), 2, strength=0.0)
    found = beam_number(model, ids, where, grammar, mask_token_id=MASK, width=width)
    wanted = decode_number(torch.stack([model.logits([])] * 3), grammar)
    for name_, rtol in (("mean", 1e-12), ("variance", 1e-9), ("value", 1e-12), ("log_probability", 1e-12)):
        torch.testing.assert_close(getattr(found, name_), getattr(wanted, name_), rtol=rtol, atol=1e-11)
    assert torch.equal(found.tokens, wanted.tokens)


def test_one_pass_for_each_place_with_a_choice(places: Callable[[str, int], tuple[Tensor, Tensor]]) -> None:
    ids, where = places("signed", 4)
    model = Dependent(5, 2)
    greedy_path = sequential(model, ids, where, grammar_of("signed"), mask_token_id=MASK)
    assert model.calls == [(4, 5), (4, 4), (4, 2), (4, 1)]  # none for the point
    model.calls.clear()
    beam_number(model, ids, where, grammar_of("signed"), mask_token_id=MASK, width=3)
    assert model.calls == [(4, 5), (8, 4), (12, 2), (12, 1)]
    narrow = beam_number(model, ids, where, grammar_of("signed"), mask_token_id=MASK, width=1)
    for one, other in zip(greedy_path, narrow, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_a_wider_beam_comes_nearer_to_the_exact_mean(places: Callable[[str, int], tuple[Tensor, Tensor]]) -> None:
    ids, where = places("signed", 40)
    grammar, model = grammar_of("signed"), Dependent(5, 2)
    found = [beam_number(model, ids, where, grammar, mask_token_id=MASK, width=width).mean for width in (1, 4, 100)]
    errors = [(one - found[-1]).abs().mean().item() for one in found]
    assert errors[0] > errors[1] > errors[2] == 0


def test_what_does_not_fit_is_refused(places: Callable[[str, int], tuple[Tensor, Tensor]]) -> None:
    ids, where = places("plain", 2)
    grammar, model = grammar_of("plain"), Dependent(4, 2)
    with pytest.raises(ValueError, match="places"):
        beam_number(model, ids, where[:, :-1], grammar, mask_token_id=MASK)
    with pytest.raises(ValueError, match="places"):
        decode_number(drawn_logits(2, 3), grammar)
    with pytest.raises(ValueError, match="width"):
        beam_number(model, ids, where, grammar, mask_token_id=MASK, width=0)
    with pytest.raises(ValueError, match="first token"):
        NumberGrammar.from_slots([["_1_0_"], ["_-_", "_+_"]], [[3], [4, 5]])
    with pytest.raises(ValueError, match="no token"):
        NumberGrammar.from_slots([["_1_0_"], []], [[3], []])


FORMATS = {
    "qed": NumberFormat.from_values([0.1, 0.9], decimals=3),
    "logp": NumberFormat.from_values([-3.5, 12.25], decimals=2, normalize=False),
    "active": NumberFormat.from_values([0, 1]),
}


@pytest.fixture
def tokenizer() -> Tokenizer:
    return Tokenizer(build_vocabulary(["CCO", "c1ccnn1"], "smiles", FORMATS), "smiles", number_formats=FORMATS)


@pytest.mark.parametrize(
    ("name", "value"), [("qed", 0.5), ("qed", 0.9), ("logp", -2.75), ("logp", 11.5), ("active", 1)]
)
def test_a_sure_model_gives_the_number_back_in_the_users_units(tokenizer: Tokenizer, name: str, value: float) -> None:
    grammar = NumberGrammar.of(tokenizer, name)
    tokens = [tokenizer.vocabulary.index(token) for token in tokenizer.number_tokens(name, value)]
    logits = torch.zeros(1, len(tokens), len(tokenizer))
    logits[0, torch.arange(len(tokens)), tokens] = 200.0
    logits[..., tokenizer.mask_token_id] = 1000.0  # not a part of any number
    found = decode_number(logits, grammar)
    wanted = tokenizer.number_of(name, tokenizer.number_tokens(name, value))
    assert found.value.item() == pytest.approx(wanted, abs=1e-12)
    assert found.value.item() == pytest.approx(value, abs=FORMATS[name].resolution)
    assert found.mean.item() == pytest.approx(wanted, abs=1e-9)
    assert found.variance.item() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("mixer", ["xlnet", "attention"])
def test_with_the_real_model(tokenizer: Tokenizer, mixer: str) -> None:
    """The first place of a beam is that of one pass; every answer is a number of the format."""
    formats = {name: form.to_dict() for name, form in FORMATS.items()}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = seqsuite.create_model(
            "rt_debug", vocabulary=tokenizer.vocabulary, language="smiles", number_formats=formats, mixer=mixer
        ).eval()
    ids = pad_rows(
        [tokenizer.encode(f"<logp>+00.00|{text}") for text in ("CCO", "CCOCCO", "c1ccnn1")], tokenizer.pad_token_id
    )
    grammar = NumberGrammar.of(tokenizer, "logp")
    places = number_places(ids, tokenizer, tokenizer.property_id("logp"), grammar.width)
    masked = ids.scatter(1, places, tokenizer.mask_token_id)
    with torch.no_grad():
        logits = model_logits(model)(masked, places)
        one = decode_number(logits, grammar)
        found: DecodedNumbers = beam_number(
            model_logits(model), ids, places, grammar, mask_token_id=tokenizer.mask_token_id, width=100
        )
        batch = mask_prefilled(masked, tokenizer, order="hidden" if mixer == "xlnet" else "none")
        whole = model(masked, attention_mask=batch.attention_mask, perm_mask=batch.perm_mask)
    torch.testing.assert_close(whole.gather(1, places[..., None].expand(-1, -1, len(tokenizer))), logits)
    for decoded in (one, found):
        for row, value in zip(decoded.tokens.tolist(), decoded.value.tolist(), strict=True):
            assert tokenizer.number_of("logp", tokenizer.decode(row)) == pytest.approx(value, abs=1e-9)
    assert found.candidates is not None
    assert (found.variance > 0).all()
    with pytest.raises(ValueError, match="order"):
        model_logits(model, order="random")
