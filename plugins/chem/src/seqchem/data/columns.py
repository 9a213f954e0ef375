"""Which column is which: the sequence, the properties, the part; with near names where one is not there."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from seqchem.data.records import SEQUENCE_NAMES, Records
from seqchem.proteins.letters import CHAIN_SEPARATOR
from seqsuite.errors import UserError, suggest

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "-", "?"})
"""Cells that say there is no value, in any case."""
SPLIT_NAMES = ("split", "part", "set", "fold")


def column_index(records: Records, name: str, flag: str) -> int:
    """Return where a column is.

    Args:
        records: The file.
        name: The column's name; upper and lower case count only where both are there.
        flag: What asked for it, for the message.

    Raises:
        UserError: There is none; near names are suggested.
    """
    if name in records.header:
        return records.header.index(name)
    lowered = [column.lower() for column in records.header]
    if lowered.count(name.lower()) == 1:
        return lowered.index(name.lower())
    raise UserError(f"{records.path} has no column {name!r} ({flag}).{suggest(name, filter(None, records.header))}")


def sequence_index(records: Records, name: str) -> int:
    """Return the column of the sequences: the named one, else the one with a usual name, else the only one.

    Raises:
        UserError: There is none.
    """
    if name:
        return column_index(records, name, "--sequence_column")
    lowered = [column.lower() for column in records.header]
    for known in SEQUENCE_NAMES:
        if known in lowered:
            return lowered.index(known)
    partly = [index for index, column in enumerate(lowered) if "smiles" in column or "sequence" in column]
    if partly:
        return partly[0]
    shown = ", ".join(repr(column) for column in records.header[:8])
    raise UserError(
        f"{records.path}: which column holds the sequences? Its header has {shown}; name one with --sequence_column"
    )


def sequence_texts(records: Records, at: int, binder_column: str = "") -> list[str]:
    """Return the sequence of each row; "" where a row has none.

    Args:
        records: The file.
        at: The column of the sequences.
        binder_column: A column of binders that are written behind them, with a dot between.

    Raises:
        UserError: There is no such column.
    """
    first = _cells(records, at)
    if not binder_column:
        return first
    pairs = zip(first, _cells(records, column_index(records, binder_column, "--binder_column")), strict=True)
    stripped = ((one.strip(), two.strip()) for one, two in pairs)
    return [f"{one}{CHAIN_SEPARATOR}{two}" if one or two else "" for one, two in stripped]


def _cells(records: Records, at: int) -> list[str]:
    return [row[at] if at < len(row) else "" for row in records.rows]


def property_name(column: str) -> str:
    """Return the name of the property in a column: the column's, without what a property token cannot hold.

    Args:
        column: Such as "measured log solubility in mols per litre".
    """
    return re.sub(r"[<>|\s]+", " ", column).strip() or "value"


def property_indices(records: Records, wanted: Sequence[str], taken: set[int]) -> dict[str, int]:
    """Return the property columns by the property's name.

    Args:
        records: The file.
        wanted: Columns; "name=column" renames one; "all" takes every other column of numbers.
        taken: Columns that are something else.

    Raises:
        UserError: One is not there, or two would have the same name.
    """
    pairs = [_property(records, entry) for entry in wanted if entry != "all"]
    if "all" in wanted:
        rest = numeric_columns(records, taken | {index for _, index in pairs})
        pairs += [(property_name(records.header[index]), index) for index in rest]
        if not pairs:
            raise UserError(f"{records.path} has no column of numbers beside the sequences")
    found: dict[str, int] = {}
    for name, index in pairs:
        if name in found:
            raise UserError(f"--properties: two columns would be called {name!r}; write NAME=COLUMN for one of them")
        found[name] = index
    return found


def _property(records: Records, entry: str) -> tuple[str, int]:
    """Return the name and the column of a property that is asked for as COLUMN or NAME=COLUMN."""
    name, equals, column = entry.partition("=")
    if not equals or entry in records.header:
        index = column_index(records, entry, "--properties")
        return property_name(records.header[index]), index
    if not name.strip() or re.search("[<>|]", name):
        raise UserError(f"--properties {entry}: {name!r} is no name; it must not hold '<', '>' or '|'")
    return name.strip(), column_index(records, column.strip(), "--properties")


def numeric_columns(records: Records, taken: set[int]) -> list[int]:
    """Return the columns whose cells are numbers or empty, most of them where some are something else.

    A cell such as "<5" does not make a column of measurements one of words: its row is refused by name.

    Args:
        records: The file.
        taken: Columns that do not count.
    """
    columns = [index for index in range(len(records.header)) if index not in taken and records.header[index]]
    return [index for index in columns if _numeric(records, index)]


def _numeric(records: Records, index: int) -> bool:
    numbers = words = 0
    for row in records.rows:
        found = number(row[index]) if index < len(row) else math.nan
        words += found is None
        numbers += found is not None and not math.isnan(found)
    return numbers > words


def number(cell: str) -> float | None:
    """Return the number that a cell holds, NaN where it says that there is none, None where it is something else.

    Args:
        cell: Its text.
    """
    text = cell.strip()
    if text.lower() in MISSING:
        return math.nan
    try:
        value = math.inf if "_" in text else float(text)  # Python reads 1_000
    except ValueError:
        return None
    return value if math.isfinite(value) else None
