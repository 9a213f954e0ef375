"""Files that a command writes: looked at before the work, written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from seqsuite.errors import UserError


def writable(out: str | Path, *, overwrite: bool, beside: Sequence[str] = ()) -> Path:
    """Return the path of an output, once it can be written.

    Args:
        out: The file.
        overwrite: Whether it may be there.
        beside: Endings of other files that are written with the same name.

    Raises:
        UserError: It is there and must not be replaced, or is a folder, or its folder is missing.
    """
    path = Path(out).expanduser()
    for target in (path, *(path.with_suffix(ending) for ending in beside)):
        if target.is_dir():
            raise UserError(f"--out {target}: is a folder; give a file")
        if target.exists() and not overwrite:
            raise UserError(f"{target} exists; add --overwrite or choose another --out")
    if not path.parent.is_dir():
        raise UserError(f"--out {path}: cannot write it, there is no folder {path.parent}")
    return path


def write_bytes(path: str | Path, content: bytes) -> Path:
    """Write a file whole or not at all.

    Args:
        path: The file.
        content: What is in it.

    Raises:
        UserError: The disk is full or the place is not writable.
    """
    target = Path(path)
    aside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        aside.write_bytes(content)
        os.replace(aside, target)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise UserError(f"cannot write {target}: {error.strerror or error}") from error
    return target
