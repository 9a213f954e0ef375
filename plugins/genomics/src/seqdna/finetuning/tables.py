"""Labelled sequences from tables: CSV, TSV (plain or gzip) and Parquet, with a sequence column.

    rows = read_table("sites.csv.gz", labels=("label",))

Errors name the file, the line and the column. Parquet needs pyarrow.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from seqdna.finetuning.labelled import Rows, check_sequence
from seqsuite.errors import UserError, suggest, unknown_name

SEQUENCE_NAMES = ("sequence", "seq")
LABEL_NAMES = ("label", "labels")
SPLIT_NAMES = ("split",)
SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("valid", "val", "validation", "dev"), "valid"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""Words that a split column may hold, and what they mean."""

PART = re.compile(r"part_?(\d+)")
"""A numbered part of a set that is cross-validated part by part, as BEND's enhancers are."""

_LONGEST_CELL = 2**31 - 1

Record = tuple[str, list[str]]
"""Where a row lies, and its cells."""


def read_table(
    path: str | Path,
    *,
    sequence_column: str = "",
    labels: Sequence[str] = (),
    split_column: str = "",
    need_labels: bool = True,
) -> Rows:
    """Read a table with one sequence a row.

    Args:
        path: CSV, TSV (both plain or gzip) or Parquet.
        sequence_column: Its name; none: `sequence` or `seq`.
        labels: Names of the label columns; none: `label`.
        split_column: Its name; none: `split`, where there is one.
        need_labels: Whether a table without labels is refused.

    Raises:
        UserError: The file cannot be read, a column is not there, or a row is not in order.
    """
    source = Path(path).expanduser()
    header, records = table_records(source)
    column = find_column(source, header, sequence_column, SEQUENCE_NAMES, "--sequence_column", "sequence")
    assert column is not None
    label_columns = _label_columns(source, header, labels, needed=need_labels)
    split = find_column(source, header, split_column, SPLIT_NAMES, "--split_column", "split", needed=False)
    places, sequences, found, splits = [], [], [], []
    for place, cells in records:
        where = f"{source}, {place}"
        if len(cells) != len(header):
            raise UserError(f"{where}: has {len(cells)} cells, the header has {len(header)}; mend the row.")
        places.append(place)
        sequences.append(check_sequence(cells[column], where))
        found.append(tuple(cells[number].strip() for number in label_columns))
        if split is not None:
            splits.append(split_of(cells[split], where))
    if not places:
        raise UserError(f"{source}: the table has a header and no rows.")
    names = tuple(header[number] for number in label_columns)
    marks = tuple(splits) if split is not None else None
    return Rows(str(source), tuple(places), tuple(sequences), tuple(found), names, marks)


def split_of(word: str, where: str) -> str:
    """Return "train", "valid" or "test", or the name of a numbered part ("part3"), for a word of a split column.

    Raises:
        UserError: Another word.
    """
    known = SPLITS.get(word.strip().lower())
    if known is not None:
        return known
    if PART.fullmatch(word.strip()):
        return word.strip()
    raise UserError(f"{where}: the split is {word.strip()!r}; it must be train, valid or test.{_near(word)}")


def _near(word: str) -> str:
    hint = suggest(word.strip(), SPLITS)
    return hint if "Did you mean" in hint else ""


def find_column(
    source: Path,
    header: Sequence[str],
    name: str,
    usual: Sequence[str],
    flag: str,
    what: str,
    *,
    needed: bool = True,
) -> int | None:
    """Return the number of a column, by the name given or by the usual ones.

    Raises:
        UserError: It is not there and is needed, or was named.
    """
    if name:
        if name not in header:
            raise UserError(f"{source}: {flag}: {unknown_name('column', name, header)}")
        return list(header).index(name)
    lowered = [column.strip().lower() for column in header]
    for word in usual:
        if word in lowered:
            return lowered.index(word)
    if not needed:
        return None
    hint = suggest(usual[0], header)
    raise UserError(
        f"{source}: there is no {what} column ({' or '.join(repr(word) for word in usual)}); name it with {flag}.{hint}"
    )


def _label_columns(source: Path, header: Sequence[str], labels: Sequence[str], *, needed: bool) -> list[int]:
    if not labels:
        column = find_column(source, header, "", LABEL_NAMES, "--labels", "label", needed=needed)
        return [] if column is None else [column]
    columns = [find_column(source, header, name, LABEL_NAMES, "--labels", "label") for name in labels]
    if len(set(columns)) != len(columns):
        raise UserError(f"--labels names a column twice: {', '.join(labels)}.")
    return [column for column in columns if column is not None]


def table_records(source: Path) -> tuple[list[str], Iterator[Record]]:
    """Return the header and the rows of a table, each with its place.

    Raises:
        UserError: The file cannot be read or is empty.
    """
    check_file(source)
    if source.suffix == ".parquet":
        return _parquet(source)
    text = read_text(source)
    lines = text.splitlines(keepends=True)
    first = next((number for number, line in enumerate(lines) if line.strip()), None)
    if first is None:
        raise UserError(f"{source}: the file is empty.")
    marks = {mark: lines[first].count(mark) for mark in ("\t", ",", ";")}
    delimiter = max(marks, key=lambda mark: marks[mark])
    reader = csv.reader(io.StringIO("".join(lines[first:]), newline=""), delimiter=delimiter, strict=True)
    header = [cell.strip() for cell in _next(source, reader, first)]
    doubled = sorted({name for name in header if name and header.count(name) > 1})
    if doubled:
        raise UserError(f"{source}: the column {doubled[0]!r} is there twice; rename one of them.")
    return header, _records(source, reader, first)


def first_cells(source: Path) -> list[str]:
    """Return the cells of a table's first line with content, whether it is a header or not; none of a Parquet file."""
    if source.suffix == ".parquet":
        return []
    line = next((line for line in read_text(source).splitlines() if line.strip()), "")
    delimiter = max(("\t", ",", ";"), key=line.count)
    return [cell.strip() for cell in line.split(delimiter)]


def _next(source: Path, reader: Iterator[list[str]], skipped: int) -> list[str]:
    """Return the next row's cells; they may be as long as a chromosome.

    Raises:
        StopIteration: There is none.
        UserError: The quotes do not match, or a quote stands where none may.
    """
    before = csv.field_size_limit(_LONGEST_CELL)  # of the whole process, so it is put back
    try:
        return next(reader)
    except csv.Error as error:
        line = skipped + reader.line_num  # type: ignore[attr-defined]
        raise UserError(f"{source}, line {line}: {error}; mend the quotes of the row.") from error
    finally:
        csv.field_size_limit(before)


def _records(source: Path, reader: Iterator[list[str]], skipped: int) -> Iterator[Record]:
    while True:
        try:
            cells = _next(source, reader, skipped)
        except StopIteration:
            return
        if any(cell.strip() for cell in cells):
            yield f"line {skipped + reader.line_num}", cells  # type: ignore[attr-defined]


def check_file(source: Path) -> None:
    """Raise a UserError that says why `source` is no file, with near names beside it."""
    if source.is_file():
        return
    if source.is_dir():
        raise UserError(f"{source}: is a folder; give a file.")
    if not source.parent.is_dir():
        raise UserError(f"{source}: no such file; the folder {source.parent} does not exist either.")
    hint = suggest(source.name, [entry.name for entry in source.parent.iterdir()])
    raise UserError(f"{source}: no such file.{hint if 'Did you mean' in hint else ' Check the path.'}")


def read_text(source: Path) -> str:
    """Return the text of a file, plain or gzip.

    Raises:
        UserError: It cannot be read or is no text.
    """
    try:
        data = source.read_bytes()
        if data.startswith(b"\x1f\x8b"):
            data = gzip.decompress(data)
        return data.decode("utf-8-sig")
    except EOFError:
        raise UserError(f"{source}: the gzip data ends too early; copy or download the file again.") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{source}: the gzip data is damaged ({error}); copy or download the file again.") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{source}: not a table but binary data (byte {error.start}).") from None
    except OSError as error:
        raise UserError(f"{source}: cannot be read ({error.strerror or error}).") from None


def _parquet(source: Path) -> tuple[list[str], Iterator[Record]]:
    try:
        from pyarrow import ArrowInvalid
        from pyarrow import parquet as files
    except ImportError:
        raise UserError(
            f"{source}: reading Parquet needs pyarrow; install it, or give the .csv or .fna file."
        ) from None
    try:
        table = files.read_table(source)
    except (ArrowInvalid, OSError) as error:
        raise UserError(f"{source}: is no Parquet file ({' '.join(str(error).split())}).") from None

    def records() -> Iterator[Record]:
        for number, row in enumerate(table.to_pylist()):
            yield f"row {number}", ["" if cell is None else str(cell) for cell in row.values()]

    return list(table.column_names), records()
