"""A table of sequences with numbers: every row checked, every fault named by its row.

    table = read_table("freesolv.csv.gz", property_columns=["expt"])
    table.sequences[0], table.values["expt"][0], table.rows[0]

The sequence column is found by its name (smiles, mol, sequence, ...) where none is given. Missing values are NaN.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from seqchem.chemistry.parsing import Salts
from seqchem.data.canonical import check_sequences, guess_language
from seqchem.data.columns import (
    SPLIT_NAMES,
    column_index,
    number,
    numeric_columns,
    property_indices,
    property_name,
    sequence_index,
    sequence_texts,
)
from seqchem.data.records import Records, read_records
from seqsuite.errors import UserError, unknown_name
from seqsuite.reports import TableView

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["MoleculeTable", "OnInvalid", "joined", "numeric_names", "property_name", "read_table", "refused_rows"]

OnInvalid = Literal["error", "skip", "keep"]
SHOWN = 5
"""Rows that a message names."""


@dataclass(frozen=True)
class MoleculeTable(TableView):
    """Sequences with numbers.

    Attributes:
        path: The file.
        language: What the sequences are: smiles (of molecules), protein or reaction.
        sequences: In one form: canonical SMILES, upper-case amino acids; as in the file where the row is refused.
        values: (N,) float64 of each property, NaN where there is none.
        rows: Where each row stands in the file.
        split: The cell of the split column of each row; None where there is no such column.
        status: "ok", or why the row is refused.
        texts: The sequences as in the file.
        columns: The column of each property.
        sequence_column: Name of the column of the sequences.
        unit: What `rows` counts: "line" or "record".
        left_out: Rows that were skipped, each with the reason.
        files: The file of each row, where the table is of several.
    """

    path: str
    language: str
    sequences: list[str]
    values: dict[str, np.ndarray]
    rows: list[int]
    split: list[str] | None
    status: list[str]
    texts: list[str] = field(default_factory=list)
    columns: dict[str, str] = field(default_factory=dict)
    sequence_column: str = ""
    unit: str = "line"
    left_out: list[tuple[int, str]] = field(default_factory=list)
    files: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.sequences)

    @property
    def ok(self) -> np.ndarray:
        """Return the indices of the rows that can be used."""
        return np.flatnonzero([status == "ok" for status in self.status])

    def select(self, indices: Sequence[int] | np.ndarray) -> MoleculeTable:
        """Return some rows.

        Args:
            indices: Which, in their new order.
        """
        chosen = [int(index) for index in indices]

        def taken(values: list[Any]) -> list[Any]:
            return [values[index] for index in chosen]

        return dataclasses.replace(
            self,
            sequences=taken(self.sequences),
            values={name: values[chosen] for name, values in self.values.items()},
            rows=taken(self.rows),
            split=None if self.split is None else taken(self.split),
            status=taken(self.status),
            texts=taken(self.texts),
            files=taken(self.files) if self.files else [],
        )

    def table(self) -> list[dict[str, Any]]:
        """Return the rows."""
        return [
            {
                self.unit: self.rows[index],
                "sequence": sequence,
                **{name: float(values[index]) for name, values in self.values.items()},
                **({} if self.split is None else {"part": self.split[index]}),
                "status": self.status[index],
            }
            for index, sequence in enumerate(self.sequences)
        ]

    def figure(self) -> Figure | None:
        """Draw the distribution of every property; None where there is none."""
        from seqchem.data.pictures import histograms

        return histograms({"": self.values}) if self.values else None


def read_table(
    path: str | os.PathLike[str],
    *,
    sequence_column: str = "",
    binder_column: str = "",
    property_columns: Sequence[str] = (),
    ignore_columns: Sequence[str] = (),
    split_column: str = "",
    language: str = "auto",
    salts: Salts = "keep",
    on_invalid: OnInvalid = "error",
    standardize: bool = True,
) -> MoleculeTable:
    """Read a file of sequences and check every row of it.

    Args:
        path: CSV, TSV, .smi, .sdf or .fasta, plain or gzip.
        sequence_column: Column of the sequences; empty: found by its name.
        binder_column: Column of binders, which are written behind the sequences with a dot between.
        property_columns: Columns of numbers; "name=column" renames one, "all" takes every one that holds numbers.
        ignore_columns: Columns that "all" does not take.
        split_column: Column that says each row's part; empty: none, or one called split.
        language: smiles, selfies, selfies_v1 (the file holds SMILES for all three), protein, reaction; auto: guessed.
        salts: Mixtures and salts: keep them, keep the largest part, or refuse them.
        on_invalid: Rows that cannot be used: an error, skipped (and listed in `left_out`), or kept with their status.
        standardize: Check and rewrite sequences; where it is false, they are taken as they are.

    Returns:
        The table.

    Raises:
        UserError: The file, a column, or rows that cannot be used; one line names the rows.
    """
    for flag, word, known in (("salts", salts, get_args(Salts)), ("on_invalid", on_invalid, get_args(OnInvalid))):
        if word not in known:
            raise unknown_name(f"--{flag}", word, known)
    records = read_records(path)
    at = sequence_index(records, sequence_column)
    part = _split_index(records, split_column, {at})
    ignored = {column_index(records, name, "--ignore_columns") for name in ignore_columns}
    properties = property_indices(records, property_columns, {at, *ignored, *({part} if part is not None else ())})
    if at in properties.values():
        raise UserError(f"{records.path}: {records.header[at]!r} is the column of the sequences, no property")
    texts = sequence_texts(records, at, binder_column)
    kind = _kind(records, texts, language, records.header[at])
    checked = check_sequences(texts, language=kind, salts=salts, rewrite=standardize)
    status = [
        records.problems.get(index) or _shape_problem(records, index) or reason or "ok"
        for index, reason in enumerate(checked.reasons)
    ]
    values = {name: _numbers(records, name, index, status) for name, index in properties.items()}
    table = MoleculeTable(
        path=records.path,
        language=kind,
        sequences=checked.texts,
        values=values,
        rows=records.lines,
        split=None if part is None else [row[part].strip() if part < len(row) else "" for row in records.rows],
        status=status,
        texts=texts,
        columns={name: records.header[index] for name, index in properties.items()},
        sequence_column=records.header[at],
        unit=records.unit,
    )
    return _settle(table, on_invalid)


def joined(tables: Mapping[str, MoleculeTable]) -> MoleculeTable:
    """Return tables of several files as one; its split column says which table a row is of.

    Args:
        tables: By part: train, valid, test. They have the same properties.

    Raises:
        UserError: They hold different kinds of sequences.
    """
    first = tables["train"]
    for part, table in tables.items():
        if table.language != first.language:
            raise UserError(f"--{part} {table.path} holds {table.language} sequences, {first.path} {first.language}")
    every = list(tables.values())
    return dataclasses.replace(
        first,
        sequences=[text for table in every for text in table.sequences],
        values={name: np.concatenate([table.values[name] for table in every]) for name in first.values},
        rows=[row for table in every for row in table.rows],
        split=[part for part, table in tables.items() for _ in table.rows],
        status=[status for table in every for status in table.status],
        texts=[text for table in every for text in table.texts],
        left_out=[
            *first.left_out,
            *((row, f"{why}, in {table.path}") for table in every[1:] for row, why in table.left_out),
        ],
        files=[table.path for table in every for _ in table.rows],
    )


def numeric_names(path: str | os.PathLike[str], *, sequence_column: str = "", split_column: str = "") -> list[str]:
    """Return the columns of a file that hold numbers, beside its sequences and its parts.

    Args:
        path: The file.
        sequence_column: See `read_table`.
        split_column: See `read_table`.
    """
    records = read_records(path)
    at = sequence_index(records, sequence_column)
    part = _split_index(records, split_column, {at})
    return [records.header[index] for index in numeric_columns(records, {at, *({part} if part is not None else ())})]


def refused_rows(path: str, unit: str, rows: Sequence[tuple[int, str]]) -> str:
    """Return one phrase that names rows and what is wrong with them.

    Args:
        path: The file.
        unit: What the rows count.
        rows: Where they stand, and why they are refused.
    """
    shown = ", ".join(f"{unit} {row} ({reason})" for row, reason in rows[:SHOWN])
    more = f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
    return f"{path}: {len(rows)} {'row' if len(rows) == 1 else 'rows'} cannot be used: {shown}{more}"


def _settle(table: MoleculeTable, on_invalid: OnInvalid) -> MoleculeTable:
    bad = [(row, status) for row, status in zip(table.rows, table.status, strict=True) if status != "ok"]
    if not bad or on_invalid == "keep":
        return table
    told = refused_rows(table.path, table.unit, bad)
    if on_invalid == "error":
        raise UserError(f"{told}; mend them, or leave them out with --on_invalid skip")
    if len(bad) == len(table):
        raise UserError(f"{told}; none is left")
    return dataclasses.replace(table.select(table.ok), left_out=bad)


def _kind(records: Records, texts: list[str], language: str, column: str) -> str:
    """Return what the sequences are: as asked for, else as the name of their column says, else as most of them look."""
    if language != "auto":
        return "smiles" if language.startswith("selfies") else language
    if not any(text.strip() for text in texts):
        first = refused_rows(records.path, records.unit, [(line, "empty") for line in records.lines])
        raise UserError(f"{first}; none is left")
    guessed = guess_language(texts)
    return "smiles" if guessed == "protein" and "smiles" in column.lower() else guessed


def _split_index(records: Records, name: str, taken: set[int]) -> int | None:
    if name:
        return column_index(records, name, "--split_column")
    lowered = [column.lower() for column in records.header]
    usual = [lowered.index(known) for known in SPLIT_NAMES[:1] if known in lowered]
    return usual[0] if usual and usual[0] not in taken else None


def _shape_problem(records: Records, index: int) -> str:
    cells, wanted = len(records.rows[index]), len(records.header)
    if not any(cell.strip() for cell in records.rows[index]):
        return "empty"
    return f"{cells} cells where the header has {wanted}" if cells != wanted else ""


def _numbers(records: Records, name: str, at: int, status: list[str]) -> np.ndarray:
    """Return a column as numbers; rows whose cell holds something else are marked."""
    values = np.full(len(records.rows), np.nan)
    some = False
    for index, row in enumerate(records.rows):
        found = number(row[at]) if at < len(row) else np.nan
        if found is None:
            problem = f"{records.header[at]} {row[at].strip()[:20]!r} is no number"
            status[index] = problem if status[index] == "ok" else status[index]
            continue
        values[index] = found
        some = some or not np.isnan(found)
    if not some:
        cell = next((row[at] for row in records.rows if at < len(row) and row[at].strip()), "")
        held = f"holds no numbers, but such as {cell[:30]!r}" if cell else "is empty"
        raise UserError(f"{records.path}: column {records.header[at]!r} {held}; name a column of numbers")
    return values
