"""Where the table of all single-nucleotide variants goes: an array by position, or a row a variant.

    with open_table(aside, Path("snvs.tsv.gz"), bases) as table:
        table.write("chr1", 0, codes, odds)       # in the genome's order

Rows are written as they come, memory is that of one call.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np

from seqdna.variants.bgzf import BgzfWriter
from seqsuite.errors import UserError

SNV_SUFFIXES = (".npy", ".tsv", ".tsv.gz", ".parquet")


class SnvTable(Protocol):
    """A table that is being written."""

    def write(self, record: str, first: int, codes: np.ndarray, odds: np.ndarray) -> None:
        """Add bases `first` .. of a record: codes (n,) 0 to 3, 4 unknown; odds (n, 4)."""
        ...

    def __enter__(self) -> SnvTable: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open_table(path: Path, target: Path, bases: int) -> SnvTable:
    """Return a table written to `path` in the format that the name of `target` asks for.

    Raises:
        UserError: The file cannot be written, or a library is missing.
    """
    if target.suffix == ".parquet":
        return _Parquet(path)
    try:
        if target.suffix == ".npy":
            return _Array(path, bases)
        return _Text(path, packed=target.suffix == ".gz")
    except OSError as error:
        raise UserError(f"--out {target}: cannot write it ({error.strerror or error}).") from None


def variants_of(
    first: int, codes: np.ndarray, odds: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the variants of some bases, in the order of position, then A, C, G, T.

    Returns:
        1-based positions, reference codes, alternative codes, scores: each (3 known bases,).
    """
    keep = (codes[:, None] < 4) & (codes[:, None] != np.arange(4))
    row, alt = np.nonzero(keep)
    return first + row + 1, codes[row], alt, odds[keep]


class _Array:
    """(bases, 4) float32 in the .npy format; not mapped, for then a full disk would end the process without a word."""

    def __init__(self, path: Path, bases: int) -> None:
        self._out = path.open("wb")
        header = {"descr": "<f4", "fortran_order": False, "shape": (bases, 4)}
        np.lib.format.write_array_header_1_0(self._out, header)

    def write(self, record: str, first: int, codes: np.ndarray, odds: np.ndarray) -> None:
        self._out.write(odds.astype("<f4").tobytes())

    def __enter__(self) -> _Array:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._out.close()


class _Text:
    """Tab-separated rows."""

    def __init__(self, path: Path, *, packed: bool) -> None:
        handle = path.open("wb")
        self._out: Any = BgzfWriter(handle, level=1) if packed else handle
        self._out.write(b"chrom\tpos\tref\talt\tscore\n")

    def write(self, record: str, first: int, codes: np.ndarray, odds: np.ndarray) -> None:
        columns = (values.tolist() for values in variants_of(first, codes, odds))
        text = "".join(
            f"{record}\t{pos}\t{'ACGT'[ref]}\t{'ACGT'[alt]}\t{score:.6g}\n"
            for pos, ref, alt, score in zip(*columns, strict=True)
        )
        self._out.write(text.encode())

    def __enter__(self) -> _Text:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._out.__exit__(kind, error, trace)


class _Parquet:
    """Row groups of a Parquet file."""

    _ROWS = 1 << 19

    def __init__(self, path: Path) -> None:
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ImportError:
            raise UserError("--out .parquet needs pyarrow: pip install pyarrow, or choose .npy or .tsv.gz.") from None
        self._pa = pa
        text = pa.dictionary(pa.int32(), pa.string())
        self._schema = pa.schema(
            [("chrom", text), ("pos", pa.int64()), ("ref", text), ("alt", text), ("score", pa.float32())]
        )
        self._file = pq.ParquetWriter(path, self._schema)
        self._waiting: list[Any] = []
        self._rows = 0

    def write(self, record: str, first: int, codes: np.ndarray, odds: np.ndarray) -> None:
        pos, ref, alt, score = variants_of(first, codes, odds)
        arrow = self._pa
        bases = arrow.array(list("ACGT"))
        chrom = arrow.DictionaryArray.from_arrays(np.zeros(len(pos), dtype=np.int32), arrow.array([record]))
        letters = [arrow.DictionaryArray.from_arrays(code.astype(np.int32), bases) for code in (ref, alt)]
        columns = [chrom, arrow.array(pos), *letters, arrow.array(score.astype(np.float32))]
        self._waiting.append(arrow.Table.from_arrays(columns, schema=self._schema))
        self._rows += len(pos)
        if self._rows >= self._ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._file.write_table(self._pa.concat_tables(self._waiting).unify_dictionaries())
        self._waiting, self._rows = [], 0

    def __enter__(self) -> _Parquet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()
        self._file.close()
