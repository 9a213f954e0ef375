"""k-mer tokenizers: equal to slicing the text, exact on the other strand, explicit about what they cannot read."""

from __future__ import annotations

import json

import numpy as np
import pytest
from Bio.Seq import Seq
from hypothesis import given
from hypothesis import strategies as st

from seqdna.tokenizers import CADUCEUS_TOKENS, KmerTokenizer, NucleotideTokenizer, tokenizer_from_dict
from seqsuite.errors import UserError

bases = st.text(alphabet="ACGT", max_size=60)
letters = st.text(alphabet="ACGTNRacgtnu", max_size=60)
sizes = st.integers(1, 5)


def words(text: str, k: int, stride: int) -> list[str]:
    """The k-mers of a text, by slicing."""
    return [text[i : i + k] for i in range(0, len(text) - k + 1, stride)]


@given(letters, sizes, st.booleans())
def test_tokens_are_the_slices_of_the_text(text, k, overlapping):
    stride = 1 if overlapping else k
    tokenizer = KmerTokenizer(k=k, stride=stride)
    plain = text.upper().replace("U", "T")
    expected = ["[UNK]" if set(word) - set("ACGT") else word for word in words(plain, k, stride)]
    ids = tokenizer.encode(text)
    assert [tokenizer.tokens[i] for i in ids] == expected
    assert ids.dtype == np.int32


@pytest.mark.parametrize("k", [1, 2, 3, 6])
def test_vocabulary_is_special_tokens_then_all_kmers(k):
    tokenizer = KmerTokenizer(k=k)
    assert tokenizer.vocab_size == len(tokenizer) == 7 + 4**k
    assert tokenizer.tokens[:7] == CADUCEUS_TOKENS[:7]
    assert list(tokenizer.tokens[7:]) == sorted(set(tokenizer.tokens[7:]))
    assert tokenizer.id_of("A" * k) == 7


@given(bases, sizes, st.booleans())
def test_round_trip(text, k, overlapping):
    tokenizer = KmerTokenizer(k=k, stride=1 if overlapping else k)
    whole = text if overlapping else text[: len(text) // k * k]
    decoded = tokenizer.decode(tokenizer.encode(text))
    assert decoded == (whole if len(text) >= k else "")
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=True)) == decoded


@given(letters, sizes)
def test_unknown_letters_decode_to_question_marks_only_where_no_kmer_knows_them(text, k):
    tokenizer = KmerTokenizer(k=k, stride=1)
    plain = text.upper().replace("U", "T")
    decoded = tokenizer.decode(tokenizer.encode(text))
    assert len(decoded) == (len(text) if len(text) >= k else 0)
    for i, letter in enumerate(decoded):
        near = [plain[j : j + k] for j in range(max(i - k + 1, 0), min(i, len(text) - k) + 1)]
        assert letter == (plain[i] if any(not set(word) - set("ACGT") for word in near) else "?")


@given(letters, sizes, st.booleans())
def test_reverse_complement_is_that_of_the_text(text, k, overlapping):
    tokenizer = KmerTokenizer(k=k, stride=1 if overlapping else k)
    whole = text if overlapping else text[: len(text) // k * k]
    other = str(Seq(whole.replace("u", "t")).reverse_complement())
    assert np.array_equal(tokenizer.reverse_complement(tokenizer.encode(whole)), tokenizer.encode(other))


@given(st.integers(1, 4), st.lists(st.integers(0, 260), max_size=40))
def test_reverse_complement_is_an_involution(k, raw):
    tokenizer = KmerTokenizer(k=k)
    row = np.array(raw, dtype=np.int64) % tokenizer.vocab_size
    assert np.array_equal(tokenizer.reverse_complement(tokenizer.reverse_complement(row)), row)
    rows = np.stack([row, row[::-1]])
    assert np.array_equal(tokenizer.reverse_complement(rows)[1], tokenizer.reverse_complement(rows[1]))
    spare = tokenizer.complement_map(tokenizer.vocab_size + 3)
    assert all(spare[spare[i]] == i for i in spare)
    assert spare[tokenizer.vocab_size + 2] == tokenizer.vocab_size + 2


def test_ragged_end_by_policy():
    text = "ACGTACG"
    assert KmerTokenizer(k=3).decode(KmerTokenizer(k=3).encode(text)) == "ACGTAC"
    unk = KmerTokenizer(k=3, ragged="unk")
    assert [unk.tokens[i] for i in unk.encode(text)] == ["ACG", "TAC", "[UNK]"]
    assert [unk.tokens[i] for i in unk.encode("AC")] == ["[UNK]"]
    assert len(unk.encode("")) == 0
    strict = KmerTokenizer(k=3, ragged="error")
    assert len(strict.encode("ACGTAC")) == 2
    with pytest.raises(UserError, match=r"last 1 of 7 bases.*ragged='drop'"):
        strict.encode(text)
    with pytest.raises(UserError, match=r"last 2 of 2 bases"):
        KmerTokenizer(k=3, stride=1, ragged="error").encode("AC")


@given(letters, sizes, st.booleans(), st.sampled_from(["drop", "unk"]))
def test_census_accounts_for_every_letter(text, k, overlapping, ragged):
    tokenizer = KmerTokenizer(k=k, stride=1 if overlapping else k, ragged=ragged)
    census = tokenizer.census(text)
    ids = tokenizer.encode(text)
    assert census.letters == NucleotideTokenizer().census(text)
    assert census.tokens == len(ids)
    assert census.unknown == [tokenizer.tokens[i] for i in ids].count("[UNK]")
    in_tokens = {i + j for i in range(0, len(text) - k + 1, tokenizer.step) for j in range(k)}
    assert census.dropped == (len(text) - len(in_tokens) if ragged == "drop" else 0)
    assert (census + census).to_dict() == {name: 2 * count for name, count in census.to_dict().items()}


def test_policies_of_letters():
    assert KmerTokenizer(k=2, lower="unk").encode("acAC").tolist() == [6, 8]
    assert KmerTokenizer(k=2, uracil="unk").encode("AUAA").tolist() == [6, 7]
    assert KmerTokenizer(k=2).encode("au").tolist() == KmerTokenizer(k=2).encode("AT").tolist()


def test_batches_are_padded():
    tokenizer = KmerTokenizer(k=2, padding_side="right")
    ids, lengths = tokenizer.encode_batch(["ACGT", "AC"], add_special_tokens=True)
    names = [[tokenizer.tokens[i] for i in row] for row in ids]
    assert names == [["AC", "GT", "[SEP]"], ["AC", "[SEP]", "[PAD]"]]
    assert lengths.tolist() == [3, 2]
    assert tokenizer.decode(ids[1]) == "AC"
    assert tokenizer.decode(ids[1], skip_special_tokens=False) == "AC[SEP][PAD]"


def test_overlapping_kmers_that_contradict_each_other_are_refused():
    tokenizer = KmerTokenizer(k=2, stride=1)
    with pytest.raises(ValueError, match="contradict"):
        tokenizer.decode([tokenizer.id_of("AC"), tokenizer.id_of("GT")])
    with pytest.raises(ValueError, match="vocabulary has 23"):
        tokenizer.decode([23])


def test_settings_survive_json_and_find_their_type():
    tokenizer = KmerTokenizer(k=4, stride=1, lower="unk", ragged="unk", suffix=(), padding_side="right")
    again = tokenizer_from_dict(json.loads(json.dumps(tokenizer.to_dict())))
    assert again == tokenizer
    assert again.fingerprint() == tokenizer.fingerprint()
    assert KmerTokenizer(k=4).fingerprint() == KmerTokenizer(k=4, padding_side="right", prefix=("[CLS]",)).fingerprint()
    others = [KmerTokenizer(k=4), KmerTokenizer(k=3), KmerTokenizer(k=4, stride=1), KmerTokenizer(k=4, ragged="unk")]
    assert len({t.fingerprint() for t in others}) == 4


def test_bad_settings():
    with pytest.raises(UserError, match="1 to 10 bases, not 11"):
        KmerTokenizer(k=11)
    with pytest.raises(UserError, match=r"stride of 6-mers is 1.*or 6"):
        KmerTokenizer(k=6, stride=2)
    with pytest.raises(UserError, match=r"ragged = 'dorp'.*'drop'"):
        KmerTokenizer(ragged="dorp")
    with pytest.raises(UserError, match=r"tokenizer type 'codom'.*'codon'"):
        tokenizer_from_dict({"type": "codom"})
    with pytest.raises(UserError, match=r"tokenizer key 'K'"):
        tokenizer_from_dict({"type": "kmer", "K": 3})
