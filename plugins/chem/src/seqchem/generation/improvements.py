"""What a search gives: the best molecule of every seed at every asked similarity, and how good that is over all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqchem.chemistry.drawing import MoleculeReport, grid_figure, grid_png
from seqchem.generation.results import DRAWN_LANGUAGES, VERIFIED, cell_text
from seqsuite.reports import TableView
from seqsuite.reports.csv_files import write_csv

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAIRS = 15
"""Pairs of seed and result in a picture."""


@dataclass(frozen=True)
class ImprovedMolecule:
    """The best molecule that was found of a seed.

    Attributes:
        delta: The least similarity that was asked for.
        seed: The seed as it was given.
        sequence: The molecule; empty where none was better.
        start: Property -> the seed's value.
        obtained: Property -> the molecule's; the seed's where none was better.
        improvement: Property -> by how much it is better, in its unit; 0 where none was.
        similarity: To the seed; 1 where none was better.
    """

    delta: float
    seed: str
    sequence: str
    start: dict[str, float]
    obtained: dict[str, float]
    improvement: dict[str, float]
    similarity: float

    @property
    def success(self) -> bool:
        """Whether a better molecule was found."""
        return bool(self.sequence)

    def row(self) -> dict[str, Any]:
        """Return its cells by their names in a file."""
        cells: dict[str, Any] = {"delta": self.delta, "sequence": self.sequence, "seed": self.seed}
        for name in self.start:
            cells |= {f"start_{name}": self.start[name], f"obtained_{name}": self.obtained[name]}
            cells[f"improvement_{name}"] = self.improvement[name]
        reason = "" if self.success else "none was better"
        return {**cells, "similarity": self.similarity, "status": "ok" if self.success else "failed", "reason": reason}


@dataclass(frozen=True)
class OptimizedMolecules(TableView):
    """The best molecules of a search.

    Attributes:
        molecules: One of every seed and similarity, similarities ascending, seeds in their order.
        verified: Property -> "RDKit", "sequence" (the formula for peptides) or "model": who says what it has.
        tried: Candidates that were made.
        seconds: How long it took.
        language: The model's.
    """

    molecules: tuple[ImprovedMolecule, ...] = field(repr=False)
    verified: dict[str, str]
    tried: int
    seconds: float = 0.0
    language: str = "selfies"

    def __len__(self) -> int:
        return len(self.molecules)

    @property
    def deltas(self) -> list[float]:
        """The similarities that were asked for."""
        return sorted({molecule.delta for molecule in self.molecules})

    def at(self, delta: float) -> list[ImprovedMolecule]:
        """Return the molecules at one similarity."""
        return [molecule for molecule in self.molecules if molecule.delta == delta]

    def summary(self) -> list[dict[str, Any]]:
        """Return one row a similarity and property.

        improvement and its deviation sd (divided by N) are over all seeds, one without a better molecule counting 0;
        improvement_success and similarity are over those with one; success is their part.
        """
        rows = []
        for delta in self.deltas:
            found = self.at(delta)
            better = [molecule for molecule in found if molecule.success]
            for name in self.verified:
                gains = [molecule.improvement[name] for molecule in found]
                mean, sd = _mean_sd(gains)
                good, good_sd = _mean_sd([molecule.improvement[name] for molecule in better])
                rows.append({
                    "delta": delta, "property": name, "seeds": len(found), "improvement": mean, "sd": sd,
                    "improvement_success": good, "sd_success": good_sd,
                    "similarity": _mean_sd([molecule.similarity for molecule in better])[0],
                    "success": len(better) / len(found),
                })  # fmt: skip
        return rows

    def table(self) -> list[dict[str, Any]]:
        """Return one row a seed and similarity."""
        return [molecule.row() for molecule in self.molecules]

    def notes(self) -> list[str]:
        """Return what must be read beside the numbers."""
        lines = [f"{self.tried:,} candidates were tried, in {self.seconds:.0f} s"]
        return lines + [f"{name}: {VERIFIED[who]}" for name, who in self.verified.items()]

    def _pairs(self) -> tuple[list[str], list[str]]:
        """Return SMILES and legends of the first pairs, the least similarity's."""
        texts, legends = [], []
        for molecule in [found for found in self.at(self.deltas[0]) if found.success][:PAIRS]:
            for text, values in ((molecule.seed, molecule.start), (molecule.sequence, molecule.obtained)):
                texts.append(text)
                legends.append("  ".join(f"{name} {value:.3g}" for name, value in values.items()))
            legends[-1] += f"  sim {molecule.similarity:.2f}"
        return texts, legends

    def figure(self) -> Figure | None:
        """Draw seeds and their best molecules side by side; None where there are none, or of proteins."""
        drawn = self._drawn()
        return grid_figure(*drawn, columns=4) if drawn else None

    def png(self) -> bytes | None:
        """Return the picture of `figure` as a PNG file."""
        drawn = self._drawn()
        return grid_png(*drawn, columns=4) if drawn else None

    def _drawn(self) -> tuple[list[str], list[str]] | None:
        pairs = self._pairs() if self.molecules and self.language in DRAWN_LANGUAGES else ([], [])
        return pairs if pairs[0] else None

    def save(self, path: str | Path) -> Path:
        """Write one row a seed and similarity as CSV.

        The columns: delta, sequence, seed, start_, obtained_ and improvement_ of each property, similarity, status,
        reason.

        Args:
            path: Where to.

        Raises:
            UserError: The disk is full or the place is not writable.
        """
        named = [f"{kind}_{name}" for name in self.verified for kind in ("start", "obtained", "improvement")]
        header = ["delta", "sequence", "seed", *named, "similarity", "status", "reason"]
        rows = (molecule.row() for molecule in self.molecules)
        return write_csv(path, header, ([cell_text(row[name]) for name in header] for row in rows))

    def report(self, title: str = "Optimised molecules") -> MoleculeReport:
        """Return a page of its own: the summary, and each pair of seed and molecule."""
        report = MoleculeReport(title, subtitle=f"{len(self.molecules):,} searches")
        for note in self.notes():
            report.text(note)
        report.table(self.summary(), caption="Over all seeds").heading("Molecules")
        shown = [molecule.row() for molecule in self.molecules if molecule.success]
        return report.molecules(shown, picture="sequence" if self.language in DRAWN_LANGUAGES else None)

    def to_html(self, title: str = "Optimised molecules") -> str:
        """Return the page of `report` as text."""
        return self.report(title).html()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "summary": self.summary(), "verified": self.verified, "tried": self.tried, "seconds": self.seconds,
            "molecules": self.table(),
        }  # fmt: skip


def _mean_sd(values: Sequence[float]) -> tuple[float, float]:
    if not values:
        return math.nan, math.nan
    mean = sum(values) / len(values)
    return mean, math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
