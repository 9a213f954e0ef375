"""SMILES to molecules: one canonical form whatever the writing, and a reason where there is none."""

from __future__ import annotations

import pytest
from rdkit import Chem

from seqchem.chemistry.parsing import parse, refusal, standardize
from seqchem.chemistry.scaffolds import scaffold
from seqchem.training.augment import rewritten_smiles

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"


@pytest.mark.parametrize("smiles", [ASPIRIN, "C[C@H](N)C(=O)O", "C/C=C/C", "[nH]1cccc1", "[Na+].[Cl-]", "*CC"])
def test_every_writing_has_the_same_canonical_form(smiles):
    canonical = standardize(smiles).smiles
    assert canonical == Chem.CanonSmiles(smiles)
    written = {rewritten_smiles(smiles, 0, number) for number in range(20)}
    assert len(written) > 1 or len(canonical) < 12
    assert {standardize(text).smiles for text in written} == {canonical}
    assert standardize(f" {smiles}\t").smiles == canonical


def test_rewriting_is_a_function_of_its_numbers():
    assert rewritten_smiles(ASPIRIN, 3, 7) == rewritten_smiles(ASPIRIN, 3, 7)
    assert len({rewritten_smiles(ASPIRIN, 3, number) for number in range(30)}) > 10


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("CCO ethanol", "blank"),
        ("C1CC", "ring 1 is not closed"),
        ("C(C", "parentheses"),
        ("C[NH", "brackets"),
        ("C!C", "'!'"),
        ("c1cccc1", "kekulize"),
        ("C(C)(C)(C)(C)C", "atom 1 C, 5"),
        ("hello", "not SMILES"),
        ("[Xx]", "not SMILES"),
    ],
)
def test_what_is_no_molecule_is_told(text, why, capfd):
    assert parse(text) is None
    assert standardize(text).smiles is None
    assert why in standardize(text).reason
    assert "\n" not in refusal(text)
    assert capfd.readouterr() == ("", "")  # RDKit's own messages stay off the terminal


def test_salts_are_kept_cut_or_refused():
    salt = "[Na+].CC(=O)[O-].O"
    assert standardize(salt).smiles == Chem.CanonSmiles(salt)
    assert standardize(salt, salts="largest").smiles == "CC(=O)[O-]"
    assert standardize("O.CC(=O)[O-].[Na+]", salts="largest").smiles == "CC(=O)[O-]"
    assert standardize(salt, salts="refuse") == (None, "a mixture or salt of 3 parts")
    assert standardize("CCO", salts="refuse").smiles == "CCO"
    # Equally many heavy atoms: the heavier part; equally heavy: the same one in any order.
    assert standardize("CC.Cl[Br]", salts="largest").smiles == "ClBr"
    assert standardize("CO.OC.CN", salts="largest") == standardize("CN.CO.OC", salts="largest")


def test_a_scaffold_forgets_what_hangs_on_it():
    plain = scaffold("c1ccc(Cc2ccncc2)cc1")
    for smiles in ("Cc1ccc(Cc2ccncc2)cc1", "O=C(O)c1ccc(Cc2ccnc(C(F)(F)F)c2)cc1"):
        assert scaffold(smiles) == plain
    assert scaffold("CCO") == ""
    assert scaffold("C[C@H]1CCCO1") == scaffold("C[C@@H]1CCCO1") == "C1CCOC1"
    with pytest.raises(ValueError, match="C1CC"):
        scaffold("C1CC")
