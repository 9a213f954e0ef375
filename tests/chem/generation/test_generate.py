"""Molecules from goals: what is taken has what it must, what is not has its reason, and nothing runs for ever."""

from __future__ import annotations

import csv
import math
import re

import pytest
from rdkit import Chem
from rdkit.Chem import Crippen

from seqchem.chemistry.fingerprints import morgan, tanimoto
from seqchem.generation import FillOptions, MoleculeLimits, generate
from seqchem.generation.results import REASONS, GeneratedMolecules, MoleculeCandidate
from seqsuite.errors import UserError

WIDE = MoleculeLimits(tolerance=math.inf)
SEED = "CC(=O)Nc1ccc(O)cc1"


def test_candidates_have_the_goals_that_were_asked(oracle, draws):
    found = {}
    for value in (-4.0, 4.0):
        model = oracle()
        made = generate(model, {"logp": value}, n=30, lengths=(6, 12), limits=WIDE, generator=draws())
        assert len(made) == 30
        assert made.valid == 1.0
        found[value] = made
        for candidate in made.accepted:
            molecule = Chem.MolFromSmiles(candidate.sequence)
            assert Chem.MolToSmiles(molecule) == candidate.sequence
            assert candidate.obtained["logp"] == pytest.approx(Crippen.MolLogP(molecule))
            assert candidate.asked == {"logp": value}
            assert math.isnan(candidate.similarity)
        assert made.verified == {"logp": "RDKit"}
        # All digits are as likely to the oracle: 0 or 1 before the point, 0 to 9 behind it; the range is -6 to 6.
        assert made.accepted[0].predicted["logp"] == pytest.approx(-6 + 12 * (0.5 + 4.5 * 0.111))
    means = {value: sum(c.obtained["logp"] for c in made.accepted) / 30 for value, made in found.items()}
    assert means[4.0] > means[-4.0] + 1


def test_the_same_seed_gives_the_same_molecules(debug, draws, language):
    model = debug(language)
    options = {"n": 10, "tries": 2, "limits": WIDE, "lengths": (5, 9), "fill": FillOptions(rounds=3)}
    first = generate(model, {"qed": 0.5}, **options, generator=draws())
    assert first.candidates == generate(model, {"qed": 0.5}, **options, generator=draws()).candidates
    other = generate(model, {"qed": 0.5}, **options, generator=draws(1))
    assert [c.sequence for c in first.candidates] != [c.sequence for c in other.candidates]


def test_reasons_hold_and_the_tally_is_whole(oracle, draws):
    limits = MoleculeLimits(keep="[OX2H]", avoid="C=O OO", tolerance=0.03)
    made = generate(oracle(), {"logp": 0.0}, n=40, tries=5, lengths=(2, 9), limits=limits, generator=draws())
    tally = made.tally()
    assert tally["tried"] == len(made.candidates) == sum(tally.values()) - tally["tried"]
    assert tally["tried"] <= 200
    assert {"duplicate", "keep", "avoid", "out of tolerance"} <= set(tally)
    seen = set()
    hydroxyl, carbonyl, peroxide = (Chem.MolFromSmarts(text) for text in ("[OX2H]", "C=O", "OO"))
    for candidate in made.candidates:
        molecule = Chem.MolFromSmiles(candidate.sequence)
        kept = molecule.HasSubstructMatch(hydroxyl)
        avoided = not molecule.HasSubstructMatch(carbonyl) and not molecule.HasSubstructMatch(peroxide)
        near = abs(candidate.obtained["logp"]) <= 0.03 * 12
        expected = {"duplicate": candidate.sequence in seen, "keep": not kept, "avoid": not avoided,
                    "out of tolerance": not near}  # fmt: skip
        if candidate.reason:
            assert candidate.reason in REASONS
            assert expected.get(candidate.reason, True)
        else:
            assert not any(expected.values())
        seen.add(candidate.sequence)


def test_of_a_goal_out_of_reach_every_try_is_told_and_it_ends(oracle, draws):
    made = generate(oracle(), {"qed": 1.0}, n=4, tries=6, lengths=(4, 8), limits=MoleculeLimits(tolerance=0.01),
                    generator=draws())  # fmt: skip
    assert len(made) == 0
    assert made.tally()["tried"] == 24
    assert made.figure() is None
    assert made.png() is None
    assert made.table() == []
    assert "0 of 4 wanted" in made.notes()[0]


def test_widths_of_goals_are_in_their_units(oracle, draws):
    made = generate(oracle(), {"logp": 0.0}, widths={"logp": 0.5}, n=10, lengths=(4, 8), generator=draws())
    for candidate in made.candidates:
        if candidate.reason in ("", "out of tolerance"):
            assert (abs(candidate.obtained["logp"]) <= 0.5) == (not candidate.reason)


def test_seeds_give_their_own_candidates_with_their_similarity(debug, draws, language):
    model = debug(language)
    limits = MoleculeLimits(similarity=0.3, tolerance=math.inf)
    made = generate(
        model, {}, seed_sequences=[SEED, "CCOC(=O)c1ccccc1"], fraction=0.1, n=3, tries=30, limits=limits,
        generator=draws(),
    )  # fmt: skip
    assert {candidate.seed for candidate in made.candidates} == {SEED, "CCOC(=O)c1ccccc1"}
    for candidate in made.candidates:
        if not candidate.valid:
            assert (candidate.reason, language) == ("invalid", "smiles")
            continue
        bits = morgan([candidate.seed, candidate.sequence])
        assert candidate.similarity == pytest.approx(tanimoto(bits[:1], bits[1:])[0, 0])
        if not candidate.reason:
            assert candidate.similarity >= 0.3
            assert Chem.CanonSmiles(candidate.seed) != candidate.sequence
    per_seed = [sum(c.seed == seed and not c.reason for c in made.candidates) for seed in (SEED, "CCOC(=O)c1ccccc1")]
    assert max(per_seed) <= 3
    assert made.wanted == 6


def test_the_training_set_is_not_made_again(oracle, draws):
    options = {"n": 20, "lengths": (2, 4), "limits": WIDE, "tries": 3}
    first = generate(oracle(), {"logp": 1.0}, **options, generator=draws())
    known = set(first.sequences[:3])
    again = generate(oracle(), {"logp": 1.0}, **options, known=known, generator=draws())
    assert not known & set(again.sequences)
    assert again.tally()["in training set"] >= 1


def test_short_decodings_are_stubs(debug, draws):
    # An untrained SELFIES model ends most molecules early: halogens close a chain.
    made = generate(debug(), {}, n=20, tries=2, lengths=(30, 30), limits=WIDE, generator=draws())
    for candidate in made.candidates:
        heavy = Chem.MolFromSmiles(candidate.sequence).GetNumHeavyAtoms()
        if candidate.reason in ("", "stub"):
            assert (heavy < 7.5) == (candidate.reason == "stub")  # half of an atom for every two tokens


def test_what_rdkit_does_not_know_the_model_says(oracle, draws):
    made = generate(oracle(), {"logp": 0.0}, n=5, lengths=(4, 6), limits=WIDE, rdkit=False, generator=draws())
    assert made.verified == {"logp": "model"}
    assert all(candidate.obtained == candidate.predicted for candidate in made.accepted)
    assert "nothing but the model" in " ".join(made.notes())


def test_files_and_pages_hold_every_candidate(oracle, draws, tmp_path):
    made = generate(oracle(), {"logp": 1.0, "qed": 0.4}, n=8, lengths=(3, 6), generator=draws())
    rows = list(csv.DictReader(made.save(tmp_path / "g.csv").open(encoding="utf-8")))
    names = [f"{kind}_{name}" for name in ("logp", "qed") for kind in ("asked", "obtained", "predicted")]
    assert list(rows[0]) == ["sequence", "seed", *names, "similarity", "status", "reason"]
    assert len(rows) == len(made.candidates)
    assert [row["status"] == "ok" for row in rows] == [not c.reason for c in made.candidates]
    assert float(rows[0]["obtained_logp"]) == pytest.approx(made.candidates[0].obtained["logp"], rel=1e-4)
    page = made.to_html()
    assert page.count("<img") == len(made) > 0
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert made.png().startswith(b"\x89PNG")
    assert made.figure() is not None
    assert "sim" not in made._repr_html_().split("<thead>")[0]


def test_proteins_have_no_picture():
    made = GeneratedMolecules((MoleculeCandidate("MKTAYI"),), {}, 1, language="protein")
    assert made.figure() is None
    assert "MKTAYI" in made.to_html()
    assert "<img" not in made.to_html()


@pytest.mark.parametrize(
    ("options", "match"),
    [({"n": 0}, "--n is 0"), ({"tries": 0}, "--tries 0"), ({"fraction": 0.0}, "--fraction"),
     ({"seed_sequences": []}, "no seeds"), ({"limits": MoleculeLimits(avoid="C(")}, "--avoid: 'C\\(' is not SMARTS")],
)  # fmt: skip
def test_options_that_cannot_be(oracle, draws, options, match):
    with pytest.raises(UserError, match=match):
        generate(oracle(), {"logp": 0.0}, **options, generator=draws())
    for wrong in ({"similarity": 2.0}, {"tolerance": 0.0}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            MoleculeLimits(**wrong)
