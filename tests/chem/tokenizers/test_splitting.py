"""Splitting of texts: nothing is lost without being named."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqchem.tokenizers import LANGUAGES, split_reaction, split_selfies, split_sequence, split_smiles, unmatched
from seqchem.tokenizers.splitting import SPLITTERS
from seqsuite.errors import UserError

quick = settings(max_examples=150, deadline=None)
SMILES = [
    "CC(C#C)N(C)C(=O)NC1=CC=C(Cl)C=C1",
    "C[C@@H](N)C(=O)[O-].[Na+]",
    "BrCC/C=C\\Cl",
    "C%12CCCC%12",
    "[13CH4]",
    "*C$C",
]


@quick
@given(st.text(alphabet="CNOBrlc[]()=#@+-%123.>/\\ x<Qé\n", max_size=40))
def test_symbols_and_unmatched_pieces_together_are_the_text(text: str) -> None:
    for language in ("smiles", "reaction"):
        pieces = SPLITTERS[language](text) + unmatched(text, language)
        assert sorted("".join(pieces)) == sorted(text)


@pytest.mark.parametrize("text", SMILES)
def test_smiles_are_kept_whole(text: str) -> None:
    assert "".join(split_smiles(text)) == text
    assert unmatched(text) == []


def test_two_letter_atoms_rings_and_brackets_are_one_symbol() -> None:
    assert split_smiles("ClBrB%12%(123)[nH]>>") == ["Cl", "Br", "B", "%12", "%(123)", "[nH]", ">>"]
    assert unmatched("CXC Q", "smiles") == ["X", " Q"]


def test_reactions_keep_words_between_precursors() -> None:
    assert split_reaction("CC.O<energy>N>>CCO") == ["C", "C", ".", "O", "<energy>", "N", ">>", "C", "C", "O"]
    assert unmatched("CC<energy>N", "reaction") == []
    assert unmatched("CC<energy>N", "smiles") == ["<e", "ergy"]  # n and > would pass for symbols


@quick
@given(st.lists(st.sampled_from(["[C]", "[=O]", "[Branch1_1]", "[\\C@@Hexpl]", "[Ring1]", "[C]."]), max_size=12))
def test_selfies_symbols_are_those_of_the_package(symbols: list[str]) -> None:
    from selfies import split_selfies as published

    text = "".join(symbols)
    assert split_selfies(text) == list(published(text))
    assert unmatched(text, "selfies") == []


def test_what_is_no_selfies_is_named() -> None:
    assert split_selfies("CCO") == []
    assert unmatched("CCO", "selfies") == ["CCO"]
    assert unmatched("[C]xx[O]", "selfies_v1") == ["xx"]
    with pytest.raises(UserError, match="without its"):
        split_selfies("[C][O")


def test_proteins_are_letters() -> None:
    assert split_sequence("MKX") == ["M", "K", "X"]
    assert unmatched("MK L", "protein") == [" "]


def test_unknown_languages_are_refused_with_a_near_name() -> None:
    with pytest.raises(UserError, match="Did you mean 'selfies'"):
        unmatched("[C]", "selfie")
    assert set(LANGUAGES) == {"smiles", "selfies", "selfies_v1", "protein", "reaction"}
