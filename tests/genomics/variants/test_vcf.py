"""Reading and writing VCF: nothing is lost, nothing is reordered, and what is no VCF is said to be none."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from seqdna.variants.bgzf import BgzfWriter
from seqdna.variants.vcf import VcfReader, annotate, extend_header, parse_record
from seqsuite.errors import UserError

ODD = (
    b"##fileformat=VCFv4.3\n##contig=<ID=c>\n##weird=\xff\xfe\n"
    b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ts1\n"
    b"c\t1\t.\tA\tC\t.\tPASS\tDP=3\tGT\t0|1\n\nno tabs here\nc\tten\t.\tA\tC\t.\t.\t.\n"
    b"c\t0\trs\t.\t<DEL>,*\t.\tq10\t.\r\n"
    b"\t5\t.\tA\tC\t.\t.\t.\nc\t-5\t.\tA\tC\t.\t.\t.\nc\t9\t\xff\tA\tC\t1e3\t.\tX=\xc3\xa9"
)


@pytest.mark.parametrize("packing", ["plain", "gzip", "bgzip"])
def test_lines_come_back_byte_for_byte(tmp_path, packing) -> None:
    path = tmp_path / "odd.vcf"
    if packing == "bgzip":
        with BgzfWriter(path.open("wb")) as out:
            out.write(ODD)
    else:
        path.write_bytes(gzip.compress(ODD, mtime=0) if packing == "gzip" else ODD)
    reader = VcfReader(path)
    for _ in range(2):
        records = list(reader)
        text = "".join(line + "\n" for line in reader.header) + "".join(r.text + r.ending for r in records)
        assert text.encode("utf-8", "surrogateescape") == ODD
    assert [r.problem for r in records] == [
        *("", "too_few_columns", "too_few_columns", "bad_position", "", "bad_position", "bad_position", ""),
    ]
    assert [r.line for r in records] == list(range(5, 13))
    assert (records[4].pos, records[4].alts, records[4].columns[7]) == (0, ("<DEL>", "*"), ".")


def test_annotations_join_what_is_there() -> None:
    record = parse_record(9, "c\t5\t.\tA\tC,G\t.\tq10\tDP=3\tGT\t1/2\n")
    line = annotate(record, [("S", "1,2"), ("T", ".")], ["low", "q10"])
    assert line == "c\t5\t.\tA\tC,G\t.\tq10;low\tDP=3;S=1,2;T=.\tGT\t1/2"
    bare = parse_record(9, "c\t5\t.\tA\tC\t.\tPASS\t.")
    assert annotate(bare, [("S", "1")], ["low"]) == "c\t5\t.\tA\tC\t.\tlow\tS=1"
    assert annotate(bare, [], []) == bare.text


def test_declarations_go_in_front_of_the_columns() -> None:
    header = extend_header(["##a", "#CHROM\tPOS"], [("S", "Float", "score")], [("f", "bad")], "##note")
    assert header == [
        *("##a", '##INFO=<ID=S,Number=A,Type=Float,Description="score">', '##FILTER=<ID=f,Description="bad">'),
        *("##note", "#CHROM\tPOS"),
    ]


@pytest.mark.parametrize("size", [0, 1, 65279, 65280, 65281, 300_000])
def test_bgzip_is_read_by_others(tmp_path, size) -> None:
    from Bio import bgzf

    data = np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8).tobytes()
    path = tmp_path / "x.gz"
    with BgzfWriter(path.open("wb")) as out:
        for first in range(0, size, 1000):
            out.write(data[first : first + 1000])
    assert gzip.decompress(path.read_bytes()) == data
    with bgzf.BgzfReader(str(path), "rb") as reader:
        assert reader.read(size + 1) == data
    assert path.read_bytes().endswith(bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000"))


def test_header_without_records(tmp_path) -> None:
    path = tmp_path / "empty.vcf"
    path.write_text("#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n")
    assert list(VcfReader(path)) == []


BLOCK = gzip.compress(np.random.default_rng(0).integers(0, 9, 50_000, dtype=np.uint8).tobytes(), mtime=0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"##fileformat=VCFv4.2\nc\t1\t.\tA\tC\t.\t.\t.\n", "line 2: expected a header line"),
        (b"##fileformat=VCFv4.2\n", "no #CHROM line"),
        (b"#CHROM POS ID REF ALT QUAL FILTER INFO\n", "line 1: the #CHROM line must hold .* by tabs"),
        (b">c\nACGT\n", "not a VCF file but FASTA"),
        (gzip.compress(b"BCF\2\2\0\0", mtime=0), "BCF; convert it with `bcftools view`"),
        (b"\0\1\2\3", "binary data"),
        (BLOCK[:10_000], "truncated"),
        (BLOCK, "binary data"),
        (gzip.compress(ODD, mtime=0)[:-12], "truncated"),
        (gzip.compress(ODD, mtime=0)[:-8] + b"00000000", "damaged"),
        (gzip.compress(ODD, mtime=0)[:10] + b"\xff" * 60, "damaged"),
    ],
)
def test_what_is_no_vcf(tmp_path, content, message) -> None:
    path = tmp_path / "x.vcf"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        list(VcfReader(path))
    assert str(path) in str(caught.value)


def test_a_truncated_bgzip_file(tmp_path) -> None:
    path = tmp_path / "x.vcf.gz"
    with BgzfWriter(path.open("wb")) as out:
        out.write(ODD)
    path.write_bytes(path.read_bytes()[:-28])
    with pytest.raises(UserError, match="bgzip end mark is missing"):
        VcfReader(path)


def test_no_file(tmp_path) -> None:
    (tmp_path / "calls.vcf").write_text("x")
    with pytest.raises(UserError, match=r"no such file. Did you mean 'calls.vcf'"):
        VcfReader(tmp_path / "call.vcf")
    with pytest.raises(UserError, match="is a folder; give a VCF file"):
        VcfReader(tmp_path)
