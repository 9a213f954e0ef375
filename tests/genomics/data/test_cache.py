"""The token cache: equal to a naive conversion, rebuilt when damaged, safe with several processes."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqdna.data import Genome, cache_folder, open_genome, stream_fasta
from seqdna.resources import resolve_genome
from seqdna.tokenizers import NucleotideTokenizer
from seqsuite.errors import UserError

sequences = st.lists(st.text(alphabet="ACGTNURacgtn", min_size=1, max_size=80), min_size=1, max_size=4)


def write_fasta(path: Path, records: dict[str, str], width: int = 7) -> Path:
    lines = []
    for name, text in records.items():
        lines += [f">{name} text", *(text[i : i + width] for i in range(0, len(text), width))]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def fasta(tmp_path):
    return write_fasta(tmp_path / "genome.fa", {"chrA": "ACGTNNacgtRYU" * 9, "chrB": "GATTACA"})


def files(folder: Path) -> dict[str, bytes]:
    """The cache's files but for the index of checksums, which notes a file once it has been at rest."""
    kept = [path for path in folder.rglob("*") if path.is_file() and path.name != "checksums.index"]
    return {path.name: path.read_bytes() for path in kept}


def one(folder: Path, ending: str) -> Path:
    (path,) = folder.rglob(f"*{ending}")
    return path


@given(texts=sequences, lower=st.sampled_from(["upper", "n", "unk"]))
def test_cache_equals_naive_conversion(tmp_path_factory, texts, lower):
    folder = tmp_path_factory.mktemp("equal")
    tokenizer = NucleotideTokenizer(lower=lower)
    records = {f"r{i}": text for i, text in enumerate(texts)}
    path = write_fasta(folder / "g.fa", records)
    naive = Genome.from_sequences(records, tokenizer)
    for _ in ("built", "found"):
        genome = open_genome(path, tokenizer, cache=folder / "cache")
        assert genome.records == naive.records
        assert genome.census == tokenizer.census("".join(texts))
        assert np.array_equal(genome.tokens, naive.tokens)
    for name, text in records.items():
        assert np.array_equal(genome.fetch(name, 0, len(text)), tokenizer.encode(text))


def test_manifest_tells_the_source(fasta, own_cache):
    genome = open_genome(fasta)
    manifest = json.loads(one(own_cache, ".json").read_text())
    assert manifest == genome.manifest
    assert manifest["source"]["path"] == str(fasta)
    assert manifest["source"]["bytes"] == fasta.stat().st_size
    assert manifest["tokenizer"] == NucleotideTokenizer().to_dict()
    assert manifest["census"]["iupac"] == 18


def test_second_opening_builds_nothing(fasta, own_cache):
    open_genome(fasta)
    built = [path for path in own_cache.rglob("*") if path.is_file()]
    before = [path.stat().st_mtime_ns for path in built]
    open_genome(fasta)
    assert [path.stat().st_mtime_ns for path in built] == before
    assert {path.name for path in built} == set(files(own_cache))


def test_changed_source_and_other_tokenizer_get_their_own_ids(fasta):
    first = open_genome(fasta)
    stamp = fasta.stat()
    text = fasta.read_text().replace("GATTACA", "GATTTCA")
    fasta.write_text(text)
    os.utime(fasta, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    changed = open_genome(fasta)
    assert first.tokenizer.decode(changed.fetch("chrB", 0, 7)) == "GATTTCA"
    assert first.tokenizer.decode(first.fetch("chrB", 0, 7)) == "GATTACA"
    hidden = open_genome(fasta, NucleotideTokenizer(lower="n"))
    assert hidden.tokenizer.decode(hidden.fetch("chrA", 4, 10)) == "NNNNNN"


def _flip_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGE = {
    "ids lost": lambda tokens, manifest: tokens.unlink(),
    "ids cut": lambda tokens, manifest: tokens.write_bytes(tokens.read_bytes()[:-3]),
    "ids longer": lambda tokens, manifest: tokens.write_bytes(tokens.read_bytes() + b"\x07"),
    "a bit of the ids": lambda tokens, manifest: _flip_byte(tokens),
    "manifest lost": lambda tokens, manifest: manifest.unlink(),
    "manifest cut": lambda tokens, manifest: manifest.write_bytes(manifest.read_bytes()[:-40]),
    "manifest empty": lambda tokens, manifest: manifest.write_bytes(b""),
    "manifest of another kind": lambda tokens, manifest: manifest.write_text("[1, 2]"),
    "manifest edited": lambda tokens, manifest: manifest.write_text(manifest.read_text().replace("chrB", "chrC")),
    "manifest not text": lambda tokens, manifest: manifest.write_bytes(b"\xff\xfe\x00"),
    "a later version": lambda tokens, manifest: manifest.write_text(
        manifest.read_text().replace('"version": 1', '"version": 2')
    ),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_found_and_mended(case, fasta, own_cache):
    open_genome(fasta)
    whole = files(own_cache)
    DAMAGE[case](one(own_cache, ".tokens"), one(own_cache, ".json"))
    assert files(own_cache) != whole
    genome = open_genome(fasta)
    assert genome.tokenizer.decode(genome.fetch("chrB", 0, 7)) == "GATTACA"
    assert files(own_cache) == whole


def test_bad_source_leaves_nothing_behind(tmp_path, own_cache):
    bad = tmp_path / "cut.fa.gz"
    bad.write_bytes(
        gzip.compress(
            b">a\n" + os.urandom(5000).hex().encode().translate(bytes.maketrans(b"0123456789abcdef", b"ACGT" * 4))
        )[:-9]
    )
    with pytest.raises(UserError, match="truncated"):
        open_genome(bad)
    assert files(own_cache) == {}


def test_source_that_grows_while_it_is_read_is_refused(fasta, own_cache, monkeypatch):
    def growing(path):
        yield from stream_fasta(path)
        with path.open("a") as handle:
            handle.write("ACGT\n")

    monkeypatch.setattr("seqdna.data.cache.stream_sequences", growing)
    with pytest.raises(UserError, match="changed while it was read"):
        open_genome(fasta)
    monkeypatch.undo()
    monkeypatch.setenv("SEQSUITE_CACHE", str(own_cache))
    assert open_genome(fasta).record("chrB").length == 11


def test_full_disk_is_told_and_leaves_nothing_behind(tmp_path, own_cache):
    path = write_fasta(tmp_path / "g.fa", {"a": "ACGT" * 5000}, width=80)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(UserError, match="SEQSUITE_CACHE"):
            open_genome(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert files(own_cache) == {}
    assert open_genome(path).length == 20_000


def test_cache_that_cannot_be_written_is_told(fasta, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"cannot be written.*SEQSUITE_CACHE"):
        open_genome(fasta, cache=tmp_path / "file" / "cache")


def test_read_only_source_folder_is_left_alone(fasta):
    fasta.parent.joinpath("data").mkdir()
    moved = fasta.rename(fasta.parent / "data" / "genome.fa")
    moved.parent.chmod(0o555)
    try:
        assert open_genome(moved).length == 9 * 13 + 7
        assert [path.name for path in moved.parent.iterdir()] == ["genome.fa"]
    finally:
        moved.parent.chmod(0o755)


def test_abandoned_temporary_files_are_swept(fasta, own_cache):
    open_genome(fasta)
    tokens = one(own_cache, ".tokens")
    old, young = (tokens.with_name(f"{tokens.name}.{name}.tmp") for name in ("1-old", "2-young"))
    for path in (old, young):
        path.write_bytes(b"half")
    two_days_ago = time.time() - 2 * 86400
    os.utime(old, (two_days_ago, two_days_ago))
    tokens.unlink()
    open_genome(fasta)
    assert not old.exists()
    assert young.exists()


def test_two_processes_build_at_once(tmp_path, own_cache):
    path = write_fasta(tmp_path / "g.fa", {"a": "ACGTTGCA" * 40_000, "b": "GGCC"}, width=60)
    code = (
        "import sys, hashlib; sys.stdin.readline(); from seqdna.data import open_genome;"
        "print(hashlib.sha256(open_genome(sys.argv[1]).tokens).hexdigest())"
    )
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for process in both:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    digests = {process.communicate(timeout=60)[0] for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert len(digests) == 1
    assert len(files(own_cache)) == 2
    assert len(digests.pop().strip()) == 64


def test_genome_travels_without_its_tokens(fasta):
    genome = open_genome(fasta)
    tokens = np.array(genome.tokens)
    sent = pickle.dumps(genome)
    assert len(sent) < 4000
    assert np.array_equal(pickle.loads(sent).tokens, tokens)


def test_forked_reader_sees_the_same_ids(fasta):
    genome = open_genome(fasta)
    expected = bytes(genome.tokens[:20])
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, bytes(genome.tokens[:20]))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        assert pipe.read() == expected
    assert os.waitpid(child, 0)[1] == 0


def test_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("SEQSUITE_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "own" / "genomes"
    monkeypatch.delenv("SEQSUITE_CACHE")
    assert cache_folder() == tmp_path / "xdg" / "seqsuite" / "genomes"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == tmp_path / "home" / ".cache" / "seqsuite" / "genomes"


def test_shipped_genome_is_the_default_by_name():
    genome = open_genome("ecoli")
    assert len(genome.records) == 1
    assert genome.length == 4_639_675
    assert genome.census.n == genome.census.iupac == 0
    assert resolve_genome("./ecoli") == Path("ecoli")
    with pytest.raises(UserError, match="'ecoli'"):
        open_genome("ecolli")


def test_addresses():
    genome = Genome.from_sequences({"a": "ACG", "b": "TTNA"})
    assert [genome.locate(i) for i in range(7)] == [("a", i) for i in range(3)] + [("b", i) for i in range(4)]
    assert all(genome.coordinate(*genome.locate(i)) == i for i in range(7))
    assert genome.codes("b", 0, 4).tolist() == [3, 3, 4, 0]
    with pytest.raises(IndexError):
        genome.locate(7)
    with pytest.raises(UserError, match=r"a:1-4 reaches beyond"):
        genome.fetch("a", 1, 4)
    with pytest.raises(UserError, match="Unknown record 'chr1'"):
        Genome.from_sequences({"1": "ACG", "chr11": "A"}).record("chr1")
