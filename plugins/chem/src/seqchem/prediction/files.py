"""Predicting for a file: every row keeps its place, its columns and a status.

found = predict_file(model, "new.csv", ["logs"])
found.predictions.table()
found.save("predicted.csv")
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from seqchem.prediction.predict import PreparedRows, asked_properties, predict_properties, prepare_rows
from seqchem.prediction.results import PropertyPredictions
from seqsuite.errors import UserError
from seqsuite.reports import TableView

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PredictedFile", "predict_file"]


@dataclass(frozen=True)
class PredictedFile(TableView):
    """Predictions of a file.

    Attributes:
        predictions: Row by row.
        columns: The file's own columns, cells of the same rows.
        left_out: (line, reason) of rows that were skipped.
    """

    predictions: PropertyPredictions
    columns: dict[str, list[str]] = field(repr=False)
    left_out: tuple[tuple[int, str], ...] = ()

    def table(self) -> list[dict[str, Any]]:
        """Return one row a sequence."""
        return self.predictions.table()

    def figure(self) -> Figure:
        """Draw the distribution of the predicted values."""
        return self.predictions.figure()

    def notes(self) -> list[str]:
        """Return what must be read beside the numbers."""
        lines = self.predictions.notes()
        if self.left_out:
            row, reason = self.left_out[0]
            lines.append(f"{len(self.left_out):,} rows were skipped; the first is row {row}: {reason}")
        return lines

    def save(self, path: str | Path) -> Path:
        """Write the file's columns and the predictions beside them, row by row.

        A column of the file that has the name of one of ours is called input_<name>.

        Raises:
            UserError: The disk is full or the place is not writable.
        """
        ours = {name for found in self.predictions.properties.values() for name in found.cells()}
        ours |= {"status", "warnings"}
        columns = {f"input_{name}" if name in ours else name: cells for name, cells in self.columns.items()}
        return self.predictions.save(path, columns=columns)


def predict_file(
    model: Any,
    path: str | os.PathLike[str],
    properties: Sequence[str] | None = None,
    *,
    sequence_column: str = "",
    salts: Literal["keep", "largest", "refuse"] = "keep",
    on_invalid: Literal["error", "skip", "keep"] = "keep",
    **options: Any,
) -> PredictedFile:
    """Predict properties of the sequences in a file.

    Args:
        model: A Regression Transformer.
        path: CSV, TSV, .smi, .sdf or .fasta, plain or gzip.
        properties: Which; None: all of the model.
        sequence_column: Column of the sequences; empty: found by its name.
        salts: Mixtures and salts: keep them, keep the largest part, or refuse them.
        on_invalid: Rows that cannot be predicted: an error, left out, or kept with their status.
        options: Those of `predict_properties`: batch_size, decode, point, clip, device, calibration, level.

    Raises:
        UserError: The file or a row of it, the model has no such property, or an option.
    """
    from seqchem.data.records import read_records
    from seqchem.data.tables import read_table, refused_rows

    names = asked_properties(model.config, properties)
    table = read_table(
        path, sequence_column=sequence_column, language=model.config.language, salts=salts, on_invalid="keep"
    )
    prepared = prepare_rows(model, table.sequences, names, status=table.status)
    bad = [(row, one) for row, one in zip(table.rows, prepared.status, strict=True) if one != "ok"]
    if bad and on_invalid == "error":
        raise UserError(f"{refused_rows(table.path, table.unit, bad)}; mend them, or add --on_invalid keep or skip")
    kept = [index for index, one in enumerate(prepared.status) if one == "ok" or on_invalid == "keep"]
    if not kept:
        raise UserError(f"{refused_rows(table.path, table.unit, bad)}; none is left")
    chosen = PreparedRows(*([part[index] for index in kept] for part in prepared))
    rows = [table.rows[index] for index in kept]
    found = predict_properties(
        model, [table.sequences[index] for index in kept], names, prepared=chosen, rows=rows, **options
    )
    records = read_records(path)
    columns = {
        name: [records.rows[index][at] if at < len(records.rows[index]) else "" for index in kept]
        for at, name in enumerate(_different(records.header))
    }
    return PredictedFile(found, columns, tuple(bad) if on_invalid == "skip" else ())


def _different(header: Sequence[str]) -> list[str]:
    """Return the names of columns; of several without a name each is called by its number."""
    unnamed = sum(not name for name in header)
    return [name or (f"column_{number}" if unnamed > 1 else "") for number, name in enumerate(header, 1)]
