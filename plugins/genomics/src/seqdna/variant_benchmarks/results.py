"""What a benchmark of labelled variants gives: a table of scores beside chance, a figure, and what was left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from seqdna.variant_benchmarks.metrics import ChromosomeRow
from seqdna.variant_benchmarks.published import COUNTS, PUBLISHED, PublishedRow
from seqdna.variant_benchmarks.readers import LabelledVariants, VariantTask
from seqsuite.reports import TableView

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class ScoreRow:
    """One metric of one score.

    Attributes:
        score: The suite's name of the score, or of the probing.
        metric: The suite's name of the metric.
        value: The metric.
        standard_error: As the suite defines it; None where it defines none.
        chance: What a score without information gives: 0.5, or the share of positives.
    """

    score: str
    metric: str
    value: float
    standard_error: float | None
    chance: float


@dataclass(frozen=True)
class TaskResult:
    """One labelled set.

    Attributes:
        task: The set.
        variants: What was scored.
        window: Bases that the model saw.
        rows: Metric by metric.
        scores: Name -> (n,) scores, larger for "more likely a positive".
        by_chromosome: Score -> average precision of each chromosome, where the suite reports it.
        left_out: Why -> rows that are no part of the metrics.
        examples: The first rows that could not be scored, with the reason.
        swapped: Variants whose second allele is the reference.
        subset: Which part of the set, where the suite has parts.
    """

    task: VariantTask
    variants: LabelledVariants
    window: int
    rows: tuple[ScoreRow, ...]
    scores: Mapping[str, np.ndarray] = field(repr=False)
    by_chromosome: Mapping[str, tuple[ChromosomeRow, ...]] = field(repr=False)
    left_out: Mapping[str, int]
    examples: tuple[str, ...]
    swapped: int
    subset: str = "all"

    @property
    def published(self) -> tuple[PublishedRow, ...]:
        """Published figures of the whole set."""
        return PUBLISHED.get(self.task.name, ()) if self.subset == "all" else ()

    @property
    def positives(self) -> int:
        """Number of positives among the scored variants."""
        return int(self.variants.labels.sum())

    def variant_table(self) -> list[dict[str, Any]]:
        """Return one row a scored variant: where it lies, its label, its scores."""
        found = self.variants
        columns = zip(found.chroms, found.positions, found.refs, found.alts, found.labels.tolist(), strict=True)
        return [
            dict(zip(("chrom", "pos", "ref", "alt", "label"), cells, strict=True))
            | {name: float(values[number]) for name, values in self.scores.items()}
            for number, cells in enumerate(columns)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return what the summary holds."""
        return {
            "suite": self.task.suite.title,
            "task": self.task.name,
            "subset": self.subset,
            "file": str(self.task.path),
            "variants": len(self.variants),
            "positives": self.positives,
            "window": self.window,
            "suite_context": self.task.suite.context,
            "left_out": dict(self.left_out),
            "examples_left_out": list(self.examples),
            "reference_is_second_allele": self.swapped,
            "metrics": [vars(row) for row in self.rows],
            "published": [row._asdict() for row in self.published],
            "by_chromosome": {name: [vars(row) for row in rows] for name, rows in self.by_chromosome.items()},
        }


@dataclass(frozen=True)
class VariantBenchmarkResult(TableView):
    """A benchmark, set by set.

    Attributes:
        title: What was scored.
        tasks: The sets.
        hidden: Lower-case bases of the genome that the model's tokenizer does not show; 0 of most models.
    """

    title: str
    tasks: tuple[TaskResult, ...]
    hidden: int = 0

    def table(self) -> list[dict[str, Any]]:
        """Return one row a set, score and metric; published figures, marked [p], follow those of their set."""
        shown = []
        for task in self.tasks:
            sizes = {"variants": len(task.variants), "positives": task.positives}
            for row in task.rows:
                own = (row.value, row.standard_error, row.chance)
                shown.append(_cells(task, self.title, row.score, row.metric, own, sizes))
            for known in task.published:
                theirs = (known.value, known.standard_error, None)
                shown.append(_cells(task, f"{known.model} [p]", known.score, known.metric, theirs, {}))
        return shown

    def notes(self) -> list[str]:
        """Say set by set in one line how long the windows were and what was left out."""
        lines = []
        for task in self.tasks:
            line = f"{task.task.name}: windows of {task.window} bases (the suite's context: {task.task.suite.context})"
            if task.left_out:
                line += "; left out: " + ", ".join(f"{count} {why}" for why, count in task.left_out.items())
            counts = (task.positives, len(task.variants) - task.positives)
            known = COUNTS.get(task.task.name, counts)
            if known != counts:
                line += f"; the published set has {known[0]} positives and {known[1]} controls, not {counts[0]} and "
                line += f"{counts[1]}: figures do not compare"
            lines.append(line)
        if self.hidden:
            lines.append(f"{self.hidden} lower-case bases of the genome are hidden from the model by its tokenizer")
        if any(task.published for task in self.tasks):
            lines.append("Rows marked [p] are published, not run here.")
        return lines

    def figure(self) -> Figure:
        """Draw every metric as a point, its chance as a line, and published figures as crosses."""
        from matplotlib.figure import Figure

        rows = [(task, row) for task in self.tasks for row in task.rows]
        figure = Figure(figsize=(8.0, 1.2 + 0.32 * len(rows)), layout="constrained")
        axes = figure.subplots()
        for height, (task, row) in enumerate(reversed(rows)):
            known = [each.value for each in task.published if (each.score, each.metric) == (row.score, row.metric)]
            axes.plot(known, [height] * len(known), "x", color="#808080")
            error = row.standard_error if row.standard_error is not None and np.isfinite(row.standard_error) else 0.0
            axes.errorbar(row.value, height, xerr=error, fmt="o", color="#0072B2")
            axes.plot(row.chance, height, "|", color="#808080", markersize=14)
        labels = [f"{task.task.name}: {row.score} ({row.metric})" for task, row in reversed(rows)]
        axes.set_yticks(range(len(rows)), labels, fontsize=8)
        axes.set(xlabel="point: this model, bar: one standard error, line: chance, crosses: published")
        axes.grid(alpha=0.3, axis="x")
        axes.spines[["top", "right"]].set_visible(False)
        return figure

    def to_dict(self) -> dict[str, Any]:
        """Return what summary.json holds."""
        return {"title": self.title, "hidden_bases": self.hidden, "tasks": [task.to_dict() for task in self.tasks]}


def _cells(
    task: TaskResult,
    model: str,
    score: str,
    metric: str,
    numbers: tuple[float | None, ...],
    sizes: Mapping[str, int],
) -> dict[str, Any]:
    """Return one row of the table."""
    value, error, chance = ("" if number is None else f"{number:.4f}" for number in numbers)
    return {
        "suite": task.task.suite.title,
        "task": task.task.name,
        "variants": sizes.get("variants", ""),
        "positives": sizes.get("positives", ""),
        "model": model,
        "score": score,
        "metric": metric,
        "value": value,
        "standard error": error,
        "chance": chance,
    }
