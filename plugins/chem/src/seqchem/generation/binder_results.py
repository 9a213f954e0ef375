"""What generating binders gives: peptides with the model's own measure of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqchem.proteins.letters import AMINO_ACIDS
from seqsuite.reports import Report, TableView
from seqsuite.reports.csv_files import write_csv

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class GeneratedBinders(TableView):
    """Binders of a protein, the lowest pseudo-perplexity first.

    Attributes:
        target: The protein.
        binders: Different peptides.
        pseudo_perplexity: (n,) of each; 1 is certainty, 20 a guess among all amino acids.
        wanted: How many were asked for.
        drawn: How many were drawn until there were as many different ones.
    """

    target: str
    binders: tuple[str, ...] = field(repr=False)
    pseudo_perplexity: np.ndarray = field(repr=False)
    wanted: int
    drawn: int

    def __len__(self) -> int:
        return len(self.binders)

    def table(self) -> list[dict[str, Any]]:
        """Return one row a binder."""
        pairs = enumerate(zip(self.binders, self.pseudo_perplexity.tolist(), strict=True), 1)
        return [{"rank": rank, "binder": text, "pseudo_perplexity": value} for rank, (text, value) in pairs]

    def notes(self) -> list[str]:
        """Return what must be read beside the table."""
        lines = ["pseudo-perplexity is the model's own: nothing but the model says that a peptide binds"]
        if len(self) < self.wanted:
            lines.append(f"{len(self):,} of {self.wanted:,} wanted: {self.drawn:,} draws gave no more different ones")
        return lines

    def figure(self) -> Figure:
        """Draw which amino acid stands where, over all binders."""
        from matplotlib.figure import Figure

        shares = np.array([[text[place] for text in self.binders] for place in range(len(self.binders[0]))])
        counts = np.array([[(row == letter).mean() for row in shares] for letter in AMINO_ACIDS])
        figure = Figure(figsize=(7.0, 3.6), layout="constrained")
        axes = figure.add_subplot()
        axes.imshow(counts, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        axes.set_yticks(range(len(AMINO_ACIDS)), list(AMINO_ACIDS))
        axes.set_xlabel("place in the binder")
        axes.set_title(f"{len(self)} binders")
        return figure

    def save(self, path: str | Path) -> Path:
        """Write a CSV file: rank, binder, pseudo_perplexity.

        Raises:
            UserError: The disk is full or the place is not writable.
        """
        rows = ((row["rank"], row["binder"], f"{row['pseudo_perplexity']:.6g}") for row in self.table())
        return write_csv(path, ("rank", "binder", "pseudo_perplexity"), rows)

    def report(self, title: str) -> Report:
        """Return a page with the notes, the figure and the table."""
        page = Report(title, subtitle=f"{len(self):,} binders of a protein of {len(self.target):,} residues")
        for note in self.notes():
            page.text(note)
        return page.figure(self.figure()).table(self.table())

    def png(self) -> None:
        """There are no molecules to draw."""
        return None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"target": self.target, "wanted": self.wanted, "drawn": self.drawn, "binders": self.table()}
