"""2bit, GenBank and indexed FASTA: equal to Biopython or to slices of the text, one line for what is damaged."""

from __future__ import annotations

import gzip
import multiprocessing
import os
import pickle
import struct
import tempfile
from pathlib import Path

import pytest
from Bio import SeqIO
from Bio.Seq import Seq
from hypothesis import given
from hypothesis import strategies as st

from seqdna.data import (
    FastaFile,
    Genome,
    TwoBitFile,
    open_genome,
    open_indexed,
    read_genbank,
    read_sequences,
    sequence_format,
    stream_sequences,
)
from seqsuite.errors import UserError

texts = st.lists(st.text(alphabet="ACGTNacgtn", min_size=1, max_size=70), min_size=1, max_size=4)
RECORDS = {"chrA": "ACGTNNacgtnGATTACA" * 9, "chrB": "GATTACA"}


def streamed(path: Path) -> dict[str, str]:
    """All records of a file through the stream."""
    found: dict[str, str] = {}
    for name, piece in stream_sequences(path):
        found[name] = found.get(name, "") + piece.decode()
    assert {name: text.decode() for name, text in read_sequences(path)} == found
    return found


@given(texts, st.sampled_from("<>"), st.sampled_from([0, 1]), st.data())
def test_two_bit_equals_the_text(formats, sequences, order, version, data):
    records = {f"r{i}": text for i, text in enumerate(sequences)}
    with tempfile.TemporaryDirectory() as folder:
        path = formats.two_bit(Path(folder) / "g.2bit", records, order, version)
        opened = TwoBitFile(path)
        assert opened.lengths == {name: len(text) for name, text in records.items()}
        assert streamed(path) == records
        name = data.draw(st.sampled_from(list(records)))
        start = data.draw(st.integers(0, len(records[name])))
        end = data.draw(st.integers(start, len(records[name])))
        assert opened.fetch(name, start, end).decode() == records[name][start:end]
        if version == 0:
            with path.open("rb") as handle:
                assert {r.id: str(r.seq) for r in SeqIO.parse(handle, "twobit")} == streamed(path)


def test_two_bit_spans_pieces(formats, tmp_path, monkeypatch):
    monkeypatch.setattr("seqdna.data.twobit._PIECE", 7)
    assert streamed(formats.two_bit(tmp_path / "g.2bit", RECORDS)) == RECORDS


@pytest.mark.parametrize("cut", [3, 15, 20, 30, 60, 80, -1])
def test_cut_two_bit(formats, tmp_path, cut):
    path = formats.two_bit(tmp_path / "g.2bit", RECORDS)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(UserError, match=r"g\.2bit.*(truncated|cut within|not a FASTA)") as raised:
        list(stream_sequences(path))
    assert "\n" not in str(raised.value)


def test_damaged_two_bit(formats, tmp_path):
    path = formats.two_bit(tmp_path / "g.2bit", RECORDS)
    good = path.read_bytes()

    def refused(content: bytes, message: str) -> None:
        path.write_bytes(content)
        with pytest.raises(UserError, match=message):
            list(stream_sequences(path))

    refused(good[:4] + struct.pack("<I", 7) + good[8:], "version 7")
    refused(good[:8] + struct.pack("<I", 0) + good[12:], "holds no sequence")
    refused(good[:8] + struct.pack("<I", 2**31) + good[12:], "is damaged|or damaged")
    refused(good.replace(b"\x04chrB", b"\x04chrA", 1), "record name 'chrA' is there twice")
    refused(good[:21] + struct.pack("<I", 2) + good[25:], "wrong place")
    refused(good[:21] + struct.pack("<I", 2**31) + good[25:], "truncated or damaged")
    first = struct.unpack("<I", good[21:25])[0]
    refused(good[: first + 8] + struct.pack("<I", 10**6) + good[first + 12 :], "blocks of record 'chrA'")
    refused(gzip.compress(good), "2bit file packed with gzip; unpack it")
    with pytest.raises(UserError, match="no sequence"):
        list(TwoBitFile(formats.two_bit(path, {"a": "ACGT", "b": ""})).stream())


@pytest.mark.parametrize("how", ["plain", "gzip", "bgzip"])
def test_genbank(formats, tmp_path, how):
    upper = {name: text.upper() for name, text in RECORDS.items()}
    text = formats.gen_bank(RECORDS).encode()
    path = tmp_path / "no_ending_at_all"
    path.write_bytes({"plain": text, "gzip": gzip.compress(text), "bgzip": formats.bgzip(text)}[how])
    assert sequence_format(path) == "genbank"
    assert streamed(path) == {f"{name}.1": letters for name, letters in upper.items()}
    gene = next(read_genbank(path)).features[1]
    assert gene.qualifiers["gene"] == ["chrAx"]
    assert (gene.location.start, gene.location.end, gene.location.strand) == (1, len(RECORDS["chrA"]), -1)


def test_bad_genbank_is_told_with_its_line(formats, tmp_path):
    good = formats.gen_bank(RECORDS)
    cut = good[: good.index("       61 ") + 40]
    head = good[: good.index("ORIGIN")]
    cases = {
        cut: r"line 11: the record 'chrA\.1' has no end mark",
        good[:90]: "line 2: not readable as GenBank",
        good[: good.index("ORIGIN") - 3]: r"line \d+: not readable as GenBank",
        head + "ORIGIN\n//\n": r"record 'chrA\.1' has no sequence",
        head + "CONTIG      join(AB1.1:1..162)\n//\n": r"record 'chrA\.1' has no sequence",
        good.replace("chrB", "chrA"): r"record name 'chrA\.1'.*ends at line 24.*starts at line 1;",
        "LOCUS \x00\x01\x02": "no whole LOCUS line",
        formats.gen_bank({"p": "MKL"}, molecule=""): "'M'|'L' in record",
    }
    path = tmp_path / "bad.gb"
    for content, message in cases.items():
        path.write_text(content)
        with pytest.raises(UserError, match=message) as raised:
            list(stream_sequences(path))
        assert str(path) in str(raised.value)
        assert "\n" not in str(raised.value)
    path.write_bytes(gzip.compress(good.encode())[:-9])
    with pytest.raises(UserError, match="truncated"):
        list(stream_sequences(path))


@pytest.mark.parametrize("kind", ["fasta", "fasta.gz", "bgzip", "2bit", "genbank"])
def test_the_cache_holds_the_same_ids_for_every_format(formats, tmp_path, kind, own_cache):
    path = tmp_path / "genome.of.some.kind"
    plain = formats.fasta(RECORDS)
    if kind == "2bit":
        formats.two_bit(path, RECORDS)
    else:
        packed = {"fasta": plain, "fasta.gz": gzip.compress(plain), "bgzip": formats.bgzip(plain)}
        path.write_bytes(packed.get(kind) or formats.gen_bank(RECORDS).encode())
    wanted = Genome.from_sequences(RECORDS)
    for _ in ("built", "found"):
        genome = open_genome(path)
        assert bytes(genome.tokens) == bytes(wanted.tokens)
        assert [r.length for r in genome.records] == [r.length for r in wanted.records]
    # Damage to the cache is mended from any format, and a changed source is seen.
    (tokens,) = own_cache.rglob("*.tokens")
    tokens.write_bytes(tokens.read_bytes()[:-3])
    assert bytes(open_genome(path).tokens) == bytes(wanted.tokens)
    if kind == "2bit":
        formats.two_bit(path, {"chrA": "ACGT"})
        assert open_genome(path).length == 4


@given(texts, st.booleans(), st.data())
def test_indexed_fasta_equals_slices(formats, sequences, packed, data):
    records = {f"r{i}": text for i, text in enumerate(sequences)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("g.fa.gz" if packed else "g.fa")
        path.write_bytes(formats.bgzip(formats.fasta(records)) if packed else formats.fasta(records))
        opened = open_indexed(path, cache=Path(folder) / "cache")
        assert isinstance(opened, FastaFile)
        assert opened.lengths == {name: len(text) for name, text in records.items()}
        name = data.draw(st.sampled_from(opened.names))
        start = data.draw(st.integers(0, len(records[name])))
        end = data.draw(st.integers(start, len(records[name])))
        assert opened.fetch(name, start, end).decode() == records[name][start:end]


def test_index_is_kept_out_of_the_data_folder_and_follows_the_file(formats, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    path = folder / "g.fa"
    path.write_bytes(formats.fasta(RECORDS))
    old = FastaFile(path)
    assert [entry.name for entry in folder.iterdir()] == ["g.fa"]
    sent = pickle.dumps(old)
    path.write_bytes(formats.fasta({"chrC": "TTTT"}))
    assert FastaFile(path).lengths == {"chrC": 4}
    with pytest.raises(UserError, match="changed since it was opened"):
        pickle.loads(sent).fetch("chrA", 0, 3)


def _many_regions(opened: FastaFile | TwoBitFile, seed: int) -> bool:
    starts = [i * 7919 * seed % 149_000 for i in range(100)]
    return all(opened.fetch("a", s, s + 500).decode() == BIG[s : s + 500] for s in starts)


BIG = "".join("ACGT"[i * i * 7 % 11 % 4] for i in range(150_000))  # three blocks of bgzip


@pytest.mark.parametrize("kind", ["fasta", "bgzip", "2bit"])
def test_forked_processes_read_at_once(formats, tmp_path, kind):
    path = tmp_path / ("g.fa.gz" if kind == "bgzip" else "g.fa")
    if kind == "2bit":
        formats.two_bit(path, {"a": BIG})
    else:
        text = formats.fasta({"a": BIG}, width=60)
        path.write_bytes(formats.bgzip(text) if kind == "bgzip" else text)
    opened = open_indexed(path)
    assert opened.fetch("a", 0, 50).decode() == BIG[:50]  # the parent's handle is open when the children start
    with multiprocessing.get_context("fork").Pool(3) as pool:
        assert all(pool.starmap(_many_regions, [(opened, seed) for seed in (1, 2, 3, 4, 5, 6)]))
    children = [os.fork() or os._exit(0 if _many_regions(opened, seed) else 1) for seed in (1, 2, 3)]
    assert _many_regions(opened, 9)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]


def test_a_child_does_not_move_its_parents_file(formats, tmp_path):
    path = tmp_path / "g.fa"
    path.write_bytes(formats.fasta({"a": BIG}, width=60))
    opened = FastaFile(path)
    assert opened.fetch("a", 0, 50).decode() == BIG[:50]
    # Forked processes share the offset of every file that was open before: the reason for a handle a process.
    descriptor = opened._handle.file.fileno()
    before = os.lseek(descriptor, 0, os.SEEK_CUR)
    child = os.fork()
    if child == 0:
        os._exit(opened.fetch("a", 140_000, 140_050).decode() != BIG[140_000:140_050])
    assert os.waitpid(child, 0)[1] == 0
    assert os.lseek(descriptor, 0, os.SEEK_CUR) == before


def test_indexed_fasta_refuses_what_it_cannot_read(formats, tmp_path):
    text = formats.fasta(RECORDS)
    cases = {
        "zipped.fa.gz": (gzip.compress(text), r"packed with gzip, which has no random access.*open_genome.*bgzip"),
        "cut.fa.gz": (formats.bgzip(text)[:-28], "bgzip end mark is missing"),
        "plain.fa.gz": (text, "not packed; rename it"),
        "packed.fa": (formats.bgzip(text), "packed with bgzip; rename it"),
        "empty.fa": (b"", "empty"),
        "twice.fa": (b">a\nACGT\n>a\nACGT\n", r'cannot be indexed \(Duplicate key "a"\)'),
        "ragged.fa": (b">a\nACGT\nA\nACGT\n", r"cannot be indexed \(Line length"),
        "binary.fa": (b"\x7fELF\x02\x01\xff\xfe\x00", "cannot be indexed"),
        "book.gb": (formats.gen_bank(RECORDS).encode(), "GenBank file has no random access"),
    }
    for name, (content, message) in cases.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(UserError, match=message) as raised:
            open_indexed(path)
        assert str(path) in str(raised.value)
        assert "\n" not in str(raised.value)


def naive_window(text: str, start: int, end: int, strand: str) -> tuple[str, int, int]:
    """A window letter by letter."""
    letters = "".join(text[i] if 0 <= i < len(text) else "-" for i in range(start, end))
    letters = letters if strand == "+" else str(Seq(letters).reverse_complement())
    inner = letters.strip("-")
    left = len(letters) - len(letters.lstrip("-")) if inner else None
    return letters.replace("-", "N"), left, letters.count("-")


@given(st.integers(-30, 30), st.integers(0, 40), st.sampled_from("+-"))
def test_windows_beyond_the_record_are_padded_and_counted(formats, start, size, strand):
    text = "ACGTTGCAGATTACA"
    genome = Genome.from_sequences({"z": "GGGG", "a": text, "b": "CCCC"})
    letters, left, padding = naive_window(text, start, start + size, strand)
    window = genome.fetch_padded("a", start, start + size, strand)
    assert genome.tokenizer.decode(window.ids) == letters
    assert window.padding == padding
    with tempfile.TemporaryDirectory() as folder:
        opened = TwoBitFile(formats.two_bit(Path(folder) / "g.2bit", {"a": text}))
        same = opened.fetch_padded("a", start, start + size, strand)
    assert same.text.decode() == letters
    assert same.padding == padding
    if left is not None:
        assert window.left == same.left == left


def test_regions_beyond_the_record_and_unknown_records(formats, tmp_path):
    opened = TwoBitFile(formats.two_bit(tmp_path / "g.2bit", {"chr1": "ACGT"}))
    with pytest.raises(UserError, match=r"chr1:2-5 reaches beyond the record, which has bases 0-4"):
        opened.fetch("chr1", 2, 5)
    with pytest.raises(UserError, match=r"record 'chr2'.*'chr1'"):
        opened.fetch_padded("chr2", -2, 5)
    with pytest.raises(UserError, match=r"record 'chr2'.*'chr1'"):
        Genome.from_sequences({"chr1": "ACGT"}).fetch_padded("chr2", -2, 5)
