"""What generation gives: every candidate with its properties, whether it was taken, and why not."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from seqchem.chemistry.drawing import MoleculeReport, grid_figure, grid_png
from seqsuite.reports import TableView
from seqsuite.reports.csv_files import write_csv

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DRAWN = 60
"""Molecules of a picture."""

DRAWN_LANGUAGES = ("smiles", "selfies", "selfies_v1")
"""Languages of molecules; proteins and reactions have no picture."""

REASONS = ("invalid", "duplicate", "the seed itself", "stub", "in training set", "keep", "avoid", "similarity",
           "out of tolerance")  # fmt: skip
"""Why candidates are rejected, in the order in which they are looked at."""

VERIFIED = {
    "RDKit": "computed by RDKit",
    "sequence": "computed from the sequence",
    "model": "as the model itself predicts it: nothing but the model stands behind it",
}
"""Who says what a sequence has, in words."""


@dataclass(frozen=True)
class MoleculeCandidate:
    """One generated sequence.

    Attributes:
        sequence: Canonical SMILES, or letters of a protein; of an invalid one the text as the model wrote it.
        seed: What it was made from; empty: from nothing.
        asked: Property -> what was asked for.
        obtained: Property -> what it has: as RDKit or, of a peptide, the formula has it, else as the model predicts it.
        predicted: Property -> what the model predicts.
        similarity: To its seed; NaN without one.
        reason: Why it was rejected; empty where it was taken.
        valid: Whether it is a molecule at all, or a protein of the twenty amino acids.
    """

    sequence: str
    seed: str = ""
    asked: dict[str, float] = field(default_factory=dict)
    obtained: dict[str, float] = field(default_factory=dict)
    predicted: dict[str, float] = field(default_factory=dict)
    similarity: float = math.nan
    reason: str = ""
    valid: bool = True

    @property
    def status(self) -> Literal["ok", "rejected"]:
        """Whether it was taken."""
        return "rejected" if self.reason else "ok"

    def row(self) -> dict[str, Any]:
        """Return its cells by their names in a file."""
        cells: dict[str, Any] = {"sequence": self.sequence, "seed": self.seed}
        for name in self.asked:
            cells[f"asked_{name}"] = self.asked[name]
            cells[f"obtained_{name}"] = self.obtained.get(name, math.nan)
            cells[f"predicted_{name}"] = self.predicted.get(name, math.nan)
        return {**cells, "similarity": self.similarity, "status": self.status, "reason": self.reason}


@dataclass(frozen=True)
class GeneratedMolecules(TableView):
    """All candidates of a generation, in the order in which they were made.

    Attributes:
        candidates: Taken and rejected ones.
        verified: Property -> "RDKit", "sequence" (the formula for peptides) or "model": who says what it has.
        wanted: How many molecules were wanted, over all seeds.
        seconds: How long it took.
        language: The model's.
        warnings: Words on goals that the model has no example of.
    """

    candidates: tuple[MoleculeCandidate, ...] = field(repr=False)
    verified: dict[str, str]
    wanted: int
    seconds: float = 0.0
    language: str = "selfies"
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.accepted)

    @property
    def accepted(self) -> list[MoleculeCandidate]:
        """Those that were taken."""
        return [candidate for candidate in self.candidates if not candidate.reason]

    @property
    def sequences(self) -> list[str]:
        """The sequences of those that were taken."""
        return [candidate.sequence for candidate in self.accepted]

    @property
    def valid(self) -> float:
        """Part of all candidates that are molecules."""
        if not self.candidates:
            return math.nan
        return sum(candidate.valid for candidate in self.candidates) / len(self.candidates)

    def tally(self) -> dict[str, int]:
        """Return how many candidates were tried, taken, and rejected for which reason."""
        counts = Counter(candidate.reason for candidate in self.candidates if candidate.reason)
        rejected = {reason: counts[reason] for reason in sorted(counts, key=_place)}
        return {"tried": len(self.candidates), "ok": len(self), **rejected}

    def table(self) -> list[dict[str, Any]]:
        """Return one row a molecule that was taken."""
        return [_shown(candidate.row()) for candidate in self.accepted]

    def notes(self) -> list[str]:
        """Return what must be read beside the table: the tally, and who verified which property."""
        tally = self.tally()
        told = ", ".join(f"{count:,} {reason}" for reason, count in list(tally.items())[2:])
        lines = [f"{tally['ok']:,} of {self.wanted:,} wanted, of {tally['tried']:,} tried; {self.valid:.1%} valid"]
        if told:
            lines.append(f"rejected: {told}")
        lines += self.warnings
        return lines + [f"obtained {name}: {VERIFIED[who]}" for name, who in self.verified.items()]

    def figure(self) -> Figure | None:
        """Draw the molecules that were taken, the first sixty; None where there are none, or of proteins."""
        first = self.accepted[:DRAWN]
        if not first or self.language not in DRAWN_LANGUAGES:
            return None
        return grid_figure([candidate.sequence for candidate in first], [legend(candidate) for candidate in first])

    def png(self) -> bytes | None:
        """Return the picture of `figure` as a PNG file."""
        first = self.accepted[:DRAWN]
        if not first or self.language not in DRAWN_LANGUAGES:
            return None
        return grid_png([candidate.sequence for candidate in first], [legend(candidate) for candidate in first])

    def save(self, path: str | Path) -> Path:
        """Write all candidates as CSV.

        The columns: sequence, seed, asked_, obtained_ and predicted_ of each property, similarity, status, reason.

        Args:
            path: Where to.

        Raises:
            UserError: The disk is full or the place is not writable.
        """
        rows = [candidate.row() for candidate in self.candidates]
        asked = [f"{kind}_{name}" for name in self.verified for kind in ("asked", "obtained", "predicted")]
        header = ["sequence", "seed", *asked, "similarity", "status", "reason"]
        return write_csv(path, header, ([cell_text(row.get(name, "")) for name in header] for row in rows))

    def report(self, title: str = "Generated molecules") -> MoleculeReport:
        """Return a page of its own: notes, and a table with a picture of each molecule that was taken."""
        kind = "molecules" if self.language in DRAWN_LANGUAGES else "sequences"
        report = MoleculeReport(title, subtitle=f"{len(self):,} {kind}")
        for note in self.notes():
            report.text(note)
        return report.molecules(self.table(), picture="sequence" if self.language in DRAWN_LANGUAGES else None)

    def to_html(self, title: str = "Generated molecules") -> str:
        """Return the page of `report` as text."""
        return self.report(title).html()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "wanted": self.wanted, "tally": self.tally(), "valid": self.valid, "verified": self.verified,
            "seconds": self.seconds, "molecules": self.table(),
        }  # fmt: skip


def _place(reason: str) -> int:
    return REASONS.index(reason) if reason in REASONS else len(REASONS)


def legend(candidate: MoleculeCandidate) -> str:
    """Return what stands below a molecule's picture: its properties and its similarity."""
    parts = [f"{name} {value:.3g}" for name, value in candidate.obtained.items()]
    if math.isfinite(candidate.similarity):
        parts.append(f"sim {candidate.similarity:.2f}")
    return "  ".join(parts)


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}


def cell_text(value: Any) -> str:
    """Return a cell of a CSV file; what is not known is empty."""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return str(value)
