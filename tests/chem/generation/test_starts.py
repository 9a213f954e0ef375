"""Rows to be filled: prompts, lengths, seeds and their spans, and what of a seed is kept."""

from __future__ import annotations

from collections import Counter

import pytest
from rdkit import Chem

from seqchem.generation.starts import Prompt, draw_lengths, mask_spans, seed_tokens
from seqsuite.errors import UserError

PARACETAMOL = "CC(=O)Nc1ccc(O)cc1"


def test_a_prompt_is_what_the_tokenizer_writes(debug, language):
    model = debug(language)
    tokenizer = model.tokenizer
    for targets in ({"qed": 0.25}, {"logp": -1.5, "qed": 1.0}, {}):
        for smiles in (PARACETAMOL, "CCO", "CCCO"):
            text = tokenizer.from_smiles(smiles)
            ids = tokenizer.encode(tokenizer.expression(targets, text))
            made = Prompt.of(model, targets)
            seed = seed_tokens(model, smiles)
            if seed.text == smiles:
                assert made.row(seed.ids) == ids
            assert made.sequence(made.row(seed.ids)) == list(seed.ids)
            assert tokenizer.properties_of(made.row(seed.ids)) == pytest.approx(targets, abs=0.01)


@pytest.mark.parametrize(
    ("targets", "match"),
    [({"lgp": 1.0}, "Unknown property of this model 'lgp'. Did you mean 'logp'"), ({"logp": 1e6}, "logp=1e.06"),
     ({"qed": float("nan")}, "qed=nan")],
)  # fmt: skip
def test_goals_that_the_model_cannot_take_are_told(debug, targets, match):
    with pytest.raises(UserError, match=match):
        Prompt.of(debug(), targets)


def test_lengths_come_from_training_or_from_the_caller(oracle, draws):
    stored = oracle(sequence_lengths={"5": 1, "9": 3})
    drawn = Counter(draw_lengths(stored, 2000, draws()))
    assert set(drawn) == {5, 9}
    assert drawn[9] / 2000 == pytest.approx(0.75, abs=0.05)
    asked = draw_lengths(stored, 2000, draws(), lengths=(3, 6))
    assert set(asked) == {3, 4, 5, 6}
    assert asked == draw_lengths(stored, 2000, draws(), lengths=(3, 6))
    assert min(draw_lengths(oracle(), 100, draws())) >= 20  # nothing stored, nothing asked for


@pytest.mark.parametrize("fraction", [0.1, 0.4, 1.0])
@pytest.mark.parametrize("resize", [0, 2])
def test_spans_mask_their_fraction_and_leave_the_rest(debug, draws, language, fraction, resize):
    model = debug(language)
    seed, mask = seed_tokens(model, PARACETAMOL), model.tokenizer.mask_token_id
    generator = draws()
    rows = [mask_spans(seed, fraction, mask, generator, resize=resize) for _ in range(60)]
    for row in rows:
        kept = [token for token in row if token != mask]
        wanted = max(1, round(fraction * len(seed.ids)))
        assert len(kept) == len(seed.ids) - wanted
        rest = iter(seed.ids)
        assert all(token in rest for token in kept)  # in their order
        if not resize:
            assert len(row) == len(seed.ids)
    assert len({tuple(row) for row in rows}) > (1 if fraction < 1 or resize else 0)
    if resize:
        assert len({len(row) for row in rows}) > 1
        small = [mask_spans(seed, fraction, mask, generator, resize=2, room=len(seed.ids)) for _ in range(60)]
        assert max(map(len, small)) <= len(seed.ids)
    again = draws()
    assert rows == [mask_spans(seed, fraction, mask, again, resize=resize) for _ in range(60)]


@pytest.mark.parametrize("keep", ["c1ccccc1", "C(=O)N", "c1ccccc1 C(=O)N"])
def test_kept_atoms_are_not_masked(debug, draws, language, keep):
    model = debug(language)
    mask = model.tokenizer.mask_token_id
    seed = seed_tokens(model, PARACETAMOL, keep=keep)
    assert 0 < sum(seed.free) < len(seed.free)
    written = [token for token, free in zip(seed.ids, seed.free, strict=True) if not free]
    letters = [model.config.vocabulary[token] for token in written]
    atoms = sum(Chem.MolFromSmarts(text).GetNumAtoms() for text in keep.split())
    assert sum(any(letter in token for letter in "CNOcno") and "Branch" not in token for token in letters) >= atoms
    generator = draws()
    for _ in range(30):
        row = mask_spans(seed, 1.0, mask, generator)
        assert [token for token in row if token != mask] == written


def test_a_kept_ring_stays_whole_when_all_else_is_carbon(debug, language):
    # All free places become carbon, in each language the ring's own tokens are enough to close it.
    model = debug(language)
    seed = seed_tokens(model, "CCOC(=O)c1ccccc1", keep="c1ccccc1")
    carbon = model.config.vocabulary.index("[C]" if language == "selfies" else "C")
    ids = [carbon if free else token for token, free in zip(seed.ids, seed.free, strict=True)]
    smiles = model.tokenizer.to_smiles("".join(model.tokenizer.decode(ids)))
    molecule = Chem.MolFromSmiles(smiles)
    if language == "smiles" and molecule is None:
        pytest.fail(f"{smiles} is no molecule")
    assert molecule.HasSubstructMatch(Chem.MolFromSmarts("c1ccccc1"))


@pytest.mark.parametrize(
    ("smiles", "keep", "match"),
    [("C1CC", "", "is no molecule"), ("CCO", "N", "lacks 'N'"), ("CCO", "C(", "is not SMARTS"), ("", "", "no molecule"),
     ("CC[Se]C", "", "unknown symbol"), ("C" * 600, "", "tokens; the model takes")],
)  # fmt: skip
def test_seeds_that_cannot_be_used_are_told(debug, smiles, keep, match):
    with pytest.raises(UserError, match=match):
        seed_tokens(debug(), smiles, keep=keep)


def test_a_seed_that_is_kept_whole_cannot_change(debug, draws):
    model = debug("smiles")
    seed = seed_tokens(model, "CCO", keep="CCO")
    with pytest.raises(UserError, match="nothing can change"):
        mask_spans(seed, 0.5, model.tokenizer.mask_token_id, draws())


def test_proteins_are_their_letters(draws):
    import seqsuite
    from seqchem.tokenizers import NumberFormat, build_vocabulary

    layout = NumberFormat(0.0, 1.0)
    words = build_vocabulary(["ACDEFGHIKLMNPQRSTVWY"], "protein", {"stab": layout})
    model = seqsuite.create_model(
        "rt_debug", language="protein", vocabulary=words, number_formats={"stab": layout.to_dict()}
    )
    seed = seed_tokens(model, "MKTAYI")
    assert "".join(model.tokenizer.decode(seed.ids)) == "MKTAYI"
    masked = mask_spans(seed, 0.5, model.tokenizer.mask_token_id, draws(), resize=0)
    assert masked.count(model.tokenizer.mask_token_id) == 3
