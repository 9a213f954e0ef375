"""FASTA reading: equal to Biopython on what is good, one line that names file and line on what is not."""

from __future__ import annotations

import gzip
import io
import tempfile
from pathlib import Path

import pytest
from Bio import bgzf
from Bio.SeqIO.FastaIO import SimpleFastaParser
from hypothesis import given
from hypothesis import strategies as st

from seqdna.data.fasta import read_fasta, stream_fasta
from seqsuite.errors import UserError


@st.composite
def fasta_texts(draw):
    """A well-formed FASTA text in one of its many shapes."""
    end = draw(st.sampled_from(["\n", "\r\n"]))
    lines = draw(st.lists(st.sampled_from(["", "  "]), max_size=2))
    for i in range(draw(st.integers(1, 4))):
        lines.append(f">record{i}" + draw(st.sampled_from(["", " a description", "\tlength=5", " "])))
        sequence = draw(st.text(alphabet="ACGTUNRYacgtun", min_size=1, max_size=60))
        width = draw(st.integers(1, 70))
        for j in range(0, len(sequence), width):
            lines.append(sequence[j : j + width] + draw(st.sampled_from(["", "", " ", "\t "])))
            lines += draw(st.sampled_from([[], [], [""]]))
    return end.join(lines) + draw(st.sampled_from(["", end, end + end]))


def pack(text: bytes, how: str) -> bytes:
    if how == "plain":
        return text
    if how == "gzip":
        return gzip.compress(text)
    if how == "two members":
        return gzip.compress(text[: len(text) // 2]) + gzip.compress(text[len(text) // 2 :])
    out = io.BytesIO()
    writer = bgzf.BgzfWriter(fileobj=out)
    writer.write(text)
    writer.flush()
    return out.getvalue() + bgzf._bgzf_eof


@given(fasta_texts(), st.sampled_from(["plain", "gzip", "two members", "bgzip"]), st.integers(1, 50))
def test_reads_what_biopython_reads(text, how, piece_bytes):
    expected = [
        (title.split()[0], "".join(body.split())) for title, body in SimpleFastaParser(io.StringIO(text.strip()))
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "genome.fa"
        path.write_bytes(pack(text.encode(), how))
        assert [(name, sequence.decode()) for name, sequence in read_fasta(path)] == expected
        streamed: dict[str, bytes] = {}
        for name, piece in stream_fasta(path, piece_bytes=piece_bytes):
            assert piece
            streamed[name] = streamed.get(name, b"") + piece
        assert [(name, sequence.decode()) for name, sequence in streamed.items()] == expected


def test_byte_order_mark_is_skipped(tmp_path):
    path = tmp_path / "windows.fa"
    path.write_bytes(b"\xef\xbb\xbf>a\r\nACGT\r\n")
    assert list(read_fasta(path)) == [("a", b"ACGT")]


GOOD = b">one first\nACGTACGT\n>two\nGGCC\n" * 1
LONG = b">one\n" + b"ACGGTCAT" * 5000
BAD = {
    "empty": (b"", "the file is empty"),
    "blank": (b"\n \r\n\n", "nothing but blank lines"),
    "empty gzip": (gzip.compress(b""), "the file is empty"),
    "binary": (b"\x7fELF\x02\x01\x01\x00\x00\x00", r"not a FASTA file \(binary data at line 1\)"),
    "utf-16": (">a\nACGT\n".encode("utf-16"), "not a FASTA file"),
    "fastq": (b"@read1\nACGT\n+\nIIII\n", "FASTQ"),
    "genbank": (b"LOCUS       NC_000913\n", "GenBank"),
    "vcf": (b"##fileformat=VCFv4.2\n", "VCF"),
    "gff": (b"##gff-version 3\n", "GFF"),
    "2bit": (b"\x43\x27\x41\x1a\x00\x00\x00\x00", "2bit"),
    "bare sequence": (b"\nACGTACGT\n", r"line 2: not a FASTA file.*put '>name' above"),
    "text": (b"Dear reader,\n", r"line 1: not a FASTA file.*'Dear reader,'"),
    "protein": (b">ok\nACGT\n>p53\nACGT\nMEEPQSDPSV\n", r"line 5: 'E' in record 'p53' is no nucleotide code.*protein"),
    "digit": (b">a\nACGT\nAC1GT\n", r"line 3: '1' in record 'a'"),
    "gap": (b">a\nAC--GT\n", r"line 2: '-' in record 'a'"),
    "late binary": (b">a\nACGT\nAC\x00GT\n", r"line 3: 'byte 0x00' in record 'a'"),
    "no sequence": (b">a\n", r"line 1: the record 'a' has no sequence"),
    "record without sequence": (b">a\nACGT\n>b\n\n>c\nACGT\n", r"line 3: the record 'b' has no sequence"),
    "last without sequence": (b">a\nACGT\n>b\n \n", r"line 3: the record 'b' has no sequence"),
    "no name": (b">a\nACGT\n>  \nACGT\n", r"line 3: the record has no name"),
    "duplicate": (b">a x\nACGT\n>b\nAC\n>a y\nACGT\n", r"line 5: the record name 'a' was used at line 1"),
    "lone CR": (b">a\rACGT\rACGT\r", "lone CR"),
    "bzip2": (b"BZh91AY&SY", "packed with bzip2"),
    "zip": (b"PK\x03\x04\x14\x00", "packed with zip"),
    "truncated gzip": (gzip.compress(LONG)[:-10], "truncated"),
    "truncated in the header": (gzip.compress(LONG)[:8], "truncated"),
    "gzip with a wrong checksum": (gzip.compress(LONG)[:-8] + b"\0" * 8, "damaged"),
    "truncated bgzip": (pack(LONG, "bgzip")[:-28], "bgzip end mark is missing"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_told_in_one_line(case, tmp_path):
    content, message = BAD[case]
    path = tmp_path / "bad.fa"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as raised:
        list(read_fasta(path))
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_name_in_the_gzip_header_is_no_bgzip_mark(tmp_path):
    path = tmp_path / "g.gz"
    with path.open("wb") as raw, gzip.GzipFile("xxBC.fa", "wb", fileobj=raw) as packed:
        packed.write(b">a\nACGT\n")
    assert path.read_bytes()[12:14] == b"BC"
    assert list(read_fasta(path)) == [("a", b"ACGT")]


def test_missing_file_suggests_near_names(tmp_path):
    (tmp_path / "genome.fasta").write_bytes(GOOD)
    with pytest.raises(UserError, match=r"genom\.fasta: no such file.*'genome\.fasta'"):
        list(read_fasta(tmp_path / "genom.fasta"))
    with pytest.raises(UserError, match="does not exist either"):
        list(read_fasta(tmp_path / "nowhere" / "genome.fasta"))
    with pytest.raises(UserError, match="is a folder"):
        list(read_fasta(tmp_path))
