"""A saliency result: a table of scores a position, a figure, motif hits, and the files of all three."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqdna.saliency.motifs import Hit, Motif, scan
from seqsuite.errors import UserError, suggest
from seqsuite.reports import TableView

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURE_ENDINGS = (".png", ".svg", ".pdf")
_COMPLEMENT = str.maketrans("ACGT", "TGCA")


@dataclass(frozen=True)
class Saliency(TableView):
    """What each base at each position does to a model's output.

    Attributes:
        name: Of the record.
        start: Coordinate of the first position in the record, 0-based.
        sequence: The bases; N where one is not A, C, G or T.
        scores: (L, 4) over A, C, G, T, see `seqdna.saliency.mutagenesis` and `gradient_times_input`.
        method: "ism" or "gradient".
        about: What the scores are of, in words.
        probabilities: (L, 4) of a language model's mutagenesis, else None.
        hits: Motif hits, places relative to `start`.
    """

    name: str
    start: int
    sequence: str = field(repr=False)
    scores: np.ndarray = field(repr=False)
    method: str
    about: str
    probabilities: np.ndarray | None = field(default=None, repr=False)
    hits: tuple[Hit, ...] = field(default=(), repr=False)

    def __len__(self) -> int:
        return len(self.sequence)

    def contributions(self) -> np.ndarray:
        """Return the score of the base that is there minus the mean over the four: (L,); nan where unknown."""
        codes = np.array(["ACGTN".index(base) for base in self.sequence])
        own = np.take_along_axis(self.scores, np.minimum(codes, 3)[:, None], axis=1)[:, 0]
        return np.where(codes < 4, own - self.scores.mean(1), np.nan)

    def with_hits(self, motifs: Iterable[Motif], *, p_value: float = 1e-4) -> Saliency:
        """Return the same with the motifs' hits, see `seqdna.saliency.scan`."""
        return replace(self, hits=tuple(scan(self.sequence, motifs, p_value=p_value)))

    def table(self) -> list[dict[str, Any]]:
        """Return one row a position: its 1-based coordinate, the base, the four scores, and its contribution."""
        rows = zip(self.sequence, self.scores.tolist(), self.contributions().tolist(), strict=True)
        return [
            {"record": self.name, "position": place, "base": base, **dict(zip("ACGT", scores, strict=True)),
             "contribution": contribution}
            for place, (base, scores, contribution) in enumerate(rows, start=self.start + 1)
        ]  # fmt: skip

    def hit_table(self) -> list[dict[str, Any]]:
        """Return one row a motif hit; `start` and `end` are 1-based and both within the site."""
        contributions = self.contributions()
        rows = []
        for hit in self.hits:
            site = self.sequence[hit.start : hit.end]
            rows.append({
                "record": self.name, "start": self.start + hit.start + 1, "end": self.start + hit.end,
                "strand": hit.strand, "motif": hit.motif.id, "name": hit.motif.name, "taxon": hit.motif.taxon,
                "score": hit.score, "p_value": hit.p_value,
                "site": site if hit.strand == "+" else site.translate(_COMPLEMENT)[::-1],
                "contribution": float(contributions[hit.start : hit.end].mean()),
            })  # fmt: skip
        return rows

    def figure(self) -> Figure:
        """Draw the contributions as a logo, all scores as a heat map, and the best motif hits."""
        from seqdna.saliency.figure import figure_of

        return figure_of(self)

    def save(self, path: str | Path) -> Path:
        """Write `table()` as a TSV file; an existing one is replaced."""
        return _write(Path(path), lambda to: to.write(_tsv(self.table()).encode()))

    def save_hits(self, path: str | Path) -> Path:
        """Write `hit_table()` as a TSV file; an existing one is replaced."""
        columns = ("record", "start", "end", "strand", "motif", "name", "taxon", "score", "p_value", "site")
        return _write(Path(path), lambda to: to.write(_tsv(self.hit_table(), (*columns, "contribution")).encode()))

    def save_figure(self, path: str | Path) -> Path:
        """Write the figure as .png, .svg or .pdf; an existing one is replaced.

        Raises:
            UserError: Another ending, or the place is not writable.
        """
        import matplotlib

        target = check_figure(path)
        # Ids and dates that change would make two files of the same result differ.
        metadata = {} if target.suffix == ".png" else {"Date" if target.suffix == ".svg" else "CreationDate": None}
        with matplotlib.rc_context({"svg.hashsalt": "seqdna"}):
            figure = self.figure()
            kind = target.suffix[1:]
            return _write(target, lambda to: figure.savefig(to, format=kind, dpi=150, metadata=metadata))


def check_figure(path: str | Path) -> Path:
    """Return the path of a figure if its ending is one of `FIGURE_ENDINGS`."""
    target = Path(path).expanduser()
    if target.suffix not in FIGURE_ENDINGS:
        known = suggest(target.suffix, FIGURE_ENDINGS)
        raise UserError(f"--figure {target}: the ending {target.suffix!r} is no known format.{known}")
    return target


def _tsv(rows: list[dict[str, Any]], columns: tuple[str, ...] | None = None) -> str:
    names = columns or tuple(rows[0])
    lines = ["\t".join(names)]
    for row in rows:
        lines.append("\t".join(f"{value:.6g}" if isinstance(value, float) else str(value) for value in row.values()))
    return "\n".join(lines) + "\n"


def _write(target: Path, write: Callable[[io.BytesIO], Any]) -> Path:
    """Write a file whole or not at all."""
    target = target.expanduser()
    content = io.BytesIO()
    write(content)
    aside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        aside.write_bytes(content.getvalue())
        os.replace(aside, target)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise UserError(f"cannot write {target}: {error.strerror or error}") from error
    return target
