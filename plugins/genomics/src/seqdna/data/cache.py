"""The token cache: a genome is converted once into a memory-mapped file of ids and a manifest beside it.

The cache lives in the user's cache folder and is found by the checksum of the sequence file and of the tokenizer's
settings, so that a changed genome or tokenizer never meets old ids and the data folder may be read-only. Files
are written aside and renamed, ids first and manifest last; the manifest carries the checksum of the ids and its
own, and whatever does not match is built again. Two processes may build at once: both write the same bytes.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from seqdna.data.checksums import cache_folder, known_sha256, sha256
from seqdna.data.fasta import check_readable
from seqdna.data.genome import Genome, Record
from seqdna.data.sequences import stream_sequences
from seqdna.resources import GENOMES, resolve_genome
from seqdna.tokenizers import Census, NucleotideTokenizer
from seqsuite.errors import UserError

FORMAT = "seqdna-genome"
VERSION = 1
_ABANDONED_SECONDS = 24 * 3600
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def open_genome(
    source: str | Path, tokenizer: NucleotideTokenizer | None = None, *, cache: str | Path | None = None
) -> Genome:
    """Open a genome for random access, converting it into the token cache the first time.

    Args:
        source: A FASTA file (plain, gzip, bgzip), a UCSC .2bit file, a GenBank file (plain, gzip), told apart by
            their content, or the name of a shipped genome (``"ecoli"``).
        tokenizer: How letters become ids; default as published with Caduceus.
        cache: Folder for the token files; default `cache_folder()`.

    Raises:
        UserError: The file is refused (see `stream_sequences`), or the cache cannot be written.
    """
    path = resolve_genome(source)
    check_readable(path, GENOMES)
    tokenizer = tokenizer or NucleotideTokenizer()
    folder = Path(cache).expanduser() if cache is not None else cache_folder()
    digest = known_sha256(path, folder)
    stem = folder / f"{digest[:24]}-{tokenizer.fingerprint()}"
    manifest = _intact(stem)
    if manifest is None:
        manifest = _build(path, digest, tokenizer, stem)
    records = [
        Record(item["name"], item["offset"], item["length"], Census(**item["census"])) for item in manifest["records"]
    ]
    return Genome(records, tokenizer, _tokens_path(stem), manifest)


def _tokens_path(stem: Path) -> Path:
    return stem.parent / f"{stem.name}.tokens"


def _manifest_path(stem: Path) -> Path:
    return stem.parent / f"{stem.name}.json"


def _seal(manifest: dict[str, Any]) -> str:
    body = {key: value for key, value in manifest.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _intact(stem: Path) -> dict[str, Any] | None:
    """Return the manifest if it and the ids are whole, else None: anything doubtful is built again."""
    try:
        manifest = json.loads(_manifest_path(stem).read_text(encoding="utf-8"))
        known = manifest["format"] == FORMAT and manifest["version"] == VERSION
        if not known or manifest["checksum"] != _seal(manifest):
            return None
        tokens = _tokens_path(stem)
        if tokens.stat().st_size != manifest["tokens"]["bytes"]:
            return None
        return manifest if known_sha256(tokens, stem.parent) == manifest["tokens"]["sha256"] else None
    except (OSError, UserError, ValueError, KeyError, TypeError):
        return None


def _build(path: Path, digest: str, tokenizer: NucleotideTokenizer, stem: Path) -> dict[str, Any]:
    with _explained(stem.parent):
        stem.parent.mkdir(parents=True, exist_ok=True)
    _sweep(stem)
    before = path.stat()
    converted: dict[str, Any] = {}
    _write_aside(_tokens_path(stem), lambda handle: converted.update(_convert(path, tokenizer, handle)))
    after = path.stat()
    # The checksum was taken before the conversion: a file that changes under our hands must not get its name.
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or sha256(path) != digest:
        raise UserError(f"{path}: the file changed while it was read; try again when it is complete.")
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "source": {
            "path": str(path.resolve()),
            "bytes": after.st_size,
            "mtime_ns": after.st_mtime_ns,
            "sha256": digest,
        },
        "tokenizer": tokenizer.to_dict(),
        **converted,
    }
    manifest["checksum"] = _seal(manifest)
    text = json.dumps(manifest, indent=1).encode()
    _write_aside(_manifest_path(stem), lambda handle: handle.write(text))
    return manifest


def _convert(path: Path, tokenizer: NucleotideTokenizer, out: BinaryIO) -> dict[str, Any]:
    """Write the ids of all records to `out` and return the manifest's part about them."""
    digest = hashlib.sha256()
    counts: dict[str, Census] = {}
    size = 0
    for name, piece in stream_sequences(path):
        ids = tokenizer.encode(piece).tobytes()
        with _explained(Path(out.name).parent):
            out.write(ids)
        digest.update(ids)
        size += len(ids)
        counts[name] = counts.get(name, Census()) + tokenizer.census(piece)
    records, offset = [], 0
    for name, census in counts.items():
        records.append({"name": name, "offset": offset, "length": census.length, "census": census.to_dict()})
        offset += census.length
    return {
        "tokens": {"bytes": size, "sha256": digest.hexdigest()},
        "records": records,
        "census": sum(counts.values(), Census()).to_dict(),
    }


def _write_aside(target: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a temporary file beside `target`, flush it to disk and rename it; on any error leave nothing."""
    with _explained(target.parent):
        aside = target.parent / f"{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp"
        handle = aside.open("xb")
    try:
        try:
            write(handle)
            with _explained(target.parent):
                handle.flush()
                os.fsync(handle.fileno())
        finally:
            # Closing flushes what a full disk refused already; the first error is the one to tell.
            with suppress(OSError):
                handle.close()
        with _explained(target.parent):
            aside.replace(target)
    except BaseException:
        with suppress(OSError):
            aside.unlink()
        raise


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """Turn an error of writing into `folder` into one that says what to do about it."""
    try:
        yield
    except OSError as error:
        advice = (
            "set SEQSUITE_CACHE to a folder with room"
            if error.errno in _FULL
            else "set SEQSUITE_CACHE to a folder you may write"
        )
        why = "no space left" if error.errno in _FULL else error.strerror or str(error)
        raise UserError(f"{folder}: the token cache cannot be written ({why}); {advice}.") from None


def _sweep(stem: Path) -> None:
    """Remove temporary files that a killed process left beside `stem` a day or more ago."""
    with suppress(OSError):
        for left in stem.parent.glob(f"{stem.name}.*.tmp"):
            if time.time() - left.stat().st_mtime > _ABANDONED_SECONDS:
                left.unlink()
