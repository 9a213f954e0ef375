"""The supervised tasks of BEND (Marin et al., ICLR 2024), whose labels are no single word in the BED file.

    labels = bend_labels("gene_finding.bed")
    rows = read_bend("gene_finding.bed", labels, genome, genome_name="GRCh38.fa")

TASK.bed has a header and the columns chromosome, start, end, split (train, valid, test, or numbered parts) and, in some
tasks, strand and label. Labels are either lists of numbers in the column `label` ("0,3,17": these are on, an empty
cell: none is), or lie in the dataset `labels` of TASK.hdf5 beside it, record i for row i: one label a base or one for
every so many bases. Layout and meaning follow the reading code of frederikkemarin/BEND (bend/io/sequtils.py,
conf/embedding/embed.yaml, conf/supervised_tasks).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seqdna.finetuning.intervals import CHROMOSOME_NAMES, fetch
from seqdna.finetuning.labelled import IGNORE, Rows, Targets
from seqdna.finetuning.tables import LABEL_NAMES, SPLIT_NAMES, Record, find_column, first_cells, split_of, table_records
from seqsuite.errors import UserError, suggest

WINDOW_TASKS = ("chromatin_accessibility", "histone_modification", "cpg_methylation")
"""Tasks with several yes/no labels a window; their windows have a strand."""

CLASS_TASKS = ("gene_finding",)
"""Tasks with a class a base, also where a small excerpt holds nothing but 0 and 1."""

HDF5 = (".hdf5", ".h5")
DATASET = "labels"


def task_name(path: Path) -> str:
    """Return the name of a task's file without its endings."""
    return path.name.removesuffix(".gz").removesuffix(".bed")


def labels_file(path: Path) -> Path | None:
    """Return the HDF5 file beside a task's BED file, if there is one."""
    places = [path.with_name(task_name(path) + suffix) for suffix in HDF5]
    return next((place for place in places if place.is_file()), None)


def bend_labels(path: Path) -> str:
    """Say where the labels of a BED file with a header lie: "hdf5", "lists" (column label), or "" (one word a row)."""
    if not {cell.lower() for cell in first_cells(path)} & set(LABEL_NAMES):
        return "hdf5"
    if task_name(path) in WINDOW_TASKS:
        return "lists"
    names, records = table_records(path)
    column = find_column(path, names, "", LABEL_NAMES, "--labels", "label")
    assert column is not None
    return "lists" if any("," in cell for _, cells in records for cell in cells[column : column + 1]) else ""


def read_bend(path: Path, labels: str, genome: Mapping[str, str], *, genome_name: str) -> Rows:
    """Read a task.

    Args:
        path: The BED file.
        labels: What `bend_labels` said.
        genome: Name -> sequence.
        genome_name: For messages.

    Raises:
        UserError: A column is not there, a row lies outside of the genome, or the labels do not fit the rows.
    """
    header, found = table_records(path)
    records = list(found)
    if not records:
        raise UserError(f"{path}: the table has a header and no rows.")
    for place, cells in records:
        if len(cells) != len(header):
            raise UserError(f"{path}, {place}: has {len(cells)} cells, the header has {len(header)}; mend the row.")
    windows = labels == "lists" or task_name(path) in WINDOW_TASKS
    sequences, splits = _intervals(path, header, records, genome, genome_name, stranded=windows)
    places = tuple(place for place, _ in records)
    if labels == "lists":
        column = find_column(path, header, "", LABEL_NAMES, "--labels", "label")
        assert column is not None
        targets = _lists(path, [(place, cells[column]) for place, cells in records])
    else:
        if (source := labels_file(path)) is None:
            raise UserError(
                f"{path}: has no column 'label', and beside it lies no {task_name(path)}.hdf5 with the labels; "
                "put it there, or name a column with --labels."
            )
        wholes = _records(source, len(records), path)
        targets = _windows(source, wholes) if windows else _along(source, wholes, places, sequences, path)
    return Rows(str(path), places, sequences, ((),) * len(places), (), splits, targets)


def _intervals(
    path: Path,
    header: Sequence[str],
    records: Sequence[Record],
    genome: Mapping[str, str],
    name: str,
    *,
    stranded: bool,
) -> tuple[tuple[str, ...], tuple[str, ...] | None]:
    """Return sequences and splits; labels along a sequence are those of the + strand, whatever its strand is."""
    wanted = [(CHROMOSOME_NAMES, "chromosome"), (("start",), "start"), (("end",), "end")]
    chromosome, start, end = (find_column(path, header, "", usual, "the header", what) for usual, what in wanted)
    split = find_column(path, header, "", SPLIT_NAMES, "--split_column", "split", needed=False)
    strand = find_column(path, header, "", ("strand",), "the header", "strand", needed=False) if stranded else None
    sequences, splits = [], []
    for place, cells in records:
        where = f"{path}, {place}"
        interval = (cells[chromosome].strip(), cells[start].strip(), cells[end].strip())  # type: ignore[index]
        minus = strand is not None and cells[strand].strip() == "-"
        sequences.append(fetch(genome, interval, where, name, minus=minus))
        if split is not None:
            splits.append(split_of(cells[split], where))
    return tuple(sequences), tuple(splits) if split is not None else None


def _lists(path: Path, cells: Sequence[tuple[str, str]]) -> Targets:
    """Turn "0,3" into a row with ones in the columns 0 and 3."""
    numbers = []
    for place, cell in cells:
        words = [word.strip() for word in cell.split(",")] if cell.strip() else []
        if not all(word.isdecimal() for word in words):
            raise UserError(
                f"{path}, {place}: the labels are {cell!r}; write the numbers of those that are on: 0,3,17."
            )
        numbers.append([int(word) for word in words])
    count = 1 + max((max(row) for row in numbers if row), default=-1)
    if not count:
        raise UserError(f"{path}: no row has a label; there is nothing to learn.")
    values = np.zeros((len(numbers), count), dtype=np.float32)
    for row, on in zip(values, numbers, strict=True):
        row[on] = 1
    return Targets("multi_label", values, tuple(str(k) for k in range(count)))


def _records(source: Path, rows: int, table: Path) -> list[np.ndarray]:
    """Return the records of the dataset `labels` as whole numbers, one for each row of the table.

    Raises:
        UserError: The file cannot be read, has no such dataset or another number of records, or holds fractions.
    """
    try:
        import h5py
    except ImportError:
        raise UserError(f'{source}: reading HDF5 needs h5py; install it: pip install "seqdna[hdf5]".') from None
    try:
        with h5py.File(source) as file:
            if not isinstance(data := file.get(DATASET), h5py.Dataset) or not data.ndim:
                raise UserError(f"{source}: has no dataset {DATASET!r} of records.{suggest(DATASET, file)}")
            if len(data) != rows:
                raise UserError(
                    f"{source}: {DATASET!r} has {len(data):,} records, and {table.name} has {rows:,} rows; record i "
                    "belongs to row i, so there must be as many."
                )
            found: list[Any] = list(data[()])
    except OSError as error:
        raise UserError(f"{source}: is no HDF5 file that can be read ({' '.join(str(error).split())}).") from None
    return [_whole(source, number, np.asarray(record)) for number, record in enumerate(found)]


def _whole(source: Path, number: int, record: np.ndarray) -> np.ndarray:
    if record.dtype.kind not in "biuf" or record.ndim > 2:
        raise UserError(f"{source}: record {number} of {DATASET!r} holds {record.dtype}, not a row of whole numbers.")
    values = record.astype(np.int64) if np.isfinite(record).all() else record
    if (values != record).any() or values.dtype.kind == "f" or not record.ndim:
        raise UserError(f"{source}: record {number} of {DATASET!r} holds what is no row of whole numbers.")
    return values


def _windows(source: Path, records: Sequence[np.ndarray]) -> Targets:
    """Return several yes/no labels of each window."""
    flat = [record.reshape(-1) for record in records]
    for number, record in enumerate(flat):
        if len(record) != len(flat[0]):
            raise UserError(
                f"{source}: record {number} of {DATASET!r} has {len(record)} labels, record 0 has {len(flat[0])}; a "
                "window has as many as every other."
            )
        if not np.isin(record, (0, 1)).all():
            strange = record[~np.isin(record, (0, 1))][0]
            raise UserError(f"{source}: record {number} of {DATASET!r} holds {strange}; a window's labels are 0 or 1.")
    values = np.stack(flat).astype(np.float32)
    return Targets("multi_label", values, tuple(str(k) for k in range(values.shape[1])))


def _along(
    source: Path, records: list[np.ndarray], places: Sequence[str], sequences: Sequence[str], table: Path
) -> Targets:
    """Return labels along the sequences: a class a label, or yes/no where nothing but 0 and 1 occurs."""
    bases = 0
    for number, (place, text) in enumerate(zip(places, sequences, strict=True)):
        record = records[number]
        surplus = record[len(text) :]
        if len(surplus) and (surplus == IGNORE).all():  # rows of unequal length, filled up to the longest
            record = records[number] = record[: len(text)]
        stride = len(text) // len(record) if len(record) and len(text) % len(record) == 0 else 0
        if not stride or (bases and stride != bases):
            wanted = f"{len(text) // bases:,}" if bases else "one a base, or one for every so many"
            raise UserError(
                f"{source}: record {number} of {DATASET!r} has {len(record):,} labels, and the {len(text):,} bases of "
                f"{table.name}, {place}, need {wanted}."
            )
        bases = stride
    columns = {record.shape[1:] for record in records}
    if len(columns) > 1:
        raise UserError(f"{source}: the records of {DATASET!r} have different numbers of columns.")
    return _coded(source, records, bases, classes=task_name(table) in CLASS_TASKS)


def _coded(source: Path, records: Sequence[np.ndarray], bases: int, *, classes: bool) -> Targets:
    found = np.unique(np.concatenate([np.unique(record) for record in records]))
    found = found[found != IGNORE]
    values = np.empty(len(records), dtype=object)
    width = records[0].shape[1] if records[0].ndim == 2 else 1
    if len(found) < 2:
        raise UserError(f"{source}: {DATASET!r} holds one value only; there is nothing to learn.")
    if width == 1 and (classes or not np.isin(found, (0, 1)).all()):
        for number, record in enumerate(records):
            row = record.reshape(-1)
            values[number] = np.where(row == IGNORE, IGNORE, np.searchsorted(found, row))
        return Targets("classification", values, tuple(str(k) for k in found), bases)
    if not np.isin(found, (0, 1)).all():
        strange = found[~np.isin(found, (0, 1))][0]
        raise UserError(f"{source}: {DATASET!r} holds {strange}; several labels of one place are 0 or 1.")
    for number, record in enumerate(records):
        values[number] = record.reshape(len(record), width).astype(np.float32)
    return Targets("multi_label", values, tuple(str(k) for k in range(width)) if width > 1 else ("label",), bases)
