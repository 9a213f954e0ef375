"""The search: improvements are what RDKit says, similarities hold, tables are sums of their rows."""

from __future__ import annotations

import csv
import math
import statistics

import pytest
from rdkit import Chem
from rdkit.Chem import Crippen

from seqchem.chemistry.fingerprints import morgan, tanimoto
from seqchem.generation import MoleculeLimits, optimize, parse_goals
from seqchem.generation.improvements import ImprovedMolecule, OptimizedMolecules
from seqsuite.errors import UserError

SEEDS = ["OCC(O)CO", "CCOC(=O)c1ccccc1", "CC(=O)Nc1ccc(O)cc1"]
FEW = {"rounds": 3, "children": 6}


def logp(smiles):
    return Crippen.MolLogP(Chem.MolFromSmiles(smiles))


def test_what_is_found_is_better_and_like_its_seed(oracle, draws, language):
    found = optimize(oracle(language), SEEDS, parse_goals(["logp=+3"]), similarity=(0.2, 0.4, 0.0), **FEW,
                     generator=draws())  # fmt: skip
    assert found.deltas == [0.0, 0.2, 0.4]
    assert found.tried == 3 * 3 * 6
    assert any(molecule.success for molecule in found.molecules)
    for molecule in found.molecules:
        assert molecule.start["logp"] == pytest.approx(logp(molecule.seed))
        if not molecule.success:
            assert molecule.improvement == {"logp": 0.0}
            continue
        assert molecule.obtained["logp"] == pytest.approx(logp(molecule.sequence))
        assert molecule.improvement["logp"] == pytest.approx(logp(molecule.sequence) - logp(molecule.seed))
        assert molecule.improvement["logp"] > 0
        bits = morgan([molecule.seed, molecule.sequence])
        assert molecule.similarity == pytest.approx(tanimoto(bits[:1], bits[1:])[0, 0])
        assert molecule.similarity >= molecule.delta
    # One pool of candidates: less similarity never finds less.
    for seed in range(3):
        gains = [found.at(delta)[seed].improvement["logp"] for delta in found.deltas]
        assert gains == sorted(gains, reverse=True)


def test_more_rounds_from_the_same_draws_never_lose(oracle, draws):
    goals = parse_goals(["logp=+2"])
    best = [
        optimize(oracle(), SEEDS, goals, similarity=(0.2,), rounds=rounds, children=4, generator=draws())
        for rounds in (1, 2, 4)
    ]
    for seed in range(3):
        gains = [found.molecules[seed].improvement["logp"] for found in best]
        assert gains == sorted(gains)
    again = optimize(oracle(), SEEDS, goals, similarity=(0.2,), rounds=4, children=4, generator=draws())
    assert again.molecules == best[-1].molecules


def test_directions_and_values(oracle, draws):
    down = optimize(oracle(), SEEDS[1:], parse_goals(["logp=-3"]), similarity=(0.0,), **FEW, generator=draws())
    assert any(molecule.success for molecule in down.molecules)
    for molecule in down.molecules:
        if molecule.success:
            assert logp(molecule.sequence) < logp(molecule.seed)
    to = optimize(oracle(), SEEDS[1:], parse_goals(["logp=0.5"]), similarity=(0.0,), **FEW, generator=draws())
    assert any(molecule.success for molecule in to.molecules)
    for molecule in to.molecules:
        if molecule.success:
            nearer = abs(logp(molecule.seed) - 0.5) - abs(logp(molecule.sequence) - 0.5)
            assert molecule.improvement["logp"] == pytest.approx(nearer)
            assert nearer > 0


def test_asked_values_are_shifted_and_stay_in_the_trained_range(oracle, draws):
    model = oracle()
    optimize(model, ["CCO"], parse_goals(["logp=+100"]), similarity=(0.0,), rounds=1, children=2, generator=draws())
    asked = {model.tokenizer.properties_of(row)["logp"] for ids, _, _ in model.asked for row in ids.tolist()}
    assert asked == {6.0}
    model = oracle()
    optimize(model, ["CCO"], parse_goals(["logp=+1"]), similarity=(0.0,), rounds=1, children=2, generator=draws())
    asked = {model.tokenizer.properties_of(row)["logp"] for ids, _, _ in model.asked for row in ids.tolist()}
    assert list(asked) == pytest.approx([logp("CCO") + 1], abs=0.01)


def test_several_goals_and_limits(oracle, draws):
    limits = MoleculeLimits(keep="c1ccccc1", avoid="[#9]")
    found = optimize(oracle(), SEEDS[1:], parse_goals(["logp=+1", "qed=+0.1"]), similarity=(0.1,), limits=limits, **FEW,
                     generator=draws())  # fmt: skip
    ring = Chem.MolFromSmarts("c1ccccc1")
    assert found.verified == {"logp": "RDKit", "qed": "RDKit"}
    for molecule in found.molecules:
        if molecule.success:
            assert Chem.MolFromSmiles(molecule.sequence).HasSubstructMatch(ring)
            # Parts of the trained ranges: 12 and 1.
            assert molecule.improvement["logp"] / 12 + molecule.improvement["qed"] > 0


def made(delta, gain, alike, seed="CCO"):
    values = {"logp": 1.0 + gain}
    return ImprovedMolecule(delta, seed, "CCCO" if gain else "", {"logp": 1.0}, values, {"logp": gain}, alike)


def test_the_summary_is_counted_by_hand():
    found = OptimizedMolecules(
        (made(0.4, 2.0, 0.5), made(0.4, 0.0, 1.0), made(0.4, 1.0, 0.7), made(0.6, 0.0, 1.0)), {"logp": "RDKit"}, 12
    )
    first, second = found.summary()
    assert (first["delta"], first["seeds"]) == (0.4, 3)
    assert first["improvement"] == pytest.approx(1.0)
    assert first["sd"] == pytest.approx(statistics.pstdev([2.0, 0.0, 1.0]))
    assert first["improvement_success"] == pytest.approx(1.5)
    assert first["similarity"] == pytest.approx(0.6)
    assert first["success"] == pytest.approx(2 / 3)
    assert (second["improvement"], second["success"]) == (0.0, 0.0)
    assert math.isnan(second["similarity"])


def test_files_and_pages(tmp_path):
    found = OptimizedMolecules((made(0.4, 2.0, 0.5), made(0.4, 0.0, 1.0)), {"logp": "RDKit"}, 12)
    rows = list(csv.DictReader(found.save(tmp_path / "o.csv").open(encoding="utf-8")))
    assert list(rows[0]) == ["delta", "sequence", "seed", "start_logp", "obtained_logp", "improvement_logp",
                             "similarity", "status", "reason"]  # fmt: skip
    assert [row["status"] for row in rows] == ["ok", "failed"]
    assert found.to_html().count("<img") == 1
    assert found.png().startswith(b"\x89PNG")
    assert found.figure() is not None
    none = OptimizedMolecules((made(0.4, 0.0, 1.0),), {"logp": "RDKit"}, 12)
    assert none.png() is None
    assert none.figure() is None


@pytest.mark.parametrize(
    ("seeds", "goals", "options", "match"),
    [(["C1CC"], ["logp=+1"], {}, "is no molecule"), ([], ["logp=+1"], {}, "no seeds"), (["CCO"], [], {}, "--goal"),
     (["CCO"], ["lgp=+1"], {}, "logp"), (["CCO"], ["logp=+0"], {}, "a change of 0"),
     (["CCO"], ["logp=+1"], {"similarity": (1.2,)}, "--similarity"), (["CCO"], ["logp=+1"], {"rounds": 0}, "--rounds"),
     (["CCO"], ["logp=+1"], {"fraction": 2.0}, "--fraction")],
)  # fmt: skip
def test_what_cannot_be_searched_is_told(oracle, draws, seeds, goals, options, match):
    with pytest.raises(UserError, match=match):
        optimize(oracle(), seeds, parse_goals(goals), **options, generator=draws())
