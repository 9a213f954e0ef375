"""Computed properties: what they are at known molecules, their laws, and files with columns of them."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import Crippen, Descriptors

from seqchem.chemistry.columns import add_properties
from seqchem.chemistry.properties import DESCRIPTIONS, PROPERTIES, calculate, map_molecules
from seqsuite.errors import UserError

ASPIRIN, CAFFEINE = "CC(=O)Oc1ccccc1C(=O)O", "Cn1c(=O)c2c(ncn2C)n(C)c1=O"


def test_values_at_known_molecules():
    values = calculate(["mw", "tpsa", "hbd", "hba", "rings", "rotatable_bonds", "heavy_atoms"], [ASPIRIN, CAFFEINE])
    assert values["mw"] == pytest.approx([180.16, 194.19], abs=0.01)  # tables of atomic weights
    assert values["tpsa"] == pytest.approx([63.6, 61.82], abs=0.05)  # Ertl's contributions, as PubChem lists 63.6
    assert list(values["hbd"]) == [1, 0]
    assert list(values["rings"]) == [1, 2]
    assert list(values["heavy_atoms"]) == [13, 14]
    assert calculate(["sa"], ["CCO"])["sa"][0] == pytest.approx(1.980, abs=1e-3)  # seen with RDKit's own script
    assert calculate(["fraction_csp3"], ["CCO", "c1ccccc1"])["fraction_csp3"].tolist() == [1, 0]


def test_every_property_is_described_finite_and_in_bounds():
    assert set(DESCRIPTIONS) == set(PROPERTIES)
    found = calculate(PROPERTIES, [ASPIRIN, CAFFEINE, "CCO", "[Na+].[Cl-]", "C1CCCCCCC1"])
    assert all(np.isfinite(values).all() for values in found.values())
    assert ((found["qed"] > 0) & (found["qed"] < 1)).all()
    assert ((found["sa"] >= 1) & (found["sa"] <= 10)).all()
    assert (np.abs(found["np"]) <= 5).all()


@pytest.mark.parametrize(("smiles", "penalty"), [("C1CCCCC1", 0), ("C1CCCCCCC1", 2), ("CCO", 0), ("C1CCCCCCCCCCC1", 6)])
def test_penalised_logp_is_its_terms(smiles, penalty):
    molecule = Chem.MolFromSmiles(smiles)
    found = calculate(["plogp_raw", "plogp", "sa"], [smiles])
    assert found["plogp_raw"][0] == pytest.approx(Crippen.MolLogP(molecule) - found["sa"][0] - penalty)
    # Standardised by what the literature has for ZINC250k.
    terms = [(Crippen.MolLogP(molecule), 2.45709, 1.43432), (-found["sa"][0], -3.05258, 0.83352),
             (-penalty, -0.04857, 0.28602)]  # fmt: skip
    assert found["plogp"][0] == pytest.approx(sum((value - mean) / sd for value, mean, sd in terms), abs=1e-3)


def test_what_is_no_molecule_is_nan_in_its_place():
    found = calculate(["logp", "mw"], ["CCO", "C1CC", "", "CCN"])
    assert np.isnan(found["logp"]).tolist() == [False, True, True, False]
    assert found["mw"][3] == pytest.approx(Descriptors.MolWt(Chem.MolFromSmiles("CCN")))
    assert calculate(["logp"], [])["logp"].shape == (0,)


def test_processes_change_nothing():
    smiles = ["C" * (1 + number % 30) + "O" for number in range(450)]
    seen = []
    alone = calculate(["mw"], smiles, progress=seen.append)["mw"]
    assert seen == [200, 400, 450]
    assert np.array_equal(alone, calculate(["mw"], smiles, workers=2)["mw"])
    assert map_molecules(Chem.MolToSmiles, ["OCC", "?"]) == ["CCO", None]


def test_unknown_names_are_suggested():
    with pytest.raises(UserError, match="'logp'"):
        calculate(["lgp"], ["CCO"])


def test_files_keep_their_rows_and_columns(tmp_path):
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("name,smiles\na,OCC\nb,nothing\nc,CCN\n", encoding="utf-8")
    table = add_properties(source, ["mw", "logp"])
    assert table.status[0] == table.status[2] == "ok"
    assert table.status[1] != "ok"
    table.save(out)
    rows = list(csv.DictReader(out.open(encoding="utf-8")))
    assert [(row["name"], row["smiles"]) for row in rows] == [("a", "OCC"), ("b", "nothing"), ("c", "CCN")]
    assert float(rows[0]["mw"]) == pytest.approx(46.07, abs=0.01)
    assert rows[1]["mw"] == rows[1]["logp"] == ""
    assert table.summary()[0]["values"] == 2
    skipped = add_properties(source, ["mw"], on_invalid="skip")
    assert (len(skipped), skipped.left_out) == (2, 1)
    with pytest.raises(UserError, match="line 3"):
        add_properties(source, ["mw"], on_invalid="error")
    labelled = tmp_path / "labelled.csv"
    labelled.write_text("smiles,mw\nCCO,46\n", encoding="utf-8")
    with pytest.raises(UserError, match="has a column 'mw' already"):
        add_properties(labelled, ["mw"])


def test_nothing_is_told_on_the_terminal(capfd):
    calculate(PROPERTIES, ["[H][H]", "[H]", "C1CC", "CCO"])
    told = capfd.readouterr()
    assert told.out == told.err == ""
