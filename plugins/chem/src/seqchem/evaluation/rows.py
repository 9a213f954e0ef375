"""Which rows an evaluation takes, and the rows that the run was trained on.

The run's parts.csv says which rows of its source are train, valid and test; it is read against that file only.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from seqchem.data.columns import property_name
from seqchem.data.records import read_records
from seqchem.data.splits import read_parts
from seqchem.data.tables import MoleculeTable, read_table
from seqsuite.errors import UserError, unknown_name

__all__ = ["EvaluatedRows", "property_columns", "rows_to_evaluate", "training_rows"]

PartName = Literal["auto", "all", "train", "valid", "test"]


@dataclass(frozen=True)
class EvaluatedRows:
    """Rows of known properties.

    Attributes:
        table: The rows.
        source: Where they come from, in words.
        left_out: Rows of the file that cannot be used.
    """

    table: MoleculeTable
    source: str
    left_out: int


def rows_to_evaluate(
    model: Any,
    run: Path | None,
    options: Mapping[str, Any],
    data: str | os.PathLike[str],
    *,
    part: PartName = "auto",
    properties: Sequence[str] = (),
    sequence_column: str = "",
    salts: Literal["keep", "largest", "refuse"] = "keep",
    on_invalid: Literal["error", "skip"] = "skip",
) -> EvaluatedRows:
    """Read the rows of a file, or of the part of it that a run held out.

    Args:
        model: A Regression Transformer.
        run: Its run folder; None: there is none.
        options: What the run was told.
        data: The file.
        part: auto: the test part of the file that the run was trained on, else all rows.
        properties: Names, or name=column; none: those of the model that the file has.
        sequence_column: Column of the sequences; empty: that of the run's file, or found by its name.
        salts: What becomes of mixtures and salts.
        on_invalid: What becomes of rows that cannot be used.

    Raises:
        UserError: The file, a column, or a part that is not there.
    """
    known = _known_file(options, data) if run is not None else ""
    own = bool(known)
    if not own and part not in ("auto", "all"):
        raise UserError(f"--part {part}: {data} is not the file that the run was trained on; leave it out")
    reading = _reading(options, own)
    if sequence_column:
        reading["sequence_column"] = sequence_column
    if not own:
        reading["salts"] = salts
    columns = property_columns(model, data, properties)
    table = read_table(data, property_columns=columns, language=model.config.language, on_invalid="keep", **reading)
    chosen, told = np.arange(len(table)), f"{len(table):,} rows of {data}"
    wanted = "test" if part == "auto" else part
    if own and wanted != "all":
        assert run is not None
        parts = read_parts(run / "parts.csv", table, file=known)
        if not len(parts.get(wanted, ())):
            there = [name for name, rows in parts.items() if len(rows)]
            raise UserError(f"--part {wanted}: the split of {run} has no such rows; there are {', '.join(there)}")
        chosen = parts[wanted]
        also = {"train": ", which it was trained on", "valid": ", which its intervals are calibrated on"}
        told = f"{len(chosen):,} {wanted} rows of {data}{also.get(wanted, '')}"
    table = table.select(chosen)
    bad = [index for index, status in enumerate(table.status) if status != "ok"]
    if bad and on_invalid == "error":
        from seqchem.data.tables import refused_rows

        rows = [(table.rows[index], table.status[index]) for index in bad]
        raise UserError(f"{refused_rows(table.path, table.unit, rows)}; mend them, or add --on_invalid skip")
    return EvaluatedRows(table.select(table.ok), told, len(bad))


def training_rows(
    model: Any, run: Path | None, options: Mapping[str, Any], properties: Sequence[str], *, source: str = ""
) -> MoleculeTable:
    """Read the training rows of a run, with the values of some properties.

    Args:
        model: A Regression Transformer.
        run: Its run folder.
        options: What the run was told.
        properties: Names of the model's properties.
        source: The file, where it is no longer where the run read it.

    Raises:
        UserError: There is no run, its file is gone, or its split belongs to another file.
    """
    if run is None or not (run / "parts.csv").is_file():
        raise UserError("the training rows are not known: this is no run folder of `seqchem finetune` with a parts.csv")
    place = source or str(options.get("source", ""))
    if not Path(place).expanduser().is_file():
        raise UserError(f"the run was trained on {place}, which is not there; say where it is with --train FILE")
    columns = property_columns(model, place, properties)
    reading = _reading(options, True)
    table = read_table(place, property_columns=columns, language=model.config.language, on_invalid="keep", **reading)
    found = read_parts(run / "parts.csv", table, file=str(options.get("source", "")))["train"]
    if not len(found):
        raise UserError(f"{run / 'parts.csv'} names no training row of {place}")
    return table.select(found)


def property_columns(model: Any, data: str | os.PathLike[str], properties: Sequence[str]) -> list[str]:
    """Return what `read_table` is to be asked for, so that its names are those of the model.

    Args:
        model: A Regression Transformer; its metadata may say from which column a property came.
        data: The file to read.
        properties: Names, or name=column; none: those of the model that the file has.

    Raises:
        UserError: The model has no such property, or the file has no such column.
    """
    known = list(model.config.number_formats)
    header = read_records(data).header
    named = {property_name(column).lower(): column for column in reversed(header)}
    renamed = model.config.metadata.get("columns") or {}
    found = []
    for entry in properties or known:
        name, equals, column = entry.partition("=")
        if name not in known:
            raise unknown_name("property of this model", name, known)
        near = named.get(name.lower()) or (renamed.get(name) if renamed.get(name) in header else None)
        column = column if equals else (near or "")
        if column:
            found.append(f"{name}={column}")
        elif properties:
            raise unknown_name(f"column of {data}", name, filter(None, header))
    if not found:
        raise UserError(
            f"{data} has no column of {', '.join(known[:5])}; say which it is with --properties {known[0]}=COLUMN"
        )
    return found


def _reading(options: Mapping[str, Any], own: bool) -> dict[str, Any]:
    """Return how the run read its file; of another file, none of it."""
    names = ("sequence_column", "salts", "standardize") if own else ()
    return {name: options[name] for name in names if name in options}


def _known_file(options: Mapping[str, Any], data: str | os.PathLike[str]) -> str:
    """Return what a run calls a file that it read; nothing where it did not."""
    files = [str(options[name]) for name in ("source", "valid", "test") if options.get(name)]
    return next((file for file in files if _same_file(file, data)), "")


def _same_file(known: str, data: str | os.PathLike[str]) -> bool:
    """Return whether two files are one: the same place, or the same content."""
    first, second = Path(known).expanduser(), Path(data).expanduser()
    if not (first.is_file() and second.is_file()):
        return False
    return first.samefile(second) or _digest(first) == _digest(second)


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
