"""The letters of proteins: one treatment of B, O, U, X and Z, from files to descriptors."""

from __future__ import annotations

import numpy as np
import pytest

from seqchem.data import read_table, split_table
from seqchem.data.canonical import check_protein
from seqchem.proteins import check_proteins, peptide_properties, protein_descriptors, unknown_letters
from seqchem.proteins.letters import chains_problem, problem_of
from seqsuite.errors import UserError


@pytest.mark.parametrize("letter", "BOUXZ")
def test_the_five_further_letters(letter):
    text = f"AC{letter}D"
    assert check_protein(text.lower()).smiles == text
    assert problem_of(text, further=True) is None
    assert problem_of(text) == f"has {letter}, which is none of the twenty amino acids"
    assert unknown_letters(text) == letter
    assert unknown_letters(text, further=True) == ""
    check_proteins([text], further=True)
    assert np.isnan(peptide_properties(["boman"], [text])["boman"]).all()
    assert np.isnan(protein_descriptors([text])[0]).all()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ACJD", "no amino acid: 'J'"),
        ("AC-D", "no amino acid: '-'"),
        ("AC*D", "no amino acid: '*'"),
        ("", "empty"),
        (".AC", "has nothing before, behind or between its dots"),
        ("AC..D", "has nothing before, behind or between its dots"),
    ],
)
def test_what_is_no_protein(text, reason):
    found = check_protein(text)
    assert found.smiles is None
    assert found.reason == reason
    assert chains_problem(text) is not None


def test_chains_have_dots_between_them():
    assert check_protein("acd.xe*").smiles == "ACD.XE"
    assert chains_problem("ACD.XE") is None
    assert chains_problem("ACD.e") == "is in lower case"


def test_pairs_go_by_their_target(tmp_path):
    rng = np.random.default_rng(0)
    targets = ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), 30)) for _ in range(10)]
    rows = [f"{target}.{'ACDE'[number]}KLM" for target in targets for number in range(4)]
    path = tmp_path / "pairs.csv"
    path.write_text("sequence\n" + "\n".join(rows) + "\n", encoding="utf-8")
    parts = split_table(read_table(path), "identity")
    of = {index // 4: part for part, indices in parts.items() for index in indices}
    for part, indices in parts.items():
        assert all(of[index // 4] == part for index in indices)
    assert {part: len(indices) for part, indices in parts.items()} == {"train": 32, "valid": 4, "test": 4}


def test_unchecked_rows_are_named_by_their_line(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("sequence,label\nACDE,1\nAC1E,0\nACDF,1\n", encoding="utf-8")
    table = read_table(path, language="protein", standardize=False)
    with pytest.raises(UserError, match=r"line 3 \(has 1, which is no letter of a protein\)"):
        split_table(table, "identity")
