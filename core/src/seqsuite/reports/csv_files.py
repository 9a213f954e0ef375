"""Tables on disk as .csv files."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from seqsuite.errors import UserError


def write_csv(path: str | Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Path:
    """Write a .csv file whole or not at all.

    Args:
        path: Where to.
        header: Names of the columns.
        rows: The cells, row by row.

    Returns:
        The path.

    Raises:
        UserError: The disk is full or the place is not writable.
    """
    target = Path(path)
    aside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        # Names of files need not be UTF-8; the table is.
        with open(aside, "w", newline="", encoding="utf-8", errors="backslashreplace") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(rows)
        os.replace(aside, target)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise UserError(f"cannot write {target}: {error.strerror or error}") from error
    return target
