"""Labelled images in .parquet files, as the Hugging Face hub keeps them.

A column holds encoded images: bytes, or a struct with the field bytes (and path). Labels are whole numbers or text;
names of classes are read from the table's own metadata. Splits are a column `split`, or in a folder the first word of a
file's name (train-00000-of-00001.parquet).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqsuite.errors import UserError, unknown_name
from seqvision.data.images_sources import SPLITS, VERIFIED, Found, Part, index_labels
from seqvision.data.images_stores import BytesStore

if TYPE_CHECKING:
    import pyarrow as pa


def read_parquet(path: Path, *, image_column: str, label_column: str, skip: bool = False) -> Found:
    """Read labelled images.

    Args:
        path: A .parquet file or a folder of them.
        image_column: Of encoded images.
        label_column: Of labels.
        skip: Leave out images that cannot be read, and list them.

    Raises:
        UserError: A file is damaged, a column is missing or of another kind, a label or image is.
    """
    tables = _tables(path)
    raw: dict[str, np.ndarray] = {}
    columns: dict[str, Any] = {}
    for split, table in tables.items():
        for what, name in (("image", image_column), ("label", label_column)):
            if name not in table.column_names:
                raise unknown_name(f"--{what}_column of {path}", name, table.column_names)
        raw[split] = _labels(table.column(label_column), f"{path}: {label_column}")
        columns[split] = _encoded(table.column(image_column), f"{path}: {image_column}")
    labels, classes = index_labels(raw, _class_names(next(iter(tables.values())), label_column), str(path))
    parts, skipped = {}, []
    count = sum(len(rows) for rows in labels.values())
    for split, column in columns.items():
        names = [f"{path} {split}, row {row}" for row in range(len(labels[split]))]
        store = BytesStore(_Reader(column, names), names, verify=skip or count <= VERIFIED, skip=skip)
        parts[split] = Part(store, labels[split][store.rows])
        skipped += store.skipped
    return Found(str(path), parts, classes, tuple(skipped))


class _Reader:
    """Bytes of a row; pickled with the table for workers that are spawned."""

    def __init__(self, column: pa.ChunkedArray, names: list[str]) -> None:
        self.column, self.names = column, names

    def __call__(self, row: int) -> bytes:
        value: bytes | None = self.column[row].as_py()
        if value is None:
            raise UserError(f"{self.names[row]}: holds no image")
        return value


def _tables(path: Path) -> dict[str, pa.Table]:
    """Return split -> its rows; "all" where none are marked."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    by_split: dict[str, list[pa.Table]] = {}
    for file in files:
        try:
            table = pq.read_table(file)
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"{file}: is damaged or no .parquet file ({' '.join(str(error).split())[:120]})") from error
        word = file.stem.split("-")[0].lower()
        by_split.setdefault(SPLITS.get(word, "all") if len(files) > 1 else "all", []).append(table)
    try:
        tables = {split: pa.concat_tables(found) for split, found in by_split.items()}
    except pa.ArrowException as error:
        raise UserError(f"{path}: its files have different columns ({' '.join(str(error).split())[:120]})") from error
    if set(tables) == {"all"} and "split" in tables["all"].column_names:
        whole = tables["all"]
        marks = whole.column("split").to_pylist()
        strange = next((row for row, mark in enumerate(marks) if str(mark).lower() not in SPLITS), None)
        if strange is not None:
            raise UserError(f"{path}: row {strange} has the split {marks[strange]!r}; known are {', '.join(SPLITS)}")
        mapped = pa.array([SPLITS[str(mark).lower()] for mark in marks])
        tables = {name: whole.filter(pc.equal(mapped, name)) for name in dict.fromkeys(mapped.to_pylist())}
    if len(tables) > 1:
        tables.pop("all", None)
    if not sum(len(table) for table in tables.values()):
        raise UserError(f"{path}: holds no rows")
    return tables


def _labels(column: pa.ChunkedArray, name: str) -> np.ndarray:
    import pyarrow as pa

    if column.null_count:
        row = column.to_pylist().index(None)
        raise UserError(f"{name}: row {row} has no label")
    if pa.types.is_integer(column.type) or pa.types.is_boolean(column.type):
        return np.asarray(column.to_pylist(), dtype=np.int64)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return np.asarray(column.to_pylist(), dtype=str)
    raise UserError(f"{name}: labels must be whole numbers or text, not {column.type}")


def _encoded(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_struct(column.type) and column.type.get_field_index("bytes") >= 0:
        column = pc.struct_field(column, "bytes")
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        return column
    raise UserError(f"{name}: must hold encoded images (bytes), not {column.type}")


def _class_names(table: pa.Table, label_column: str) -> tuple[str, ...]:
    """Return the names that the hub's metadata gives to labels; empty where it gives none."""
    try:
        info = json.loads((table.schema.metadata or {})[b"huggingface"])
        return tuple(str(name) for name in info["info"]["features"][label_column]["names"])
    except (KeyError, TypeError, ValueError):
        return ()
