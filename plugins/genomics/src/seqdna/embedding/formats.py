"""Files of vectors, written as the vectors come: .npz, .parquet and .zarr.

    with open_writer(check_output("vectors.npz"), width=256, every_base=False, settings={}) as writer:
        writer.add(piece, vector)

Memory is a few thousand vectors and the table of names, however many vectors there are. A file is written
aside and renamed when it is whole; after an error nothing is left behind.

- .npz: arrays `names`, `starts`, `ends` (0-based, half-open), `lengths` and `vectors` (n, width), `settings`
  as JSON. With a vector a base, `vectors` is (sum of lengths, width), one sequence after another.
- .zarr: a group (format 2) of the same arrays, `vectors` in chunks, the settings as attributes.
- .parquet: a row a vector: name, start, end, vector; or with a vector a base: name, position, vector.
"""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

import numpy as np

from seqdna.embedding.optional import needed
from seqdna.embedding.pieces import Piece
from seqsuite.errors import UserError, suggest

_BUFFERED_BYTES = 8 << 20


def check_output(path: str | Path, *, overwrite: bool = False) -> Path:
    """Return the output's path once it can be written, before any work is done.

    Raises:
        UserError: Unknown ending, a package is missing, there is no such folder, or the file exists.
    """
    target = Path(path).expanduser()
    if target.suffix not in WRITERS:
        raise UserError(
            f"--out {target}: the ending {target.suffix!r} is no known format.{suggest(target.suffix, WRITERS)}"
        )
    if not target.parent.is_dir():
        raise UserError(f"--out {target}: cannot write it, there is no folder {target.parent}.")
    if target.exists() and not overwrite:
        raise UserError(f"{target} exists; add --overwrite or choose another --out.")
    if target.is_dir() and not (target.suffix == ".zarr" and _is_store(target)):
        raise UserError(f"--out {target} is a folder of something else, which is not replaced; choose another --out.")
    for package in WRITERS[target.suffix].packages:
        needed(package, package, f"--out {target.name}")
    return target


def _is_store(folder: Path) -> bool:
    """Return whether a folder is a zarr store, or empty."""
    names = {path.name for path in folder.iterdir()}
    return not names or bool(names & {".zgroup", ".zarray", "zarr.json"})


def open_writer(target: Path, *, width: int, every_base: bool, settings: Mapping[str, Any]) -> VectorWriter:
    """Return the writer for the target's ending; a context manager.

    Args:
        target: From `check_output`.
        width: Of a vector.
        every_base: A vector a base, (n, width) a piece, in place of one a piece, (width,).
        settings: What made the vectors, kept in the file.
    """
    return WRITERS[target.suffix](target, width=width, every_base=every_base, settings=settings)


class VectorWriter:
    """Base of the formats: gathers vectors and the table of names, cleans up after errors."""

    packages: ClassVar[tuple[str, ...]] = ()

    def __init__(self, target: Path, *, width: int, every_base: bool, settings: Mapping[str, Any]) -> None:
        self.target, self.width, self.every_base, self.settings = target, width, every_base, dict(settings)
        self.aside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        self.names: list[str] = []
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.items = self.rows = 0
        self._last_item = -1
        self._buffer: list[np.ndarray] = []
        self._room = max(1, _BUFFERED_BYTES // (4 * width))
        self._buffered = 0

    def add(self, piece: Piece, vector: np.ndarray) -> None:
        """Append a piece's vector (width,), or its kept bases' (n, width)."""
        places = piece.places() if self.every_base else np.array([piece.start, piece.end - 1])
        start, end = int(places.min()), int(places.max()) + 1
        if self.every_base and piece.item == self._last_item:
            self.starts[-1], self.ends[-1] = min(start, self.starts[-1]), max(end, self.ends[-1])
        else:
            self.names.append(piece.name)
            self.starts.append(start)
            self.ends.append(end)
        self.items += piece.item != self._last_item
        self._last_item = piece.item
        rows = np.asarray(vector, dtype="<f4").reshape(-1, self.width)
        self._note(piece, len(rows))
        self._buffer.append(rows)
        self._buffered += len(rows)
        self.rows += len(rows)
        if self._buffered >= self._room:
            with _explained(self.target):
                self._drain(self._room)

    def __enter__(self) -> VectorWriter:
        self._remove(self.aside)
        try:
            with _explained(self.target):
                self._open()
        except BaseException:
            self._remove(self.aside)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                with _explained(self.target):
                    self._drain(1)
                    self._finish()
                    self._replace()
        finally:
            self._abandon()
            self._remove(self.aside)

    def _drain(self, least: int) -> None:
        """Write full multiples of the buffer's room, or everything with `least` 1."""
        if not self._buffered:
            return
        rows = np.concatenate(self._buffer)
        taken = len(rows) if least == 1 else len(rows) // self._room * self._room
        for first in range(0, taken, self._room):
            self._write(rows[first : min(first + self._room, taken)])
        self._buffer, self._buffered = ([rows[taken:].copy()], len(rows) - taken) if taken < len(rows) else ([], 0)

    def _replace(self) -> None:
        if self.target.is_dir():
            old = self.target.with_name(f".{self.target.name}.{os.getpid()}.old")
            os.replace(self.target, old)
            os.replace(self.aside, self.target)
            shutil.rmtree(old)
        else:
            os.replace(self.aside, self.target)

    @staticmethod
    def _remove(path: Path) -> None:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    def _table(self) -> dict[str, np.ndarray]:
        starts, ends = np.array(self.starts, dtype=np.int64), np.array(self.ends, dtype=np.int64)
        return {"starts": starts, "ends": ends, "lengths": ends - starts}

    def _note(self, piece: Piece, rows: int) -> None:
        """Remember what the rows to come belong to."""

    def _open(self) -> None:
        raise NotImplementedError

    def _write(self, rows: np.ndarray) -> None:
        raise NotImplementedError

    def _finish(self) -> None:
        raise NotImplementedError

    def _abandon(self) -> None:
        """Close what is open; called in any case."""


class NpzWriter(VectorWriter):
    """Rows go to a raw file; their number, which the array's header needs, is known at the end."""

    def _open(self) -> None:
        self._raw_path = self.aside.with_name(f"{self.aside.name}.rows")
        self._raw = self._raw_path.open("w+b")

    def _write(self, rows: np.ndarray) -> None:
        self._raw.write(rows.tobytes())

    def _finish(self) -> None:
        self._raw.flush()
        self._raw.seek(0)
        small = {"names": np.array(self.names), **self._table(), "settings": np.array(json.dumps(self.settings))}
        with zipfile.ZipFile(self.aside, "w", allowZip64=True) as archive:
            for name, array in small.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)
            with archive.open("vectors.npy", "w", force_zip64=True) as member:
                header = {"descr": "<f4", "fortran_order": False, "shape": (self.rows, self.width)}
                np.lib.format.write_array_header_2_0(member, header)
                shutil.copyfileobj(self._raw, member, 1 << 20)

    def _abandon(self) -> None:
        self._raw.close()
        self._remove(self._raw_path)


class ParquetWriter(VectorWriter):
    """A row group whenever the buffer is full."""

    packages = ("pyarrow",)

    def _open(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as parquet

        self._notes: deque[tuple[str, np.ndarray]] = deque()
        coordinates = ("position",) if self.every_base else ("start", "end")
        fields = [pa.field("name", pa.string()), *(pa.field(name, pa.int64()) for name in coordinates)]
        fields.append(pa.field("vector", pa.list_(pa.float32(), self.width)))
        self._schema = pa.schema(fields, metadata={"seqdna": json.dumps(self.settings)})
        self._file = parquet.ParquetWriter(self.aside, self._schema)

    def _note(self, piece: Piece, rows: int) -> None:
        places = piece.places()[:, None] if self.every_base else np.array([[piece.start, piece.end]])
        self._notes.append((piece.name, places))

    def _write(self, rows: np.ndarray) -> None:
        import pyarrow as pa

        names: list[str] = []
        places: list[np.ndarray] = []
        while len(names) < len(rows):
            name, some = self._notes.popleft()
            room = len(rows) - len(names)
            if len(some) > room:
                self._notes.appendleft((name, some[room:]))
            places.append(some[:room])
            names += [name] * len(places[-1])
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), self.width)
        columns = [pa.array(column) for column in np.concatenate(places).T]
        self._file.write_table(pa.Table.from_arrays([pa.array(names), *columns, vectors], schema=self._schema))

    def _finish(self) -> None:
        self._file.close()

    def _abandon(self) -> None:
        if getattr(self, "_file", None) is not None:
            self._file.close()


class ZarrWriter(VectorWriter):
    """A folder of chunks: rows are appended in whole chunks."""

    packages = ("zarr",)

    def _open(self) -> None:
        import zarr

        self._group = zarr.open_group(str(self.aside), mode="w", zarr_format=2)
        self._group.attrs.update(self.settings)
        shape, chunk = (0, self.width), (self._room, self.width)
        self._vectors = self._group.create_array("vectors", shape=shape, chunks=chunk, dtype="float32")

    def _write(self, rows: np.ndarray) -> None:
        self._vectors.append(rows)

    def _finish(self) -> None:
        for name, array in self._table().items():
            self._group.create_array(name, data=array)
        names = self._group.create_array("names", shape=(len(self.names),), dtype=str)
        names[:] = np.array(self.names, dtype=object)


@contextmanager
def _explained(target: Path) -> Iterator[None]:
    """Turn a failed write into one line."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror or error}") from error


WRITERS: dict[str, type[VectorWriter]] = {".npz": NpzWriter, ".parquet": ParquetWriter, ".zarr": ZarrWriter}
"""By the ending of the file."""
