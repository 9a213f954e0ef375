"""SELFIES of both ages, and vocabularies from files and from data."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import selfies
from rdkit import Chem

from seqchem.tokenizers import (
    SPECIAL_TOKENS,
    NumberFormat,
    OldSymbols,
    Tokenizer,
    build_vocabulary,
    decode_selfies,
    encode_selfies,
    extend_vocabulary,
    missing_tokens,
    modern_symbol,
    old_symbol,
    read_vocabulary,
    whole_alphabet,
    write_vocabulary,
)
from seqsuite.errors import UserError

MOLECULES = [
    "CC(C#C)N(C)C(=O)NC1=CC=C(Cl)C=C1",
    "c1ccc2[nH]ccc2c1",
    "O=C([O-])c1ccccc1.[Na+]",
    "BrCC/C=C\\Cl",
    "C[C@@H](N)C(=O)O",
    "FC(F)(F)c1cc(I)ccc1S(=O)(=O)N",
    "[Fe+2].[13CH4].C[N+](C)(C)C",
    "CC12CCC3C(C1CCC2O)CCC4=CC(=O)CCC34C",
]


@pytest.mark.parametrize("smiles", MOLECULES)
def test_old_names_decode_to_the_same_molecule(smiles: str) -> None:
    text = encode_selfies(smiles)
    old = OldSymbols().old(text)
    assert OldSymbols.new(old) == text
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        published = selfies.decoder(old, compatible=True)
    assert decode_selfies(OldSymbols.new(old)) == published
    assert Chem.CanonSmiles(published) == Chem.CanonSmiles(smiles)


def test_old_names_are_those_of_the_old_package() -> None:
    pairs = {
        "[Branch1]": "[Branch1_1]",
        "[#Branch2]": "[Branch2_3]",
        "[=Ring1]": "[Expl=Ring1]",
        "[NH1]": "[NHexpl]",
        "[C@@H1]": "[C@@Hexpl]",
        "[Na+1]": "[Na+expl]",
        "[13CH4]": "[13CH4expl]",
        "[Ring1]": "[Ring1]",
        "[=C]": "[=C]",
    }
    for new, old in pairs.items():
        assert old_symbol(new) == old
        assert modern_symbol(old) == new


def test_a_vocabulary_decides_between_old_spellings() -> None:
    text = "[Fe+2]"
    assert OldSymbols(["[Fe++expl]", "[Fe+2expl]"]).old(text) == "[Fe++expl]"
    assert OldSymbols(["[Fe+2expl]"]).old(text) == "[Fe+2expl]"
    assert OldSymbols(["[C]", "[PAD]"]).old("[C][Branch1]") == "[C][Branch1_1]"


@pytest.mark.parametrize("language", ["selfies", "selfies_v1"])
def test_molecules_go_into_the_language_and_back(language: str) -> None:
    tokenizer = Tokenizer(build_vocabulary([], language, alphabet=True), language)
    texts = [tokenizer.from_smiles(smiles) for smiles in MOLECULES]
    tokenizer = Tokenizer(build_vocabulary(texts, language), language)
    assert not tokenizer.unknown_counts(texts)
    for smiles, text in zip(MOLECULES, texts, strict=True):
        back = tokenizer.to_smiles(tokenizer.text_of(tokenizer.encode(text)))
        assert back is not None
        assert Chem.CanonSmiles(back) == Chem.CanonSmiles(smiles)
    assert ("[Branch1_1]" in tokenizer.vocabulary) == (language == "selfies_v1")


@pytest.mark.parametrize("text", ["[C][UNK]", "[C][MASK][O]", "[C][O", "[nonsense]"])
def test_unreadable_selfies_have_no_smiles(text: str) -> None:
    tokenizer = Tokenizer(build_vocabulary([], "selfies", alphabet=True), "selfies")
    assert tokenizer.to_smiles(text) is None


@pytest.mark.parametrize("smiles", ["C*", "xyz", "F(F)(F)F", ""])
def test_what_selfies_cannot_write_is_told_in_one_line(smiles: str) -> None:
    with pytest.raises(UserError, match="SELFIES cannot write") as caught:
        encode_selfies(smiles)
    assert "\n" not in str(caught.value)


def test_every_string_of_the_robust_alphabet_is_a_molecule() -> None:
    import random

    draw, alphabet = random.Random(3), whole_alphabet("selfies")
    for _ in range(100):
        smiles = decode_selfies("".join(draw.choices([s for s in alphabet if s != "."], k=20)))
        assert smiles is not None
        assert Chem.MolFromSmiles(smiles) is not None


def test_vocabulary_order() -> None:
    vocabulary = build_vocabulary(["CCO", "CCN", "<qed>0.5|CO"], "smiles", ["qed", "<logp>"], digits=[0, -1])
    assert vocabulary[: len(SPECIAL_TOKENS)] == SPECIAL_TOKENS
    assert vocabulary[0] == "[PAD]"
    assert vocabulary[6:11] == ("<qed>", "<logp>", "_-_", "_+_", "_._")
    assert vocabulary[11:31] == tuple(f"_{digit}_{power}_" for power in (0, -1) for digit in range(10))
    assert vocabulary[31:] == ("C", "O", "N")
    assert build_vocabulary(["CCO", "CCN", "CO"], "smiles", digits=[0], min_count=2)[-2:] == ("C", "O")


def test_formats_bring_their_powers_of_ten() -> None:
    layout = NumberFormat.from_values([0, 1e8 + 1], normalize=False)
    vocabulary = build_vocabulary(["CCO"], "smiles", {"count": layout})
    tokenizer = Tokenizer(vocabulary, "smiles", number_formats={"count": layout})
    ids = tokenizer.encode(tokenizer.expression({"count": 12345678}, "CCO"))
    assert tokenizer.properties_of(ids) == {"count": 12345678}


@pytest.mark.parametrize("language", ["smiles", "selfies", "selfies_v1", "protein", "reaction"])
def test_the_whole_alphabet_splits_into_itself(language: str) -> None:
    tokenizer = Tokenizer(build_vocabulary([], language, alphabet=True), language)
    for symbol in whole_alphabet(language):
        if symbol != ".":
            assert tokenizer.tokenize(symbol) == [symbol]
            assert tokenizer.unk_token_id not in tokenizer.encode(symbol)


def test_growing_keeps_ids() -> None:
    vocabulary = build_vocabulary(["CCO"], "smiles")
    grown = extend_vocabulary(vocabulary, ["<new>", "C", "<new>"])
    assert grown == (*vocabulary, "<new>")
    assert missing_tokens(vocabulary, ["<new>", "C", "[Si]", "<new>"]) == ("<new>", "[Si]")


def test_files_come_back(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    vocabulary = build_vocabulary(["CCO"], "smiles", ["qed"])
    write_vocabulary(vocabulary, path)
    assert read_vocabulary(path) == vocabulary
    path.write_bytes("\r\n".join(vocabulary).encode())
    assert read_vocabulary(path) == vocabulary
    with pytest.raises(UserError, match="line break"):
        write_vocabulary(["a\nb"], path)


def test_the_empty_first_line_of_the_published_protein_file_is_a_token(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    tokens = ("", "[PAD]", "<stab>", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "|", "<boman>", "_._", "_0_0_", "M", "K")
    path.write_text("\n".join(tokens))
    assert read_vocabulary(path) == tokens
    tokenizer = Tokenizer(read_vocabulary(path), "protein")
    assert tokenizer.pad_token_id == 1
    assert tokenizer.encode("MKM") == [4, 11, 12, 11, 1, 5]
    assert tokenizer.property_names == ("stab", "boman")


def test_unreadable_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_vocabulary(tmp_path / "none.txt")
    (tmp_path / "empty.txt").write_text("\n\n")
    with pytest.raises(UserError, match="holds no token"):
        read_vocabulary(tmp_path / "empty.txt")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not a text file"):
        read_vocabulary(tmp_path / "binary.txt")
