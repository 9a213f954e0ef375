"""Masks become tokens of the language, by rounds; what is drawn follows the model's distribution."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
import torch

from seqchem.generation import FillOptions, fill_masks, sequence_tokens
from seqchem.tokenizers import split_selfies, split_smiles
from seqsuite.errors import UserError


def prompt(model, length, value=None):
    from seqchem.generation.starts import Prompt

    made = Prompt.of(model, {} if value is None else {"logp": value})
    return made, made.row([model.tokenizer.mask_token_id] * length)


@pytest.mark.parametrize("order", ["random", "confidence", "left"])
@pytest.mark.parametrize("rounds", [0, 1, 3])
@pytest.mark.parametrize("mixer", ["xlnet", "attention"])
def test_masks_and_nothing_else_become_tokens_of_the_language(debug, draws, language, order, rounds, mixer):
    model = debug(language, mixer=mixer)
    mask = model.tokenizer.mask_token_id
    rows = [prompt(model, length, value)[1] for length, value in ((9, 1.0), (4, None), (15, -3.5), (1, 2.0))]
    rows.append([token for token in rows[0] if token != mask])  # nothing to do
    options = FillOptions(rounds=rounds, order=order, batch_size=2)
    filled = fill_masks(model, rows, options, generator=draws())
    assert [len(row) for row in filled] == [len(row) for row in rows]
    allowed = set(sequence_tokens(model.config))
    for before, after in zip(rows, filled, strict=True):
        changed = [new for old, new in zip(before, after, strict=True) if old == mask]
        assert set(changed) <= allowed
        assert [new for old, new in zip(before, after, strict=True) if old != mask] == [t for t in before if t != mask]
    assert filled == fill_masks(model, rows, options, generator=draws())
    assert filled != fill_masks(model, rows, options, generator=draws(1))
    model.train()
    fill_masks(model, rows[:1], options, generator=draws())
    assert model.training


def test_written_tokens_are_symbols_of_the_language(debug, language):
    model = debug(language)
    split = split_selfies if language == "selfies" else split_smiles
    tokens = [model.config.vocabulary[number] for number in sequence_tokens(model.config)]
    assert all(split(token) == [token] for token in tokens)
    assert not {"[MASK]", "[PAD]", "[SEP]", "[CLS]", "[UNK]", "|", ".", "<qed>", "_0_0_"} & set(tokens)
    assert ("[Ring1]" if language == "selfies" else "c") in tokens


@pytest.mark.parametrize("order", ["random", "confidence", "left"])
@pytest.mark.parametrize(
    ("masks", "rounds", "settled"), [(8, 0, [1] * 8), (8, 3, [3, 3, 2]), (8, 1, [8]), (3, 8, [1] * 3)]
)
def test_a_round_settles_its_share(oracle, draws, order, masks, rounds, settled):
    model = oracle()
    _, row = prompt(model, masks, 0.0)
    fill_masks(model, [row], FillOptions(rounds=rounds, order=order), generator=draws())
    left = [int((ids == model.tokenizer.mask_token_id).sum()) for ids, _, _ in model.asked] + [0]
    assert [before - after for before, after in itertools.pairwise(left)] == settled
    for ids, places, hidden in model.asked:
        masked = ids[0] == model.tokenizer.mask_token_id
        assert masked[places[0]].all()
        # No token sees a masked one, itself included; every token sees all others.
        assert torch.equal(hidden[0].bool(), masked[None, :].expand(len(masked), -1))


def test_left_writes_from_the_left_and_random_does_not(oracle, draws):
    places = {}
    for order in ("left", "random"):
        model = oracle()
        _, row = prompt(model, 12, 0.0)
        fill_masks(model, [row], FillOptions(order=order), generator=draws())
        places[order] = [int(asked[0, 0]) for _, asked, _ in model.asked]
    assert places["left"] == sorted(places["left"])
    assert sorted(places["random"]) == places["left"] != places["random"]


def test_confidence_settles_the_surest_first(oracle, draws):
    class Sure(oracle):
        """Is surer of a place the further right it stands."""

        def forward(self, input_ids, *, positions=None, **options):
            logits = super().forward(input_ids, positions=positions, **options)
            logits[..., self.letters[0]] = 0.0
            logits[..., self.letters[1]] = -positions.float()
            return logits

    model = Sure()
    _, row = prompt(model, 6, 0.0)
    fill_masks(model, [row], FillOptions(order="confidence"), generator=draws())
    masked = [set(torch.nonzero(ids[0] == model.tokenizer.mask_token_id)[:, 0].tolist()) for ids, _, _ in model.asked]
    settled = [max(before - after) for before, after in itertools.pairwise(masked)]
    assert settled == sorted(settled, reverse=True)


def test_draws_follow_the_distribution_and_the_goal(oracle, draws):
    for value, share in ((-3.0, 0.25), (3.0, 0.75)):
        model = oracle()
        made, row = prompt(model, 20, value)
        filled = fill_masks(model, [row] * 200, generator=draws())
        counts = Counter(token for line in filled for token in made.sequence(line))
        assert set(counts) == set(model.letters)
        # 4000 draws: five deviations are 0.035.
        assert counts[model.letters[0]] / 4000 == pytest.approx(share, abs=0.035)


def test_temperature_and_top_p_sharpen(oracle, draws):
    for options, share in ((FillOptions(temperature=0.1), 1.0), (FillOptions(top_p=0.6), 1.0),
                           (FillOptions(temperature=2.0), 0.634)):  # fmt: skip
        model = oracle()
        made, row = prompt(model, 20, 3.0)
        filled = fill_masks(model, [row] * 200, options, generator=draws())
        found = sum(made.sequence(line).count(model.letters[0]) for line in filled) / 4000
        assert found == pytest.approx(share, abs=0.04)  # sqrt(3) / (1 + sqrt(3)) at temperature 2


def test_rows_of_a_batch_do_not_see_each_other(debug, draws):
    model = debug().double()
    _, short = prompt(model, 5, 1.0)
    _, long = prompt(model, 30, -2.0)
    options = FillOptions(temperature=1e-6, order="left")  # the likeliest token: no draw matters
    alone = [fill_masks(model, [row], options, generator=draws())[0] for row in (short, long)]
    assert fill_masks(model, [short, long], options, generator=draws()) == alone


def test_options_that_cannot_be():
    for wrong, match in (({"rounds": -1}, "--rounds"), ({"temperature": 0.0}, "--temperature"), 
                         ({"top_p": 0.0}, "--top_p"), ({"batch_size": 0}, "--batch_size")):  # fmt: skip
        with pytest.raises(UserError, match=match):
            FillOptions(**wrong)
