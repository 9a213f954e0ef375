"""Vectors of sequences, row by row, and the files that hold them: .npz, .parquet and .csv."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqsuite.errors import UserError, suggest
from seqsuite.reports import TableView
from seqsuite.reports.csv_files import write_csv

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class MoleculeEmbeddings(TableView):
    """A vector a row.

    Attributes:
        sequences: N texts as they were given.
        vectors: (N, D) float32, NaN where the status is not "ok".
        status: "ok", or why a row has no vector.
        rows: Where each stands in its file; empty where there is none.
        pooling: What the vectors are.
        unknown: A line on symbols that the model does not know; empty if there are none.
    """

    sequences: tuple[str, ...] = field(repr=False)
    vectors: np.ndarray = field(repr=False)
    status: tuple[str, ...] = field(repr=False)
    rows: tuple[int, ...] = field(default=(), repr=False)
    pooling: str = "mean"
    unknown: str = ""

    def __len__(self) -> int:
        return len(self.sequences)

    @property
    def ok(self) -> np.ndarray:
        """(N,) bool, which rows have a vector."""
        return np.array([one == "ok" for one in self.status], dtype=bool)

    def only_ok(self) -> MoleculeEmbeddings:
        """Return the rows that have a vector."""
        kept = np.flatnonzero(self.ok)
        return replace(
            self,
            sequences=tuple(self.sequences[index] for index in kept),
            vectors=self.vectors[kept],
            status=tuple(self.status[index] for index in kept),
            rows=tuple(self.rows[index] for index in kept) if self.rows else (),
        )

    def table(self) -> list[dict[str, Any]]:
        """Return one row a sequence, with the length of its vector in place of the vector."""
        norms = np.linalg.norm(self.vectors, axis=1).tolist()
        numbers = self.rows or range(1, len(self) + 1)
        columns = zip(numbers, self.sequences, norms, self.status, strict=True)
        return [{"row": row, "sequence": text, "norm": norm, "status": one} for row, text, norm, one in columns]

    def figure(self) -> Figure | None:
        """Draw the rows in the plane of the two widest principal components; None for fewer than three."""
        known = self.vectors[self.ok].astype(np.float64)
        if len(known) < 3:
            return None
        from matplotlib.figure import Figure

        centred = known - known.mean(0)
        left, scales, _ = np.linalg.svd(centred, full_matrices=False)
        shares = scales**2 / max(float((scales**2).sum()), 1e-300)
        figure = Figure(figsize=(4.8, 4.2), layout="constrained")
        axes = figure.add_subplot()
        axes.scatter(left[:, 0] * scales[0], left[:, 1] * scales[1], s=8, alpha=0.6)
        axes.set_xlabel(f"first component ({shares[0]:.0%} of the variance)")
        axes.set_ylabel(f"second component ({shares[1]:.0%})")
        axes.set_title(f"{len(known):,} sequences, {self.pooling} pooling")
        return figure

    def notes(self) -> list[str]:
        """Return what must be read beside the vectors."""
        reasons = Counter(one for one in self.status if one != "ok")
        lines = [f"{count:,} without a vector: {reason}" for reason, count in reasons.most_common(5)]
        return [*lines, self.unknown] if self.unknown else lines

    def save(self, path: str | Path) -> Path:
        """Write the vectors, row by row: sequence, row, status and the vector.

        .npz holds the arrays vectors (N, D), sequences, status, rows and pooling; .parquet a column `vector` of lists;
        .csv a column a channel, empty where there is no vector.

        Args:
            path: Where to; its ending decides.

        Raises:
            UserError: An ending that is not known, a package that is not installed, or a place that is not writable.
        """
        target = Path(path)
        check_ending(target)
        if target.suffix == ".csv":
            return self._csv(target)
        aside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            _WRITERS[target.suffix](self, aside)
            os.replace(aside, target)
        except OSError as error:
            raise UserError(f"cannot write {target}: {error.strerror or error}") from error
        finally:
            aside.unlink(missing_ok=True)
        return target

    def _csv(self, target: Path) -> Path:
        header = ("row", "sequence", "status", *(f"rt{column}" for column in range(self.vectors.shape[1])))
        numbers = self.rows or range(1, len(self) + 1)
        lines = (
            (row, text, one, *("" if np.isnan(value) else repr(float(value)) for value in vector))
            for row, text, one, vector in zip(numbers, self.sequences, self.status, self.vectors, strict=True)
        )
        return write_csv(target, header, lines)


def _npz(found: MoleculeEmbeddings, path: Path) -> None:
    with open(path, "wb") as file:
        np.savez_compressed(
            file,
            vectors=found.vectors,
            sequences=np.array(found.sequences, dtype=np.str_),
            status=np.array(found.status, dtype=np.str_),
            rows=np.array(found.rows or range(1, len(found) + 1), dtype=np.int64),
            pooling=np.array(found.pooling),
        )


def _parquet(found: MoleculeEmbeddings, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    flat = pa.array(found.vectors.reshape(-1), type=pa.float32())
    columns = {
        "row": pa.array(list(found.rows or range(1, len(found) + 1)), type=pa.int64()),
        "sequence": pa.array(list(found.sequences), type=pa.string()),
        "status": pa.array(list(found.status), type=pa.string()),
        "vector": pa.FixedSizeListArray.from_arrays(flat, found.vectors.shape[1]),
    }
    table = pa.table(columns).replace_schema_metadata({"seqchem": json.dumps({"pooling": found.pooling})})
    parquet.write_table(table, path)


_WRITERS: dict[str, Callable[[MoleculeEmbeddings, Path], None]] = {".npz": _npz, ".parquet": _parquet}
ENDINGS = (*_WRITERS, ".csv")
"""Of the files that vectors are written to."""


def check_ending(path: Path) -> None:
    """Raise unless vectors can be written to a file of this name.

    Raises:
        UserError: Its ending is not known, or a package that it needs is not installed.
    """
    if path.suffix not in ENDINGS:
        raise UserError(f"--out {path}: the ending {path.suffix!r} is no known format.{suggest(path.suffix, ENDINGS)}")
    if path.suffix == ".parquet":
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError as error:
            raise UserError(f"--out {path}: needs the package pyarrow; install it, or write .npz or .csv") from error
