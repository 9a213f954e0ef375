"""BED files: read as written, settled against the genome's names and lengths, one line for what is wrong."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqdna.data import BedRow, Genome, Interval, open_indexed, read_bed, resolve_names
from seqsuite.errors import UserError

GENOME = Genome.from_sequences({"chr1": "ACGT" * 10, "2": "ACGT", "chrM": "ACGT"})

rows = st.builds(
    BedRow,
    chrom=st.sampled_from(["chr1", "chr2", "contig_3"]),
    start=st.integers(0, 500),
    end=st.integers(500, 1000),
    name=st.sampled_from(["gene", "a-b", "."]),
    score=st.sampled_from([None, 0.0, 12.5, 1000.0]),
    strand=st.sampled_from("+-."),
    extra=st.lists(st.sampled_from(["x", "12", "0,5,"]), max_size=3).map(tuple),
)


def line(row: BedRow) -> str:
    """A row as a BED line."""
    score = "." if row.score is None else f"{row.score:g}"
    return "\t".join([row.chrom, str(row.start), str(row.end), row.name, score, row.strand, *row.extra])


@given(st.lists(rows, min_size=1, max_size=6), st.sampled_from(["\n", "\r\n"]), st.booleans(), st.data())
def test_rows_survive_being_written(expected, end, packed, data):
    lines, numbers = [], []
    for row in expected:
        lines += data.draw(
            st.lists(st.sampled_from(["", "# note", "track name=x", "browser position chr1"]), max_size=2)
        )
        lines.append(line(row))
        numbers.append(len(lines))
    content = (end.join(lines) + data.draw(st.sampled_from(["", end]))).encode()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "regions.bed"
        path.write_bytes(gzip.compress(content) if packed else content)
        found = read_bed(path)
    assert [row.line for row in found] == numbers
    assert [line(row) for row in found] == [line(row) for row in expected]


def test_few_columns_and_blanks(tmp_path):
    path = tmp_path / "regions.bed"
    path.write_text("chr1 3 8\n2\t0\t4\tname with blanks\n")
    first, second = read_bed(path, GENOME)
    assert (first.chrom, first.start, first.end, first.name, first.score, first.strand) == ("chr1", 3, 8, "", None, ".")
    assert first.interval == Interval("chr1", 3, 8)
    assert second.name == "name with blanks"
    path.write_text("chr1\t3\t8\tx\t1\t-\n")
    assert read_bed(path)[0].interval == Interval("chr1", 3, 8, "-")


def test_names_are_settled_against_the_genome(tmp_path, formats):
    path = tmp_path / "regions.bed"
    path.write_text("1\t0\t40\nchr2\t0\t4\nMT\t0\t4\nchr1\t1\t2\n")
    settled = ["chr1", "2", "chrM", "chr1"]
    assert [row.chrom for row in read_bed(path, GENOME)] == settled
    assert [row.chrom for row in read_bed(path, {"chr1": 40, "2": 4, "chrM": 4})] == settled
    assert [row.chrom for row in read_bed(path, ["chrM", "2", "chr1"])] == settled
    indexed = open_indexed(formats.two_bit(tmp_path / "g.2bit", {"chr1": "ACGT" * 10, "2": "ACGT", "chrM": "ACGT"}))
    assert [row.chrom for row in read_bed(path, indexed)] == settled


def test_resolve_names():
    assert resolve_names(["1", "chr2", "chrX"], ["chr1", "2", "chrX"]) == {"1": "chr1", "chr2": "2", "chrX": "chrX"}
    assert resolve_names(["1", "chr1"], ["chr1", "1"]) == {"1": "1", "chr1": "chr1"}
    for wanted in ("M", "MT", "chrM", "chrMT"):
        for known in ("M", "MT", "chrM", "chrMT"):
            assert resolve_names([wanted], ["chr1", known]) == {wanted: known}
    with pytest.raises(UserError, match=r"^Unknown record 'chr11'\. Did you mean 'chr1'"):
        resolve_names(["chr11"], ["chr1", "chrX"])


BAD = {
    "beyond": ("chr1\t0\t4\nchr1\t5\t41\n", r"line 2: chr1:5-41 reaches beyond the record 'chr1', which has 40 bases"),
    "beyond by alias": ("1\t5\t41\n", r"line 1: 1:5-41 reaches beyond the record 'chr1', which has 40 bases"),
    "unknown": ("# a\nchr11\t0\t4\n", r"line 2: unknown record 'chr11'\. Did you mean 'chr1'"),
    "two columns": ("chr1\t0\n", r"line 1: expected a record name, a start and an end, found 'chr1\\t0'"),
    "no number": ("chr1\tx\t4\n", r"line 1: the start is 'x'"),
    "negative": ("chr1\t-1\t4\n", r"line 1: the start is '-1'"),
    "decimal": ("chr1\t1\t4.0\n", r"line 1: the end is '4\.0'"),
    "reversed": ("chr1\t8\t4\n", r"line 1: the interval starts at 8, behind its end 4"),
    "score": ("chr1\t1\t4\tx\thigh\n", r"line 1: the score \(column 5\) is 'high'"),
    "strand": ("chr1\t1\t4\tx\t0\tplus\n", r"line 1: the strand \(column 6\) is 'plus'"),
    "empty": ("", "the file is empty"),
    "comments": ("# nothing\ntrack a\n", "holds no interval"),
    "binary": ("\x7fELF\x02\x01\x00\n", "line 1: expected a record name"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_told_in_one_line(case, tmp_path):
    text, message = BAD[case]
    path = tmp_path / "bad.bed"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as raised:
        read_bed(path, GENOME)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_truncated_gzip_and_missing_file(tmp_path):
    path = tmp_path / "cut.bed.gz"
    path.write_bytes(gzip.compress(b"".join(b"chr1\t%d\t%d\n" % (i, i * i + 1) for i in range(2000)))[:-20])
    with pytest.raises(UserError, match=r"cut\.bed\.gz: .*truncated"):
        read_bed(path)
    with pytest.raises(UserError, match=r"cut\.bed: no such file.*'cut\.bed\.gz'"):
        read_bed(tmp_path / "cut.bed")
