"""Embeddings in memory: a table, a picture of the principal components, and files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqdna.embedding.pieces import Piece
from seqsuite.errors import UserError
from seqsuite.reports import TableView

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Embeddings(TableView):
    """Vectors of sequences.

    Attributes:
        names: One name a sequence, or a tile's sequence.
        vectors: (n, width) float32; with pool "none" a list of (length, width) float32.
        starts: First base of each sequence or tile in its record, 0-based.
        ends: Base behind the last.
        pool: How positions were pooled.
        layer: Which layer of the model.
        strands: Whether the strands were averaged.
    """

    names: tuple[str, ...]
    vectors: np.ndarray | list[np.ndarray] = field(repr=False)
    starts: tuple[int, ...] = field(repr=False)
    ends: tuple[int, ...] = field(repr=False)
    pool: str
    layer: int = -1
    strands: str = "model"

    @property
    def width(self) -> int:
        """Width of a vector."""
        return int(self.vectors[0].shape[-1])

    @property
    def lengths(self) -> tuple[int, ...]:
        """Bases of each sequence or tile."""
        return tuple(end - start for start, end in zip(self.starts, self.ends, strict=True))

    def __len__(self) -> int:
        return len(self.names)

    def table(self) -> list[dict[str, Any]]:
        """Return one row a sequence or tile."""
        return [
            {"sequence": name, "start": start, "end": end, "vectors": "x".join(map(str, np.shape(vector))),
             "norm": f"{np.linalg.norm(vector):.3f}"}
            for name, start, end, vector in zip(self.names, self.starts, self.ends, self.vectors, strict=True)
        ]  # fmt: skip

    def figure(self) -> Figure | None:
        """Draw the sequences along their first two principal components; None for fewer than three."""
        from matplotlib.figure import Figure

        if self.pool == "none" or len(self) < 3:
            return None
        points = self.principal_components(2)
        figure = Figure(figsize=(5, 4), layout="constrained")
        axes = figure.subplots()
        axes.scatter(points[:, 0], points[:, 1], s=12)
        if len(self) <= 20:
            for name, (x, y) in zip(self.names, points, strict=True):
                axes.annotate(name, (x, y), fontsize=8, xytext=(3, 3), textcoords="offset points")
        axes.set(xlabel="first principal component", ylabel="second")
        return figure

    def principal_components(self, k: int = 2) -> np.ndarray:
        """Return the coordinates along the first k principal components: (n, k)."""
        centred = np.asarray(self.vectors) - np.mean(self.vectors, axis=0)
        left, scale, _ = np.linalg.svd(centred, full_matrices=False)
        return left[:, :k] * scale[:k]

    def save(self, path: str | Path) -> Path:
        """Write an .npz, .parquet or .zarr file, as `seqdna embed` does; an existing one is replaced.

        With pool "none" the vectors of all bases lie one sequence after another: (sum of lengths, width).

        Raises:
            UserError: Another ending, the disk is full, or the place is not writable.
        """
        from seqdna.embedding.formats import check_output, open_writer

        target = check_output(path, overwrite=True)
        settings = {"pool": self.pool, "layer": self.layer, "strands": self.strands}
        with open_writer(target, width=self.width, every_base=self.pool == "none", settings=settings) as writer:
            for item, (name, start, end, vector) in enumerate(
                zip(self.names, self.starts, self.ends, self.vectors, strict=True)
            ):
                ids = np.empty(0, dtype=np.uint8)  # the files hold coordinates and vectors only
                writer.add(Piece(item, name, start, end, ids, (0, end - start)), vector)
        return target


def gather(
    embedded: Iterable[tuple[Piece, np.ndarray]], *, pool: str, layer: int = -1, strands: str = "model"
) -> Embeddings:
    """Collect what an `Embedder` yields; with pool "none" the tiles of one sequence are joined again."""
    names: list[str] = []
    spans: list[tuple[int, int]] = []
    parts: list[list[np.ndarray]] = []
    last = -1
    for piece, vector in embedded:
        if pool == "none" and piece.item == last:
            parts[-1].append(vector)
            spans[-1] = min(spans[-1][0], piece.start), max(spans[-1][1], piece.end)
            continue
        last = piece.item
        names.append(piece.name)
        spans.append((piece.start, piece.end))
        parts.append([vector])
    if not names:
        raise UserError("there is nothing to embed.")
    joined = [np.concatenate(rows) for rows in parts] if pool == "none" else np.stack([rows[0] for rows in parts])
    starts, ends = zip(*spans, strict=True)
    return Embeddings(tuple(names), joined, starts, ends, pool, layer, strands)
