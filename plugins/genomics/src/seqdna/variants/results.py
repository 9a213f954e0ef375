"""What scoring variants gives: a table of scores with a histogram, and the counts of what was and was not scored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from seqdna.variants.alleles import REASONS
from seqdna.variants.vcf import VcfRecord
from seqsuite.reports import TableView

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = ("snv", "mnv", "insertion", "deletion", "delins")
CODES = ("", *REASONS)
LISTED = 1000


@dataclass(frozen=True)
class AlleleRow:
    """One alternative allele of one record, or one unreadable line.

    Attributes:
        record: The record.
        number: Its index in the file, from 0.
        alt: The allele as written; "" of an unreadable line.
        kind: One of `KINDS`; "" where it was not scored.
        reason: One of `REASONS`; "" where all is well. A scored one with a reason is flagged.
        scores: (measures, 2 strands); nan where it was not scored.
        scored: Whether it was.
    """

    record: VcfRecord
    number: int
    alt: str
    kind: str
    reason: str
    scores: np.ndarray = field(repr=False)
    scored: bool

    def values(self) -> list[float]:
        """Return mean, given strand and other strand of each measure."""
        return [float(value) for row in self.scores for value in (row.mean(), row[0], row[1])]


def score_names(measures: Iterable[str]) -> list[str]:
    """Return the names of `AlleleRow.values`."""
    return [name for measure in measures for name in (measure, f"{measure}_fwd", f"{measure}_rev")]


@dataclass
class ScoreReport(TableView):
    """Counts over a VCF, and lists of what needs a look.

    Attributes:
        settings: Method, window and what else decides the scores.
        records: Lines behind the header.
        scored: Type -> alleles scored.
        reasons: Reason -> alleles or lines.
        mismatches: The first `LISTED` records whose REF differs from the FASTA: "line 12: chr1:5 A".
        bad_lines: The first `LISTED` unreadable lines: "line 12: too_few_columns".
        renamed: VCF's contig -> FASTA's, where they differ.
    """

    settings: dict[str, Any]
    records: int = 0
    scored: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    mismatches: list[str] = field(default_factory=list)
    bad_lines: list[str] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)

    def add(self, rows: Sequence[AlleleRow]) -> None:
        """Count one record, given by all of its rows."""
        record = rows[0].record
        self.records += 1
        for row in rows:
            if row.scored:
                self.scored[row.kind] += 1
            if row.reason:
                self.reasons[row.reason] += 1
        if record.problem and len(self.bad_lines) < LISTED:
            self.bad_lines.append(f"line {record.line}: {record.problem}")
        if any(row.reason == "ref_mismatch" for row in rows) and len(self.mismatches) < LISTED:
            self.mismatches.append(f"line {record.line}: {record.chrom}:{record.pos} {record.ref}")

    def table(self) -> list[dict[str, Any]]:
        """Return one row a type scored and one a reason."""
        scored = [
            {"alleles": self.scored[kind], "what": kind, "meaning": "scored"} for kind in KINDS if self.scored[kind]
        ]
        others = [
            {"alleles": count, "what": reason, "meaning": REASONS[reason]}
            for reason, count in sorted(self.reasons.items(), key=lambda item: CODES.index(item[0]))
        ]
        return scored + others

    def to_dict(self) -> dict[str, Any]:
        """Return what the JSON file beside the output holds."""
        return {
            "settings": self.settings,
            "records": self.records,
            "alleles_scored": dict(self.scored),
            "reasons": dict(self.reasons),
            "ref_mismatches": self.mismatches,
            "bad_lines": self.bad_lines,
            "contigs_renamed": self.renamed,
        }


@dataclass(frozen=True)
class VariantScores(TableView):
    """Scores of a VCF's alternative alleles, in the file's order.

    Attributes:
        rows: One an allele.
        measures: What was measured.
        report: Counts, settings, and what was not scored.
    """

    rows: tuple[AlleleRow, ...] = field(repr=False)
    measures: tuple[str, ...]
    report: ScoreReport

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def scores(self) -> np.ndarray:
        """Mean over both strands of the first measure: (alleles,) float64, nan where not scored."""
        return np.array([row.scores[0].mean() for row in self.rows])

    def table(self) -> list[dict[str, Any]]:
        """Return one row an allele."""
        names = score_names(self.measures)
        return [
            {
                "chrom": row.record.chrom,
                "pos": row.record.pos,
                "ref": row.record.ref,
                "alt": row.alt,
                "type": row.kind,
                **dict(zip(names, row.values(), strict=True)),
                "reason": row.reason,
            }
            for row in self.rows
        ]

    def figure(self) -> Figure | None:
        """Draw a histogram of the first measure by type; None if nothing was scored."""
        from matplotlib.figure import Figure

        by_kind = {
            kind: [row.scores[0].mean() for row in self.rows if row.scored and row.kind == kind] for kind in KINDS
        }
        by_kind = {kind: values for kind, values in by_kind.items() if values}
        if not by_kind:
            return None
        figure = Figure(figsize=(6, 3.6), layout="constrained")
        axes = figure.subplots()
        labels = [f"{kind} ({len(values)})" for kind, values in by_kind.items()]
        axes.hist(list(by_kind.values()), bins=30, stacked=True, label=labels)
        signed = self.measures[0] == "score"
        axes.set(xlabel="score (positive: alternative more likely)" if signed else self.measures[0], ylabel="alleles")
        axes.legend(frameon=False)
        return figure
