"""How sequences are cut, and where they come from."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqdna.data import open_genome
from seqdna.embedding import Tiling, bed_pieces, csv_pieces, fasta_pieces, named_pieces
from seqdna.tokenizers import NucleotideTokenizer
from seqsuite.errors import UserError

TOKENIZER = NucleotideTokenizer()
TEXT = "ACGTTGCAACCATTGACAGG"


@settings(deadline=None)
@given(length=st.integers(1, 300), window=st.integers(1, 120), step=st.integers(1, 120))
def test_tiles_cover_a_sequence_and_share_out_its_bases(length: int, window: int, step: int) -> None:
    ids = np.arange(length) % 250
    tiling = Tiling(window, min(step, window), every_base=True)
    kept = []
    for piece in tiling.cut(0, "x", ids.astype(np.uint8), origin=7):
        assert len(piece.ids) == piece.end - piece.start == min(window, length)
        np.testing.assert_array_equal(piece.ids, ids[piece.start - 7 : piece.end - 7])
        kept.append(piece.places())
    np.testing.assert_array_equal(np.concatenate(kept), np.arange(7, 7 + length))


@settings(deadline=None)
@given(length=st.integers(60, 300), step=st.integers(1, 40))
def test_each_base_is_kept_where_it_lies_deepest(length: int, step: int) -> None:
    pieces = list(Tiling(40, step, every_base=True).cut(0, "x", np.zeros(length, dtype=np.uint8)))

    def depth(piece, place: int) -> int:
        return min(place - piece.start, piece.end - 1 - place)

    for piece in pieces:
        for place in piece.places():
            best = max(depth(other, place) for other in pieces if other.start <= place < other.end)
            assert depth(piece, place) >= best - 1  # the middle of an odd overlap falls to one side


def test_a_sequence_as_long_as_the_window_stays_whole() -> None:
    (piece,) = named_pieces({"a": "ACGTA"}, TOKENIZER, Tiling(5, 2))
    assert (piece.start, piece.end) == (0, 5)


def test_too_long_for_one_piece() -> None:
    with pytest.raises(UserError, match="'a' has 5 bases, more than 4 at once: add --window"):
        list(named_pieces({"a": "ACGTA"}, TOKENIZER, Tiling(max_length=4)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": -1}, "--window is -1"),
        ({"window": 4, "step": 0}, "--step is 0"),
        ({"step": 3}, "--step needs a --window"),
        ({"window": 0, "step": 3}, "--step needs a --window"),
        ({"window": 4, "step": 5, "every_base": True}, "--step 5 is longer than --window 4"),
    ],
)
def test_impossible_tilings(options, message) -> None:
    with pytest.raises(UserError, match=message):
        Tiling(**options)


@pytest.fixture
def fasta(tmp_path):
    path = tmp_path / "g.fa"
    path.write_text(f">1 first\n{TEXT}\n>2\n{TEXT[::-1]}\n")
    return path


def test_fasta_records_in_order(fasta) -> None:
    pieces = list(fasta_pieces(fasta, TOKENIZER, Tiling()))
    assert [piece.name for piece in pieces] == ["1", "2"]
    assert [TOKENIZER.decode(piece.ids) for piece in pieces] == [TEXT, TEXT[::-1]]


def test_intervals_of_a_bed_file(fasta, tmp_path) -> None:
    bed = tmp_path / "g.bed"
    bed.write_text("chr1\t2\t8\tgene\t0\t+\nchr1\t2\t8\tanti\t0\t-\n2\t0\t20\n")
    pieces = list(bed_pieces(bed, open_genome(fasta), Tiling()))
    assert [piece.name for piece in pieces] == ["gene", "anti", "2:0-20"]
    assert TOKENIZER.decode(pieces[0].ids) == TEXT[2:8]
    assert TOKENIZER.decode(pieces[1].ids) == TEXT[2:8].translate(str.maketrans("ACGT", "TGCA"))[::-1]
    assert pieces[1].places().tolist() == [7, 6, 5, 4, 3, 2]


def test_tiles_of_the_other_strand_have_forward_coordinates(fasta, tmp_path) -> None:
    bed = tmp_path / "g.bed"
    bed.write_text("1\t2\t19\tanti\t0\t-\n")
    genome = open_genome(fasta)
    places = []
    for piece in bed_pieces(bed, genome, Tiling(6, 4, every_base=True)):
        assert TOKENIZER.decode(TOKENIZER.reverse_complement(piece.ids)) == TEXT[piece.start : piece.end]
        places += piece.places().tolist()
    assert places == list(range(18, 1, -1))


def test_an_empty_interval_is_named_by_its_line(fasta, tmp_path) -> None:
    bed = tmp_path / "g.bed"
    bed.write_text("1\t2\t8\n1\t5\t5\n")
    with pytest.raises(UserError, match=r"g\.bed, line 2: the interval has no base"):
        list(bed_pieces(bed, open_genome(fasta), Tiling()))


@pytest.mark.parametrize("packed", [False, True])
def test_csv_rows(tmp_path, packed) -> None:
    path = tmp_path / ("s.csv.gz" if packed else "s.csv")
    content = b"id,sequence,label\nx,ACGT,1\n,acgtn,0\n"
    path.write_bytes(gzip.compress(content) if packed else content)
    pieces = list(csv_pieces(path, TOKENIZER, Tiling(), name_column="id"))
    assert [(piece.name, TOKENIZER.decode(piece.ids)) for piece in pieces] == [("x", "ACGT"), ("", "ACGTN")]
    assert [piece.name for piece in csv_pieces(path, TOKENIZER, Tiling())] == ["row_1", "row_2"]


def test_tsv(tmp_path) -> None:
    path = tmp_path / "s.tsv"
    path.write_text("sequence\tid\nACGT\ta\n")
    assert [piece.name for piece in csv_pieces(path, TOKENIZER, Tiling(), name_column="id")] == ["a"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"sequences,label\nACGT,1\n", r"no column 'sequence'\. Did you mean 'sequences'"),
        (b"sequence,label\nACGT,1\nACJT,1\n", "line 3, column 'sequence': 'J' is no nucleotide code"),
        (b"sequence,label\nACGT,1\n,1\n", "line 3, column 'sequence': the sequence is empty"),
        (b"sequence,label\n", "no row below the heading"),
        (b"", "no column 'sequence'"),
        (b"sequence\n\xff\xfe\n", "no readable CSV"),
    ],
)
def test_bad_tables(tmp_path, content, message) -> None:
    path = tmp_path / "s.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        list(csv_pieces(path, TOKENIZER, Tiling()))
