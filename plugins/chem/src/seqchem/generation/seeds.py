"""Sequences that a command is given: a file of them, or themselves."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any, Literal

from seqsuite.errors import UserError

FILE_ENDINGS = (".csv", ".gz", ".smi", ".tsv", ".sdf", ".txt", ".fasta", ".fa", ".faa")
"""Endings of files of sequences; a text with one of them is a file, there or not."""


def given_sequences(
    model: Any,
    text: str,
    *,
    column: str = "",
    flag: str = "--seeds",
    on_invalid: Literal["error", "skip"] = "error",
    keep: str = "",
    limit: int = 0,
) -> list[str]:
    """Return the sequences of a file, or those that a text holds with commas between them.

    Args:
        model: A Regression Transformer: its language says what the sequences are.
        text: A file, or the sequences.
        column: Column of the sequences of a file; empty: found by its name.
        flag: Where the text comes from, for messages.
        on_invalid: Rows of a file that are no seeds for the model: an error, or left out and told.
        keep: SMARTS that seeds must have, with blanks between them.
        limit: Take the first so many; 0: all.

    Returns:
        Canonical SMILES of a file's molecules; what was given as a text stays as it is.

    Raises:
        UserError: The file, a row of it, or the text cannot be used.
    """
    path = file_of(text, flag)
    if path is not None:
        return _of_file(model, path, column, on_invalid, keep, limit)
    found = [part.strip() for part in text.split(",") if part.strip()]
    if not found:
        raise UserError(f"{flag}: give a file of sequences, or sequences with commas between them")
    return found[: limit or None]


def _of_file(model: Any, path: Path, column: str, on_invalid: str, keep: str, limit: int) -> list[str]:
    """Return the seeds of a file: rows that the model can write, the first `limit` of them where it is not 0."""
    from seqchem.data.tables import read_table, refused_rows
    from seqchem.generation.kept import pattern_of
    from seqchem.generation.starts import seed_tokens

    for smarts in keep.split():
        pattern_of(smarts, "--keep")
    table = read_table(path, sequence_column=column, language=model.config.language, on_invalid="keep")
    found: list[str] = []
    bad: list[tuple[int, str]] = []
    for row, status, sequence in zip(table.rows, table.status, table.sequences, strict=True):
        if limit and len(found) + (len(bad) if on_invalid == "error" else 0) >= limit:
            break
        try:
            if status == "ok":
                seed_tokens(model, sequence, keep=keep)
        except UserError as error:
            status = str(error).removeprefix(f"seed {sequence!r}").lstrip(": ").rstrip(".")
        if status == "ok":
            found.append(sequence)
        else:
            bad.append((row, status))
    told = refused_rows(table.path, table.unit, bad)
    if bad and on_invalid == "error":
        raise UserError(f"{told}; mend them, or leave them out with --on_invalid skip")
    if not found:
        raise UserError(f"{told}; none is left")
    if bad:
        print(f"{told}; they are left out", file=sys.stderr)
    return found


def file_of(text: str, flag: str) -> Path | None:
    """Return the file that a text names; None where it is no file but sequences.

    Args:
        text: A file, or sequences.
        flag: Where the text comes from, for messages.

    Raises:
        UserError: It has the ending of a file, and there is none.
    """
    path = Path(text).expanduser()
    with contextlib.suppress(OSError):  # a protein can be longer than the name of a file
        if path.is_file():
            return path
    if path.suffix in FILE_ENDINGS:
        raise UserError(f"{flag} {text}: there is no such file")
    return None


def known_sequences(model: Any, path: str, *, column: str = "") -> frozenset[str]:
    """Return the canonical sequences of a file; rows that are none are left out.

    Args:
        model: A Regression Transformer: its language says what the sequences are.
        path: The file.
        column: Column of the sequences; empty: found by its name.

    Raises:
        UserError: The file cannot be used.
    """
    from seqchem.data.tables import read_table

    table = read_table(path, sequence_column=column, language=model.config.language, on_invalid="skip")
    return frozenset(table.sequences)
