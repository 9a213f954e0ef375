"""The result of `seqaudio classify`: a row a run and its baselines, and the confusion matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqsuite.reports import TableView

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class RunScores:
    """One model on one split.

    Attributes:
        name: Of the run.
        model: What was trained.
        held_out: What the test clips have in common, if a column is held out.
        accuracy: On the test clips.
        macro_f1: The same, mean over classes.
        confusion: How often class i (row) was called class j (column).
        clips: How many clips trained, validated and tested.
        steps: Steps of training.
        parameters: Parameters that were fitted.
        seconds: Wall time.
    """

    name: str
    model: str
    held_out: str
    accuracy: float
    macro_f1: float
    confusion: tuple[tuple[int, ...], ...] = field(repr=False)
    clips: tuple[int, int, int]
    steps: int
    parameters: int
    seconds: float

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunScores:
        """Return what `dataclasses.asdict` and JSON made plain."""
        rows = tuple(tuple(row) for row in values["confusion"])
        return cls(**{**values, "confusion": rows, "clips": tuple(values["clips"])})


@dataclass(frozen=True)
class ClassifyResult(TableView):
    """A classifier of clips, measured on the test clips, beside simple models on the same split.

    Attributes:
        folder: The run folder; `model/` in it holds the model of the first run.
        classes: Names of the classes.
        runs: The classifier's runs.
        baselines: Those of the simple models, by model, in the same order.
        skipped: Clips that could not be used, and why.
        seconds: Wall time of the whole command.
    """

    folder: Path
    classes: tuple[str, ...]
    runs: tuple[RunScores, ...]
    baselines: Mapping[str, Sequence[RunScores]] = field(default_factory=dict)
    skipped: tuple[tuple[str, str], ...] = ()
    seconds: float = 0.0

    @property
    def models(self) -> dict[str, Sequence[RunScores]]:
        """The runs of every model, the classifier last."""
        return {**self.baselines, self.runs[0].model: self.runs}

    @property
    def confusion(self) -> np.ndarray:
        """The confusion matrix of the classifier, summed over its runs: (classes, classes)."""
        return np.sum([run.confusion for run in self.runs], axis=0)

    def table(self) -> list[dict[str, Any]]:
        """Return one row a model: mean, least and most of accuracy and macro F1 over runs."""
        return [
            {"model": name, "accuracy": _spread([run.accuracy for run in runs]),
             "macro F1": _spread([run.macro_f1 for run in runs]), "parameters": runs[0].parameters}
            for name, runs in self.models.items()
        ]  # fmt: skip

    def run_table(self) -> list[dict[str, Any]]:
        """Return one row a run: the accuracy of every model on its test clips."""
        rows = []
        for number, run in enumerate(self.runs):
            found = {name: f"{runs[number].accuracy:.4f}" for name, runs in self.models.items()}
            first = {"held out": run.held_out} if run.held_out else {"run": run.name}
            rows.append({**first, "clips": " / ".join(f"{count:,}" for count in run.clips), **found})
        return rows

    def figure(self) -> Figure:
        """Draw the confusion matrix, rows scaled to shares, counts written in."""
        from matplotlib.figure import Figure

        matrix = self.confusion
        size = 2.0 + 0.42 * len(self.classes)
        figure = Figure(figsize=(size + 0.8, size), layout="constrained")
        axes = figure.subplots()
        shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        if len(self.classes) <= 20:
            for (row, column), count in np.ndenumerate(matrix):
                colour = "white" if shares[row, column] > 0.6 else "black"
                axes.text(column, row, str(count) if count else "", ha="center", va="center", color=colour, fontsize=8)
        axes.set_xticks(range(len(self.classes)), self.classes, rotation=90)
        axes.set_yticks(range(len(self.classes)), self.classes)
        axes.set(xlabel="predicted", ylabel="true")
        figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.8)
        return figure

    def to_dict(self) -> dict[str, Any]:
        """Return what summary.json holds."""
        means = {
            name: {
                metric: float(np.mean([getattr(run, metric) for run in runs])) for metric in ("accuracy", "macro_f1")
            }
            for name, runs in self.models.items()
        }
        values = asdict(self)
        return {**values, "folder": self.folder.name, "mean": means, "confusion": self.confusion.tolist()}


def _spread(values: Sequence[float]) -> str:
    """Return "0.912", or "0.912 (0.905 to 0.921)" of several values: the mean, the least and the most."""
    mean = float(np.mean(values))
    return f"{mean:.3f}" if len(values) == 1 else f"{mean:.3f} ({min(values):.3f} to {max(values):.3f})"
