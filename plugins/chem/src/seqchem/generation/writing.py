"""What the commands write and print of generated molecules."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from seqsuite.reports import Report

SHOWN = 20


class Writable(Protocol):
    """A result that can be written: molecules that were generated or optimised, or binders."""

    def save(self, path: str | Path) -> Path:
        """Write a CSV file."""

    def report(self, title: str) -> Report:
        """Return a page."""

    def png(self) -> bytes | None:
        """Return a picture."""

    def notes(self) -> list[str]:
        """Return what must be read beside the numbers."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""


def write_all(found: Writable, out: Path, title: str) -> list[Path]:
    """Write a table, a page beside it, and a picture where there is one.

    Args:
        found: The molecules.
        out: The CSV file.
        title: Of the page.

    Returns:
        What was written.

    Raises:
        UserError: The disk is full or the place is not writable.
    """
    from seqchem.chemistry.files import write_bytes

    written = [found.save(out), found.report(title).write(out.with_suffix(".html"))]
    picture, place = found.png(), out.with_suffix(".png")
    if picture is not None:
        written.append(write_bytes(place, picture))
    else:
        place.unlink(missing_ok=True)  # that of an earlier result, which was allowed to be replaced
    return written


def tell(
    found: Writable, rows: Sequence[Mapping[str, Any]], written: Sequence[Path], *,
    json: bool,
) -> None:  # fmt: skip
    """Print a result: its first rows, its notes and what was written, or JSON.

    Args:
        found: The result.
        rows: What is shown of it.
        written: Its files.
        json: Whether to print JSON.
    """
    from seqsuite.cli.output import print_json, print_rows

    if json:
        print_json({**found.to_dict(), "written": [str(path) for path in written]})
        return
    if rows:
        print_rows([{name: _shown(value) for name, value in row.items()} for row in rows[:SHOWN]])
        if len(rows) > SHOWN:
            print(f"... and {len(rows) - SHOWN} more")
        print()
    for line in found.notes():
        print(line)
    for path in written:
        print(f"wrote {path}")


def _shown(value: Any) -> Any:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.4g}"
    return "" if value is None else value
