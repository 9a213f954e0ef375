"""Codons: translation as Biopython's by every genetic code, back-translation its inverse, six frames."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from Bio.Data import CodonTable
from Bio.Data.CodonTable import TranslationError
from Bio.Seq import Seq
from Bio.Seq import translate as bio_translate
from hypothesis import given
from hypothesis import strategies as st

from seqdna.tokenizers import CodonTokenizer, codon_usage, tokenizer_from_dict
from seqsuite.errors import UserError

CODES = sorted(CodonTable.unambiguous_dna_by_id)
# Codes in which a codon is a stop or an amino acid: Biopython warns of them whenever it translates.
quiet = pytest.mark.filterwarnings("ignore::Bio.BiopythonWarning")
bases = st.text(alphabet="ACGT", max_size=90)
codes = st.sampled_from(CODES)
ALL = "".join(CodonTokenizer().tokens[7:])


def reference(text: str, code: int, **options) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bio_translate(text, table=code, **options)


@pytest.mark.parametrize("code", CODES)
def test_all_codons_translate_as_biopython_does(code):
    assert CodonTokenizer(code=code).translate(ALL) == reference(ALL, code)


@given(bases, codes, st.integers(0, 2))
def test_texts_and_ids_translate_as_biopython_does(text, code, frame):
    tokenizer = CodonTokenizer(code=code, frame=frame)
    inside = text[frame:]
    expected = reference(inside[: len(inside) // 3 * 3], code)
    assert tokenizer.translate(text) == expected
    assert tokenizer.translate(tokenizer.encode(text, add_special_tokens=True)) == expected
    assert tokenizer.translate(text.lower().replace("t", "u")) == expected
    assert tokenizer.translate(text, to_stop=True) == expected.split("*")[0]


@given(bases, codes)
def test_coding_sequences_are_judged_as_biopython_judges_them(text, code):
    try:
        expected = reference(text, code, cds=True)
    except TranslationError:
        expected = None
    if expected is None:
        with pytest.raises(UserError, match="Not a coding sequence"):
            CodonTokenizer(code=code).translate(text, cds=True)
    else:
        assert CodonTokenizer(code=code).translate(text, cds=True) == expected


def simple(code: int) -> bool:
    """No codon is both a stop and an amino acid."""
    table = CodonTable.unambiguous_dna_by_id[code]
    return not set(table.stop_codons) & set(table.forward_table)


@given(st.data(), codes.filter(simple))
def test_whole_genes_of_every_code(data, code):
    tokenizer = CodonTokenizer(code=code)
    start, stop = (data.draw(st.sampled_from(c)) for c in (tokenizer.start_codons, tokenizer.stop_codons))
    inner = data.draw(st.lists(st.sampled_from([c for c in tokenizer.tokens[7:] if c not in tokenizer.stop_codons])))
    gene = start + "".join(inner) + stop
    protein = tokenizer.translate(gene, cds=True)
    assert protein == reference(gene, code, cds=True)
    assert protein.startswith("M")


def test_coding_sequence_errors_name_the_codon():
    tokenizer = CodonTokenizer(code=11)
    for text, message in (
        ("ATGGCTTAAGCTTAA", "codon 3 of 5 is a stop"),
        ("GCTGCTTAA", "codon 1 is GCT"),
        ("ATGGCT", "last codon, 2, is GCT"),
        ("ATGGCTTAAG", "10 bases are no whole codons"),
        ("", "codon 1 is nothing"),
    ):
        with pytest.raises(UserError, match=message):
            tokenizer.translate(text, cds=True)


@given(st.data(), codes, st.booleans())
def test_back_translation_translates_back(data, code, drawn):
    tokenizer = CodonTokenizer(code=code)
    letters = sorted(set(CodonTable.unambiguous_dna_by_id[code].forward_table.values()))
    protein = "".join(data.draw(st.lists(st.sampled_from([*letters, "X"]), max_size=30)))
    choose = np.random.default_rng(0) if drawn else "most_frequent"
    assert tokenizer.translate(tokenizer.back_translate(protein, choose=choose)) == protein


def test_back_translation_follows_the_usage():
    tokenizer = CodonTokenizer()
    usage = codon_usage(["CUGCUGUUA", "CTGNNNcc"])
    assert usage == {"CTG": 3, "TTA": 1}
    assert tokenizer.back_translate("LL", usage) == "CTGCTG"
    assert tokenizer.back_translate("L") == "CTA"
    assert tokenizer.back_translate("M*", usage) == "ATGTAA"
    drawn = tokenizer.back_translate("L" * 4000, {"cug": 3, "UUA": 1}, choose=np.random.default_rng(7))
    found = codon_usage([drawn])
    assert set(found) == {"CTG", "TTA"}
    # 4000 draws with p = 3/4: four standard deviations are 110.
    assert abs(found["CTG"] - 3000) < 110
    assert drawn == tokenizer.back_translate("L" * 4000, {"CTG": 3, "TTA": 1}, choose=np.random.default_rng(7))


def test_back_translation_refuses_what_it_cannot_write():
    tokenizer = CodonTokenizer()
    with pytest.raises(UserError, match=r"Letter 3 of the protein, 'B'"):
        tokenizer.back_translate("MAB")
    with pytest.raises(UserError, match=r"usage table: 'CUGG'"):
        tokenizer.back_translate("M", {"CUGG": 1})
    with pytest.raises(UserError, match="frequency -1"):
        tokenizer.back_translate("M", {"CUG": -1})
    with pytest.raises(UserError, match="choice of codons"):
        tokenizer.back_translate("M", choose="best")


def test_codons_of_an_amino_acid():
    assert CodonTokenizer().codons("W") == ("TGG",)
    assert CodonTokenizer(code=2).codons("W") == ("TGA", "TGG")
    assert CodonTokenizer().codons("*") == ("TAA", "TAG", "TGA")
    with pytest.raises(UserError, match="amino acid"):
        CodonTokenizer().codons("J")


@quiet
@given(st.text(alphabet="ACGTNRacgtn", max_size=50))
def test_six_frames(text):
    tokenizer = CodonTokenizer(code=11, frame=1)
    frames = tokenizer.six_frames(text)
    assert list(frames) == [1, 2, 3, -1, -2, -3]
    for frame, ids in frames.items():
        strand = Seq(text) if frame > 0 else Seq(text).reverse_complement()
        inside = str(strand)[abs(frame) - 1 :].upper()
        words = [inside[i : i + 3] for i in range(0, len(inside) - 2, 3)]
        expected = "".join("X" if set(word) - set("ACGT") else reference(word, 11) for word in words)
        assert tokenizer.translate(ids) == expected


@given(st.text(alphabet="ACGTNacgt", max_size=50), st.integers(0, 2))
def test_census_accounts_for_frame_end_and_ambiguity(text, frame):
    census = CodonTokenizer(frame=frame).census(text)
    inside = text[frame:]
    words = [inside[i : i + 3].upper() for i in range(0, len(inside) - 2, 3)]
    assert census.tokens == len(words)
    assert census.unknown == sum("N" in word for word in words)
    assert census.dropped == len(text) - 3 * len(words)
    assert census.letters.length == len(text)


@given(bases, st.integers(0, 2))
def test_round_trip_and_the_other_strand(text, frame):
    tokenizer = CodonTokenizer(frame=frame)
    ids = tokenizer.encode(text)
    inside = text[frame:]
    whole = inside[: len(inside) // 3 * 3]
    assert tokenizer.decode(ids) == whole
    other = tokenizer.reverse_complement(ids)
    assert tokenizer.decode(other) == str(Seq(whole).reverse_complement())
    assert np.array_equal(tokenizer.reverse_complement(other), ids)


def test_settings_survive_json_and_find_their_type():
    tokenizer = CodonTokenizer(code=11, frame=2, ragged="unk", lower="unk")
    again = tokenizer_from_dict(json.loads(json.dumps(tokenizer.to_dict())))
    assert again == tokenizer
    assert CodonTokenizer(code=2).fingerprint() == CodonTokenizer().fingerprint()
    assert CodonTokenizer(frame=1).fingerprint() != CodonTokenizer().fingerprint()


def test_bad_settings():
    with pytest.raises(UserError, match="genetic code '7'"):
        CodonTokenizer(code=7)
    with pytest.raises(UserError, match="skips 0, 1 or 2"):
        CodonTokenizer(frame=3)
