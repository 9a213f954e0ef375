"""What a prediction gives: a number, its deviation and its interval for every row, as table, figure and file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqsuite.reports import Report, TableView
from seqsuite.reports.csv_files import write_csv
from seqsuite.reports.figures import COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PredictedProperty", "PropertyPredictions"]


@dataclass(frozen=True)
class PredictedProperty:
    """One property of n rows, in its units; NaN in rows that were not predicted.

    Attributes:
        name: The property.
        values: (n,) what is predicted.
        std: (n,) deviation of the digit distribution.
        low: (n,) lower end of the interval.
        high: (n,) upper end.
        minimum: Least value in training.
        maximum: Greatest value in training.
        level: What share of measured values the interval is to cover.
        calibrated: Whether the interval was calibrated on validation rows; else it is that of a normal distribution.
        coverage: What share it covered on validation rows that did not set it; NaN where unknown.
        warnings: (n) words on the value: "at the edge of the trained range ...", "outside ...", or nothing.
        probability: (n,) of 1, for columns of zeros and ones; None for others.
        invalid: (n,) whether the likeliest tokens of the whole vocabulary would have been no number; None where that
            was not asked.
    """

    name: str
    values: np.ndarray = field(repr=False)
    std: np.ndarray = field(repr=False)
    low: np.ndarray = field(repr=False)
    high: np.ndarray = field(repr=False)
    minimum: float
    maximum: float
    level: float = 0.9
    calibrated: bool = False
    coverage: float = float("nan")
    warnings: tuple[str, ...] = field(default=(), repr=False)
    probability: np.ndarray | None = field(default=None, repr=False)
    invalid: np.ndarray | None = field(default=None, repr=False)

    def cells(self) -> dict[str, np.ndarray]:
        """Return its columns of numbers by their names in a file."""
        found = {f"predicted_{self.name}": self.values, f"std_{self.name}": self.std}
        if self.probability is not None:
            return found | {f"probability_{self.name}": self.probability}
        return found | {f"low_{self.name}": self.low, f"high_{self.name}": self.high}


@dataclass(frozen=True)
class PropertyPredictions(TableView):
    """Predicted properties, row by row in the order that was asked.

    Attributes:
        sequences: What was predicted for; rows that cannot be read as they were given.
        status: "ok", or why a row was not predicted.
        properties: By name.
        row_warnings: Words on the row whatever the property, such as tokens that the vocabulary lacks.
        rows: Line numbers of the file; counted from 1 without one.
        seconds: That the network took.
    """

    sequences: tuple[str, ...] = field(repr=False)
    status: tuple[str, ...] = field(repr=False)
    properties: dict[str, PredictedProperty]
    row_warnings: tuple[str, ...] = field(default=(), repr=False)
    rows: tuple[int, ...] = field(default=(), repr=False)
    seconds: float = 0.0

    def __len__(self) -> int:
        return len(self.sequences)

    def __getitem__(self, name: str) -> PredictedProperty:
        """Return one property.

        Raises:
            UnknownNameError: It was not predicted.
        """
        if name not in self.properties:
            from seqsuite.errors import unknown_name

            raise unknown_name("predicted property", name, self.properties)
        return self.properties[name]

    @property
    def ok(self) -> np.ndarray:
        """Which rows were predicted: (n,) bool."""
        return np.array([status == "ok" for status in self.status], dtype=bool)

    def warnings(self, index: int) -> str:
        """Return all words on one row."""
        told = [self.row_warnings[index]] if self.row_warnings else []
        many = len(self.properties) > 1
        for found in self.properties.values():
            if found.warnings and found.warnings[index]:
                told.append(f"{found.name}: {found.warnings[index]}" if many else found.warnings[index])
        return "; ".join(text for text in told if text)

    def table(self) -> list[dict[str, Any]]:
        """Return one row a sequence."""
        cells = {name: values for found in self.properties.values() for name, values in found.cells().items()}
        rows = []
        for index, (sequence, status) in enumerate(zip(self.sequences, self.status, strict=True)):
            row: dict[str, Any] = {"row": self.rows[index] if self.rows else index + 1, "sequence": sequence}
            row |= {name: None if np.isnan(values[index]) else float(values[index]) for name, values in cells.items()}
            rows.append(row | {"status": status, "warnings": self.warnings(index)})
        return rows

    def notes(self) -> list[str]:
        """Return what must be read beside the numbers: intervals, their coverage, warnings, rows left out."""
        lines = []
        for found in self.properties.values():
            lines.append(f"{found.name}: trained on {found.minimum:.6g} to {found.maximum:.6g}; {_interval(found)}")
            told = sum(bool(text) for text in found.warnings)
            if told:
                lines.append(f"{found.name}: {told:,} values at the edge of the trained range or outside; see warnings")
        unknown = sum(bool(text) for text in self.row_warnings)
        if unknown:
            lines.append(f"{unknown:,} rows have tokens that the vocabulary lacks; see warnings")
        refused = len(self) - int(self.ok.sum())
        return [*lines, f"{refused:,} of {len(self):,} rows were not predicted; see status"] if refused else lines

    def figure(self) -> Figure:
        """Draw the distribution of the predicted values, a panel for each property (of the first eight)."""
        from matplotlib.figure import Figure

        shown = list(self.properties.values())[:8]
        figure = Figure(figsize=(6.0, 2.6 * max(1, len(shown))), layout="constrained")
        for axes, found in zip(np.atleast_1d(figure.subplots(max(1, len(shown)))), shown, strict=True):
            values = found.values if found.probability is None else found.probability
            axes.hist(values[~np.isnan(values)], bins=30, color=COLOURS[0])
            axes.axvspan(found.minimum, found.maximum, color="#808080", alpha=0.12, lw=0, label="trained range")
            axes.set(xlabel=f"probability of {found.name}" if found.probability is not None else found.name)
            axes.set(ylabel="rows")
            axes.spines[["top", "right"]].set_visible(False)
            axes.legend(frameon=False)
        return figure

    def save(
        self, path: str | Path, *, columns: Mapping[str, Sequence[Any]] | None = None, sequence_column: str = "sequence"
    ) -> Path:
        """Write a CSV file, a line for each row, in their order.

        Args:
            path: Where to.
            columns: What stands in front, by name: the columns of the input. Without it row numbers and sequences.
            sequence_column: Name of the column of the sequences where `columns` is None.

        Raises:
            UserError: The disk is full or the place is not writable.
        """
        front: dict[str, Sequence[Any]] = dict(columns or {})
        if columns is None:
            front = {"row": self.rows or range(1, len(self) + 1), sequence_column: self.sequences}
        cells = {name: values for found in self.properties.values() for name, values in found.cells().items()}
        header = [*front, *cells, "status", "warnings"]

        def line(index: int) -> list[Any]:
            numbers = ["" if np.isnan(values[index]) else f"{values[index]:.6g}" for values in cells.values()]
            given = [values[index] for values in front.values()]
            return [*given, *numbers, self.status[index], self.warnings(index)]

        return write_csv(path, header, map(line, range(len(self))))

    def report(self, title: str = "Predicted properties") -> Report:
        """Return a page of the notes, the distribution and the first rows."""
        report = Report(title, subtitle=f"{len(self):,} rows")
        for note in self.notes():
            report.text(note)
        report.figure(self.figure(), caption="Distribution of the predicted values")
        return report.table(self.table()[:100], caption=f"The first {min(100, len(self))} rows")


def _interval(found: PredictedProperty) -> str:
    if found.probability is not None:
        return "probabilities of 1"
    if not found.calibrated:
        return f"{found.level:.0%} intervals are not calibrated: the run has no calibration of these options"
    told = f"{found.level:.0%} intervals"
    return told if np.isnan(found.coverage) else f"{told}, which covered {found.coverage:.1%} of the validation rows"
