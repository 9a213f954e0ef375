"""Manifests: sound files listed in a .csv, .tsv or .jsonl file, perhaps with labels.

    file,label
    speech/one.wav,one

The column of files is called `file`, `path`, `filename` or `audio_filepath`; names are relative to the manifest.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from seqsuite.errors import UserError, suggest

FILE_COLUMNS = ("file", "path", "filename", "audio_filepath")


def manifest_files(path: Path, label_column: str | None = None) -> Iterator[tuple[Path, str | None, str]]:
    """Yield (file, label, where it is written) for each row.

    Args:
        path: The manifest.
        label_column: Column of labels; None takes `label` if there is one.

    Raises:
        UserError: The manifest cannot be read, has no column of files or of labels, or a row is damaged.
    """
    rows = lines_of(path)
    if not rows:
        raise UserError(f"{path}: the manifest lists no file")
    for line, row in rows:
        where = f"{path}, line {line}"
        yield file_of(path, row, where), _label(row, label_column, where), where


def file_of(path: Path, row: Mapping[str, Any], where: str) -> Path:
    """Return the file that a row names, relative to the manifest at `path`; `where` is for messages.

    Raises:
        UserError: There is no column of files, or it holds no name.
    """
    column = next((name for name in FILE_COLUMNS if name in row), None)
    if column is None:
        raise UserError(f"{where}: there is no column {' or '.join(map(repr, FILE_COLUMNS[:2]))}; found {list(row)}")
    name = "" if row[column] is None else row[column]
    if not isinstance(name, str):
        raise UserError(f"{where}: the column {column!r} is {name!r}, which names no file")
    if not name.strip():
        raise UserError(f"{where}: the column {column!r} is empty")
    if "\0" in name:
        raise UserError(f"{where}: the name in the column {column!r} holds a zero character, which no file has")
    # Unlike Path.expanduser this leaves a name such as ~draft.wav, whose user there is not, as it is.
    return path.parent / os.path.expanduser(name.strip())


def _label(row: dict[str, Any], column: str | None, where: str) -> str | None:
    name = column or "label"
    if name not in row:
        if column is None:
            return None
        raise UserError(f"{where}: there is no column {name!r}.{suggest(name, row)}")
    label = "" if row[name] is None else str(row[name]).strip()
    if not label:
        raise UserError(f"{where}: the column {name!r} is empty")
    return label


def lines_of(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """Return the rows of a .csv, .tsv or .jsonl file with their line numbers.

    Raises:
        UserError: It cannot be read, or a row is damaged.
    """
    try:
        return list(_json_rows(path) if path.suffix.lower() == ".jsonl" else _table_rows(path))
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: a manifest is text in UTF-8, and this is not") from None


def _table_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open(newline="", encoding="utf-8-sig") as handle:
        reader = csv.reader(handle, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
        try:
            header = [name.strip() for name in next(reader, [])]
            twice = next((name for name in header if name and header.count(name) > 1), None)
            if twice is not None:
                raise UserError(f"{path}, line 1: there are two columns {twice!r}; rename or remove one")
            for row in reader:
                if not any(cell.strip() for cell in row):
                    continue
                if len(row) != len(header):
                    raise UserError(
                        f"{path}, line {reader.line_num}: {len(row)} columns, but the header has {len(header)}"
                    )
                yield reader.line_num, dict(zip(header, row, strict=True))
        except csv.Error as error:
            raise UserError(f"{path}, line {reader.line_num}: {error}") from None


def _json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open(encoding="utf-8-sig") as handle:
        for number, line in enumerate(handle, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise UserError(f"{path}, line {number}: no JSON ({error.msg})") from None
            if not isinstance(row, dict):
                raise UserError(f'{path}, line {number}: a row is an object such as {{"file": "a.wav"}}')
            yield number, row
