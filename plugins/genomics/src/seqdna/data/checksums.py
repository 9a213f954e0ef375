"""Where the cache lives, and checksums of files that are not computed twice.

Reading a genome of 3 GB only to learn its checksum takes seconds. An index in the cache folder remembers the checksum
of a file under its path, size, times and inode. The time of the last change of the inode is among them, which no
program sets back; and only a file that has been at rest for some seconds is remembered, because two writes in quick
succession may bear the same time. The index is a convenience: lost or damaged, it is made again.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from seqsuite.errors import UserError

_INDEX = "checksums.index"
_AT_REST_SECONDS = 2.0


def cache_folder() -> Path:
    """Return where token files are kept: $SEQSUITE_CACHE, else $XDG_CACHE_HOME/seqsuite, else ~/.cache/seqsuite."""
    own, shared = os.environ.get("SEQSUITE_CACHE"), os.environ.get("XDG_CACHE_HOME")
    if own:
        return Path(own).expanduser() / "genomes"
    try:
        return (Path(shared) if shared else Path.home() / ".cache") / "seqsuite" / "genomes"
    except RuntimeError:
        raise UserError("There is no home folder to keep the token cache in; set SEQSUITE_CACHE.") from None


def stamp(path: Path) -> tuple[int, int, int, int, int]:
    """Return what changes when a file is written: size, time of writing, time of change, inode, device.

    Raises:
        UserError: The file cannot be read.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}).") from None
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev


def sha256(path: Path) -> str:
    """Return the checksum of a file's content.

    Raises:
        UserError: The file cannot be read.
    """
    try:
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}).") from None


def known_sha256(path: Path, folder: Path) -> str:
    """Return the checksum of a file, from the index in `folder` if the file is unchanged since it was noted there.

    Raises:
        UserError: The file cannot be read.
    """
    key, now = str(path.resolve()), list(stamp(path))
    noted = _load(folder).get(key)
    if noted and noted[:-1] == now:
        return str(noted[-1])
    settled = time.time() - max(now[1:3]) / 1e9 > _AT_REST_SECONDS
    digest = sha256(path)
    if settled and list(stamp(path)) == now:
        _note(folder, key, [*now, digest])
    return digest


def _load(folder: Path) -> dict[str, list[Any]]:
    """Return the index, or an empty one if it is missing or damaged."""
    try:
        index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        return dict(index["files"]) if index["checksum"] == _seal(index["files"]) else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _seal(files: Any) -> str:
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def _note(folder: Path, key: str, entry: list[Any]) -> None:
    """Write the index with one more entry and without files that are gone; where that fails, do without."""
    files = {path: old for path, old in _load(folder).items() if os.path.exists(path)} | {key: entry}
    aside = folder / f"{_INDEX}.{os.getpid()}-{secrets.token_hex(4)}.tmp"
    with suppress(OSError):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            aside.write_text(json.dumps({"files": files, "checksum": _seal(files)}), encoding="utf-8")
            aside.replace(folder / _INDEX)
        finally:
            with suppress(OSError):
                aside.unlink()
