"""How results reach a terminal: a table for people, JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text


def print_json(value: Any) -> None:
    """Print one JSON document to stdout."""
    print(json.dumps(value, indent=2, default=str))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> None:
    """Print a table; off a terminal it is as wide as it needs to be, so that no cell is cut.

    Args:
        columns: Headings.
        rows: Cells, shown with `str`.
        title: A line above the table.
    """
    console = Console()
    if not console.is_terminal:
        console = Console(width=250)
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    console.print(table)


def print_rows(rows: Sequence[Mapping[str, object]], *, title: str | None = None) -> None:
    """Print a result's table, one mapping a row with the same names in all; see `print_table`."""
    print_table(tuple(rows[0]), [tuple(row.values()) for row in rows], title=title)
