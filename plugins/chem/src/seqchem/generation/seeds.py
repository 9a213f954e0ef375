"""Sequences that a command is given: a file of them, or themselves."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from seqsuite.errors import UserError

FILE_ENDINGS = (".csv", ".gz", ".smi", ".tsv", ".sdf", ".txt", ".fasta", ".fa", ".faa")
"""Endings of files of sequences; a text with one of them is a file, there or not."""


def given_sequences(model: Any, text: str, *, column: str = "", flag: str = "--seeds") -> list[str]:
    """Return the sequences of a file, or those that a text holds with commas between them.

    Args:
        model: A Regression Transformer: its language says what the sequences are.
        text: A file, or the sequences.
        column: Column of the sequences of a file; empty: found by its name.
        flag: Where the text comes from, for messages.

    Returns:
        Canonical SMILES of a file's molecules; what was given as a text stays as it is.

    Raises:
        UserError: The file, a row of it, or the text cannot be used.
    """
    from seqchem.data.tables import read_table

    path = file_of(text, flag)
    if path is not None:
        return list(read_table(path, sequence_column=column, language=model.config.language).sequences)
    found = [part.strip() for part in text.split(",") if part.strip()]
    if not found:
        raise UserError(f"{flag}: give a file of sequences, or sequences with commas between them")
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
