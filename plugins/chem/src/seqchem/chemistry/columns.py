"""A file of molecules or proteins with columns of computed properties added: labels for training, row by row.

table = add_properties("moses.csv", ["qed", "logp"])
table.values["qed"], table.save("labelled.csv")
add_properties("peptides.fasta", ["boman", "charge"])

What the file holds says which properties there are: RDKit's of molecules, or those of `seqchem.proteins`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqchem.chemistry.parsing import Salts
from seqchem.chemistry.properties import DESCRIPTIONS, PROPERTIES, calculate
from seqchem.proteins.descriptors import PEPTIDE_DESCRIPTIONS, PEPTIDE_PROPERTIES, peptide_properties
from seqchem.proteins.letters import problem_of
from seqsuite.errors import UserError, unknown_name
from seqsuite.reports import TableView
from seqsuite.reports.csv_files import write_csv

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from seqchem.data.tables import OnInvalid


USUAL = ("qed", "logp", "sa", "mw", "tpsa")
USUAL_OF_PROTEINS = ("boman", "length", "weight", "charge", "isoelectric_point", "gravy")
"""What is computed where nothing else is named."""


@dataclass(frozen=True)
class ComputedProperties(TableView):
    """Rows of a file with computed properties.

    Attributes:
        header: Columns of the file.
        rows: Its cells, of the rows that are kept.
        sequences: Canonical SMILES or letters of each row; the text of the file where it is neither.
        values: Property -> (N,) float64, NaN where the row has none.
        status: "ok", or why a row has no values.
        left_out: Rows of the file that are not kept.
        language: smiles or protein.
    """

    header: tuple[str, ...]
    rows: list[list[str]] = field(repr=False)
    sequences: list[str] = field(repr=False)
    values: dict[str, np.ndarray] = field(repr=False)
    status: list[str] = field(repr=False)
    left_out: int = 0
    language: str = "smiles"

    def __len__(self) -> int:
        return len(self.rows)

    def table(self) -> list[dict[str, Any]]:
        """Return one row a sequence: itself, its properties and status."""
        return [
            {"sequence": text, **{name: float(column[row]) for name, column in self.values.items()}, "status": told}
            for row, (text, told) in enumerate(zip(self.sequences, self.status, strict=True))
        ]

    def summary(self) -> list[dict[str, Any]]:
        """Return one row a property: how many values, mean, deviation (divided by N), least, greatest, meaning."""
        meanings = PEPTIDE_DESCRIPTIONS if self.language == "protein" else DESCRIPTIONS
        rows = []
        for name, column in self.values.items():
            known = column[np.isfinite(column)]
            statistics = (np.mean, np.std, np.min, np.max)
            found = [float(function(known)) if len(known) else float("nan") for function in statistics]
            rows.append({"property": name, "values": len(known), "mean": found[0], "sd": found[1],
                         "least": found[2], "greatest": found[3], "meaning": meanings[name]})  # fmt: skip
        return rows

    def note(self) -> str:
        """Return how many rows there are and how many have no values."""
        wrong = sum(told != "ok" for told in self.status)
        told = f"{len(self):,} rows"
        none = "without values" if self.language == "protein" else "no molecule"
        told += f", {wrong:,} of them {none} (see status)" if wrong else ""
        return told + (f"; {self.left_out:,} rows left out" if self.left_out else "")

    def figure(self) -> Figure:
        """Draw the distribution of every property."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(3.2 * len(self.values), 2.6), layout="constrained")
        for axes, (name, column) in zip(np.atleast_1d(figure.subplots(1, len(self.values))), self.values.items(),
                                        strict=True):  # fmt: skip
            axes.hist(column[np.isfinite(column)], bins=30)
            axes.set(xlabel=name)
            axes.spines[["top", "right"]].set_visible(False)
        return figure

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: counts and statistics."""
        wrong = sum(told != "ok" for told in self.status)
        return {"rows": len(self), "refused": wrong, "left_out": self.left_out, "properties": self.summary()}

    def save(self, path: str | Path) -> Path:
        """Write the file's columns, the properties and a status as CSV.

        Args:
            path: Where to.

        Raises:
            UserError: The disk is full or the place is not writable.
        """
        columns = list(self.values.values())

        def line(row: int) -> list[str]:
            # A row of more cells than the header has would push its cells below the names of the properties.
            cells = [*self.rows[row], *[""] * len(self.header)][: len(self.header)]
            numbers = ["" if np.isnan(column[row]) else f"{column[row]:.6g}" for column in columns]
            return [*cells, *numbers, self.status[row]]

        return write_csv(path, [*self.header, *self.values, "status"], map(line, range(len(self))))


def add_properties(
    path: str | Path,
    names: Sequence[str] = ("usual",),
    *,
    language: str = "auto",
    sequence_column: str = "",
    salts: Salts = "keep",
    on_invalid: OnInvalid = "keep",
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> ComputedProperties:
    """Compute properties of the molecules or proteins of a file.

    Args:
        path: CSV, TSV, .smi, .sdf or .fasta, plain or gzip.
        names: Of `seqchem.chemistry.properties.PROPERTIES`, or of proteins of
            `seqchem.proteins.descriptors.PEPTIDE_PROPERTIES`; "usual": `USUAL`, of proteins `USUAL_OF_PROTEINS`.
        language: smiles or protein; auto: what most rows of the file are.
        sequence_column: Column of the sequences; empty: found by its name.
        salts: Mixtures and salts: keep them, keep the largest part, or refuse them.
        on_invalid: Rows without values, which are no molecule or not of the twenty amino acids: an error, skipped, or
            kept with their status.
        workers: Processes, for molecules.
        progress: Is told how many of how many are done.

    Returns:
        The rows in their order.

    Raises:
        UserError: The file, a column, a name, or rows that cannot be used; or a column that is there already.
    """
    from seqchem.data.records import read_records
    from seqchem.data.tables import read_table, refused_rows

    records = read_records(path)
    options: dict[str, Any] = {"sequence_column": sequence_column, "language": language, "salts": salts}
    table = read_table(path, on_invalid="keep", **options)
    wanted = property_names(names, table.language, str(path))
    taken = [name for name in (*wanted, "status") if name in records.header]
    if taken:
        raise UserError(f"{path}: has a column {taken[0]!r} already; rename it, or do not ask for it")
    status = [_status(told, text, table.language) for told, text in zip(table.status, table.sequences, strict=True)]
    bad = [(row, told) for row, told in zip(table.rows, status, strict=True) if told != "ok"]
    if bad and on_invalid == "error":
        raise UserError(f"{refused_rows(table.path, table.unit, bad)}; mend them, or add --on_invalid keep or skip")
    kept = [row for row, told in enumerate(status) if told == "ok" or on_invalid == "keep"]
    texts = [table.sequences[row] if status[row] == "ok" else "" for row in kept]
    if table.language == "protein":
        values = peptide_properties(wanted, texts)
    else:
        values = calculate(
            wanted, texts, workers=workers, progress=None if progress is None else lambda n: progress(n, len(texts))
        )
    return ComputedProperties(
        tuple(records.header), [records.rows[row] for row in kept], [table.sequences[row] for row in kept], values,
        [status[row] for row in kept], len(table) - len(kept), table.language,
    )  # fmt: skip


def property_names(names: Sequence[str], language: str, source: str) -> list[str]:
    """Return different names of properties that sequences of a language have, in their order.

    Args:
        names: Names; "usual": those of `USUAL` or `USUAL_OF_PROTEINS`.
        language: smiles or protein.
        source: The file that holds them, for messages.

    Raises:
        UserError: One is not known, or is a property of the other kind, or the sequences are reactions.
    """
    if language == "reaction":
        raise UserError(f"{source} holds reactions; properties are those of molecules or of proteins")
    protein = language == "protein"
    known, other = (PEPTIDE_PROPERTIES, PROPERTIES) if protein else (PROPERTIES, PEPTIDE_PROPERTIES)
    usual = USUAL_OF_PROTEINS if protein else USUAL
    wanted = list(dict.fromkeys(one for name in names for one in (usual if name == "usual" else (name,))))
    for name in wanted:
        if name in other and name not in known:
            kinds = ("molecules", "proteins") if protein else ("proteins", "molecules")
            raise UserError(f"{name} is a property of {kinds[0]}, and {source} holds {kinds[1]}; if it does not, say "
                            f"so with --language {'smiles' if protein else 'protein'}")  # fmt: skip
        if name not in known:
            raise unknown_name(f"property of {'proteins' if protein else 'molecules'}", name, known)
    return wanted


def _status(told: str, text: str, language: str) -> str:
    """Return the status of a row: of proteins, whether the twenty amino acids are all that it has."""
    if told != "ok" or language != "protein":
        return told
    return problem_of(text) or "ok"
