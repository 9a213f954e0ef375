"""The nucleotide tokenizer: published ids, round trips, strands, policies."""

from __future__ import annotations

import json

import numpy as np
import pytest
from Bio.Seq import Seq
from hypothesis import given
from hypothesis import strategies as st

from seqdna.tokenizers import CADUCEUS_TOKENS, NucleotideTokenizer, tokenizer_from_dict
from seqsuite.errors import UserError

TOKENIZER = NucleotideTokenizer()
dna = st.text(alphabet="ACGTN", max_size=200)


def test_published_vocabulary():
    published = {"[CLS]": 0, "[SEP]": 1, "[BOS]": 2, "[MASK]": 3, "[PAD]": 4, "[RESERVED]": 5, "[UNK]": 6}
    published |= {"A": 7, "C": 8, "G": 9, "T": 10, "N": 11}
    assert {token: TOKENIZER.id_of(token) for token in CADUCEUS_TOKENS} == published
    assert TOKENIZER.vocab_size == len(published)


def test_published_examples():
    assert TOKENIZER.encode("ACGT", add_special_tokens=True).tolist() == [7, 8, 9, 10, 1]
    batch = TOKENIZER.encode_batch(["AC", "ACGT"], add_special_tokens=True)
    assert batch.ids[0].tolist() == [4, 4, 7, 8, 1]
    assert batch.lengths.tolist() == [3, 5]


def test_published_complement():
    table = {i: i for i in range(16)} | {7: 10, 8: 9, 9: 8, 10: 7}
    assert TOKENIZER.complement_map(16) == table
    assert list(TOKENIZER.complement_map(16)) == list(range(16))
    assert TOKENIZER.complement.tolist() == [table[i] for i in range(12)]


# Ids, special tokens and policies of the public tokenizers as their code has them; "acgR" shows case and ambiguity.
PUBLISHED = {
    "caduceus": ("acgR", [7, 8, 9, 6, 1], {7: 10, 8: 9, 9: 8, 10: 7}),
    "hyenadna": ("acGT", [6, 6, 9, 10, 1], {7: 10, 8: 9, 9: 8, 10: 7}),
    "hyenadna-standalone": ("ACgT", [0, 7, 8, 6, 10, 1], {7: 10, 8: 9, 9: 8, 10: 7}),
    "plantcaduceus": ("acGTN", [3, 4, 5, 6, 2], {3: 6, 4: 5, 5: 4, 6: 3}),
}


@pytest.mark.parametrize("system", PUBLISHED)
def test_published_systems(system):
    text, ids, swaps = PUBLISHED[system]
    tokenizer = NucleotideTokenizer.published(system)
    assert tokenizer.encode(text, add_special_tokens=True).tolist() == ids
    size = 8 if system == "plantcaduceus" else 16
    assert tokenizer.complement_map(size) == {i: i for i in range(size)} | swaps
    assert tokenizer_from_dict(json.loads(json.dumps(tokenizer.to_dict()))) == tokenizer


def test_unknown_published_system():
    with pytest.raises(UserError, match=r"published tokenizer 'caduseus'.*'caduceus'"):
        NucleotideTokenizer.published("caduseus")


@given(dna)
def test_round_trip(text):
    ids = TOKENIZER.encode(text)
    assert ids.dtype == np.uint8
    assert ids.shape == (len(text),)
    assert TOKENIZER.decode(ids) == text
    assert TOKENIZER.decode(TOKENIZER.encode(text, add_special_tokens=True)) == text
    assert np.array_equal(TOKENIZER.encode(text.encode()), ids)


@given(st.text(max_size=60))
def test_any_text_keeps_its_length_and_unknown_letters_round_trip(text):
    ids = TOKENIZER.encode(text)
    assert len(ids) == len(text)
    assert np.array_equal(TOKENIZER.encode(TOKENIZER.decode(ids)), ids)


@given(dna)
def test_reverse_complement_is_that_of_the_text(text):
    ids = TOKENIZER.encode(text)
    assert TOKENIZER.decode(TOKENIZER.reverse_complement(ids)) == str(Seq(text).reverse_complement())


@given(st.lists(st.integers(0, 15), max_size=50))
def test_reverse_complement_is_an_involution(ids):
    row = np.array(ids, dtype=np.uint8)
    assert np.array_equal(TOKENIZER.reverse_complement(TOKENIZER.reverse_complement(row)), row)
    rows = np.stack([row, row[::-1]])
    assert np.array_equal(TOKENIZER.reverse_complement(rows)[1], TOKENIZER.reverse_complement(rows[1]))


@given(st.lists(dna, max_size=5), st.sampled_from(["left", "right"]))
def test_padding_adds_only_pads_on_one_side(texts, side):
    tokenizer = NucleotideTokenizer(padding_side=side)
    ids, lengths = tokenizer.encode_batch(texts)
    assert ids.shape == (len(texts), max((len(text) for text in texts), default=0))
    for row, length, text in zip(ids, lengths, texts, strict=True):
        kept, pads = (
            (row[len(row) - length :], row[: len(row) - length]) if side == "left" else (row[:length], row[length:])
        )
        assert np.array_equal(kept, tokenizer.encode(text))
        assert (pads == tokenizer.pad_id).all()


def test_batch_longer_than_asked_for_is_refused():
    with pytest.raises(UserError, match=r"Sequence 1 has 5 tokens"):
        TOKENIZER.encode_batch(["ACGT", "ACGTA"], length=4)


@pytest.mark.parametrize(
    ("options", "text", "same_as"),
    [
        ({}, "acgtn", "ACGTN"),
        ({"lower": "n"}, "ACgtn", "ACNNN"),
        ({"lower": "unk"}, "ACgtn", "AC???"),
        ({}, "RYSWKMBDHVr", "???????????"),
        ({"iupac": "n"}, "RYSWKMBDHVr", "NNNNNNNNNNN"),
        ({"iupac": "n", "lower": "unk"}, "Rr", "N?"),
        ({}, "AUu", "ATT"),
        ({"uracil": "unk"}, "AUu", "A??"),
    ],
)
def test_policies(options, text, same_as):
    tokenizer = NucleotideTokenizer(**options)
    expected = [tokenizer.unk_id if letter == "?" else tokenizer.id_of(letter) for letter in same_as]
    assert tokenizer.encode(text).tolist() == expected


@given(st.text(alphabet="ACGTNURYKacgtnury-*E", max_size=100), st.integers(0, 100))
def test_census_counts_letters_and_adds_up(text, cut):
    census = TOKENIZER.census(text)
    upper = text.upper()
    assert census.to_dict() == {
        "length": len(text),
        "lower_case": sum(letter.islower() for letter in text),
        "iupac": sum(letter in "RYSWKMBDHV" for letter in upper),
        "n": upper.count("N"),
        "uracil": upper.count("U"),
        "other": sum(letter in "-*E" for letter in text),
    }
    assert TOKENIZER.census(text[:cut]) + TOKENIZER.census(text[cut:]) == census


def test_settings_survive_json():
    tokenizer = NucleotideTokenizer(lower="n", iupac="n", uracil="unk", padding_side="right")
    again = NucleotideTokenizer.from_dict(json.loads(json.dumps(tokenizer.to_dict())))
    assert again == tokenizer
    assert again.fingerprint() == tokenizer.fingerprint()


def test_fingerprint_follows_the_ids_only():
    assert NucleotideTokenizer(padding_side="right", prefix=("[CLS]",)).fingerprint() == TOKENIZER.fingerprint()
    others = [NucleotideTokenizer(lower="n"), NucleotideTokenizer(iupac="n"), NucleotideTokenizer(uracil="unk")]
    assert len({t.fingerprint() for t in [TOKENIZER, *others]}) == 4


@given(dna)
def test_another_vocabulary_brings_its_ids_and_complement(text):
    tokenizer = NucleotideTokenizer(tokens=("[PAD]", "[MASK]", "[UNK]", "A", "C", "G", "T", "N"))
    assert tokenizer.complement_map(8) == {0: 0, 1: 1, 2: 2, 3: 6, 4: 5, 5: 4, 6: 3, 7: 7}
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.base_codes[tokenizer.encode(text)].tolist() == ["ACGTN".index(letter) for letter in text]


def test_bad_settings_are_named_with_near_ones():
    with pytest.raises(UserError, match=r"lower = 'uper'.*'upper'"):
        NucleotideTokenizer(lower="uper")
    with pytest.raises(UserError, match=r"tokenizer key 'iupak'.*'iupac'"):
        NucleotideTokenizer.from_dict({"iupak": "n"})
    with pytest.raises(UserError, match="tokenizer type 'codon'"):
        NucleotideTokenizer.from_dict({"type": "codon"})
    with pytest.raises(UserError, match="lacks \\['T'\\]"):
        NucleotideTokenizer(tokens=("A", "C", "G", "N"))


def test_ids_outside_the_vocabulary_are_refused():
    with pytest.raises(ValueError, match="12"):
        TOKENIZER.decode([7, 12])
