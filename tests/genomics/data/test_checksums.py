"""Checksums are remembered for files at rest only, and never outlive a change."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from seqdna.data import checksums
from seqdna.data.checksums import known_sha256
from seqsuite.errors import UserError


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def hashed(monkeypatch):
    """Paths whose content was read for a checksum, in order."""
    seen: list[Path] = []
    real = checksums.sha256

    def counted(path: Path) -> str:
        seen.append(path)
        return real(path)

    monkeypatch.setattr(checksums, "sha256", counted)
    return seen


@pytest.fixture
def at_rest(monkeypatch):
    """Let files count as unchanged for long at once."""
    monkeypatch.setattr(checksums, "_AT_REST_SECONDS", -1.0)


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "genome.fa"
    path.write_bytes(b">a\nACGT\n")
    return path


def test_an_unchanged_file_is_read_once(source, tmp_path, hashed, at_rest):
    found = {known_sha256(source, tmp_path / "cache") for _ in range(3)}
    assert found == {digest(source)}
    assert len(hashed) == 1


def test_a_file_just_written_is_read_again(source, tmp_path, hashed):
    for _ in range(2):
        assert known_sha256(source, tmp_path / "cache") == digest(source)
    assert len(hashed) == 2


def test_same_size_other_time(source, tmp_path, hashed, at_rest):
    known_sha256(source, tmp_path)
    os.utime(source, (1, 1))
    assert known_sha256(source, tmp_path) == digest(source)
    assert len(hashed) == 2


def test_other_content_of_the_same_size_with_the_time_set_back(source, tmp_path, at_rest):
    before = source.stat()
    first = known_sha256(source, tmp_path)
    source.write_bytes(b">a\nACGA\n")
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert source.stat().st_size == before.st_size
    assert source.stat().st_mtime_ns == before.st_mtime_ns
    assert known_sha256(source, tmp_path) == digest(source) != first


def test_a_file_renamed_into_place(source, tmp_path, at_rest):
    known_sha256(source, tmp_path)
    other = tmp_path / "other.fa"
    other.write_bytes(b">b\nACGT\n")
    os.utime(other, ns=(source.stat().st_atime_ns, source.stat().st_mtime_ns))
    other.replace(source)
    assert known_sha256(source, tmp_path) == digest(source)


@pytest.mark.parametrize("damage", ["", "[1]", "{}", '{"files": {}, "checksum": "x"}', "\x00"])
def test_a_damaged_index_is_made_again(source, tmp_path, hashed, at_rest, damage):
    known_sha256(source, tmp_path)
    (tmp_path / "checksums.index").write_text(damage)
    assert known_sha256(source, tmp_path) == digest(source)
    assert known_sha256(source, tmp_path) == digest(source)
    assert len(hashed) == 2


def test_a_forged_entry_is_not_believed(source, tmp_path, at_rest):
    known_sha256(source, tmp_path)
    index = tmp_path / "checksums.index"
    index.write_text(index.read_text().replace(digest(source), "0" * 64))
    assert known_sha256(source, tmp_path) == digest(source)


def test_files_that_are_gone_leave_the_index(source, tmp_path, at_rest):
    known_sha256(source, tmp_path)
    other = tmp_path / "other.fa"
    other.write_bytes(b">b\nACGT\n")
    source.unlink()
    known_sha256(other, tmp_path)
    assert list(json.loads((tmp_path / "checksums.index").read_text())["files"]) == [str(other)]


def test_an_index_that_cannot_be_written_is_done_without(source, tmp_path, at_rest):
    (tmp_path / "file").write_text("in the way")
    assert known_sha256(source, tmp_path / "file" / "cache") == digest(source)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        known_sha256(tmp_path / "none.fa", tmp_path)


def test_opening_a_genome_again_reads_neither_source_nor_ids(source, hashed, at_rest):
    from seqdna.data import open_genome

    open_genome(source)
    open_genome(source)
    before = len(hashed)
    genome = open_genome(source)
    assert len(hashed) == before
    assert genome.length == 4
    source.write_bytes(b">a\nGGGG\n")
    changed = open_genome(source)
    assert changed.tokenizer.decode(changed.fetch("a", 0, 4)) == "GGGG"
