"""What a classifier does on labelled inputs: top-1, top-5, loss, confusion, one row a class.

result = measure(probs, labels, classes=("cat", "dog"), names=names)
result.top1, result.interval, result.confusion
result.save("evaluation")                   # evaluation.json, classes.csv, predictions.csv, confusion.png
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqsuite.errors import UserError
from seqsuite.reports import TableView
from seqsuite.reports.csv_files import write_csv
from seqsuite.training.checkpoint_io import write_aside
from seqsuite.training.run_folder import told, write_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NUMBERED = 20
"""Up to so many classes the figure shows the counts, and up to three times as many the names."""


@dataclass(frozen=True)
class Evaluation(TableView):
    """How well a classifier does on labelled inputs.

    Attributes:
        classes: Names of the classes.
        labels: (n,) the right classes.
        probs: (n, K) probabilities.
        names: One name an input.
        source: What was measured.
        split: Which part of it.
        unit: What an input is called.
        parameters: Of the model.
        seconds: The measurement took.
        skipped: Inputs that could not be read, and why.
        notes: Lines about the data.
    """

    classes: tuple[str, ...]
    labels: np.ndarray = field(repr=False)
    probs: np.ndarray = field(repr=False)
    names: tuple[str, ...] = field(repr=False)
    source: str = ""
    split: str = ""
    unit: str = "image"
    parameters: int = 0
    seconds: float = 0.0
    skipped: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """Number of inputs."""
        return len(self.labels)

    def top(self, k: int) -> float:
        """Return the share of inputs whose class is among the k most probable."""
        best = np.argsort(-self.probs, axis=1, kind="stable")[:, :k]
        return float((best == self.labels[:, None]).any(1).mean())

    @property
    def top1(self) -> float:
        """Share of inputs whose class is the most probable."""
        return self.top(1)

    @property
    def top5(self) -> float:
        """Share of inputs whose class is among the five most probable."""
        return self.top(5)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% interval of top-1 after Wilson (1927)."""
        n, p, z = self.count, self.top1, 1.959964
        middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return max(0.0, (middle - half) / (1 + z * z / n)), min(1.0, (middle + half) / (1 + z * z / n))

    @property
    def loss(self) -> float:
        """Mean cross entropy in nats."""
        right = self.probs[np.arange(self.count), self.labels]
        return float(-np.log(np.maximum(right, 1e-300)).mean())

    @property
    def confusion(self) -> np.ndarray:
        """(K, K) int64: how often class i was called class j."""
        k = len(self.classes)
        return np.bincount(self.labels * k + self.probs.argmax(1), minlength=k * k).reshape(k, k)

    def table(self) -> dict[str, Any]:
        """Return the figures by name."""
        low, high = self.interval
        facts: dict[str, Any] = {"source": self.source, "split": self.split, f"{self.unit}s": self.count}
        facts |= {"top-1": self.top1, "95% interval": f"{low:.4f} to {high:.4f}"}
        if len(self.classes) > 5:
            facts["top-5"] = self.top5
        facts |= {"cross entropy": self.loss, "balanced accuracy": self.balanced, "parameters": self.parameters}
        return facts | ({"skipped": len(self.skipped)} if self.skipped else {})

    @property
    def balanced(self) -> float:
        """Mean of the classes' recall, over those that have inputs."""
        matrix = self.confusion
        seen = matrix.sum(1) > 0
        return float((np.diag(matrix)[seen] / matrix.sum(1)[seen]).mean())

    def class_table(self) -> list[dict[str, Any]]:
        """Return one row a class: inputs, precision, recall, F1, and what it is most often taken for."""
        matrix, rows = self.confusion, []
        for index, name in enumerate(self.classes):
            right, given, said = int(matrix[index, index]), int(matrix[index].sum()), int(matrix[:, index].sum())
            wrong = matrix[index].copy()
            wrong[index] = 0
            rows.append(
                {
                    "class": name,
                    f"{self.unit}s": given,
                    "precision": right / said if said else None,
                    "recall": right / given if given else None,
                    "F1": 2 * right / (given + said) if given + said else None,
                    "taken for": f"{self.classes[int(wrong.argmax())]} ({int(wrong.max())})" if wrong.any() else "",
                }
            )
        return rows

    def figure(self) -> Figure:
        """Draw the confusion matrix, each row as shares of its class."""
        from matplotlib.figure import Figure

        matrix, k = self.confusion, len(self.classes)
        side = float(np.clip(2.2 + 0.34 * k, 3.6, 12.0))
        figure = Figure(figsize=(side + 0.8, side), layout="constrained")
        axes = figure.subplots()
        share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
        drawn = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        if k <= 3 * _NUMBERED:
            axes.set_xticks(range(k), self.classes, rotation=90, fontsize=8)
            axes.set_yticks(range(k), self.classes, fontsize=8)
        if k <= _NUMBERED:
            for (row, column), count in np.ndenumerate(matrix):
                if count:
                    shade = "white" if share[row, column] > 0.5 else "black"
                    axes.text(column, row, str(count), ha="center", va="center", color=shade, fontsize=7)
        axes.set(xlabel="predicted class", ylabel="class", title=f"top-1 {self.top1:.4f}, {self.count:,} {self.unit}s")
        figure.colorbar(drawn, ax=axes, label="share of the class", shrink=0.8)
        return figure

    def to_dict(self) -> dict[str, Any]:
        """Return figures and tables as plain values."""
        low, high = self.interval
        top5 = {"top5": self.top5} if len(self.classes) > 5 else {}
        return {
            "source": self.source,
            "split": self.split,
            "count": self.count,
            "top1": self.top1,
            "top1_interval": [low, high],
            **top5,
            "balanced_accuracy": self.balanced,
            "cross_entropy": self.loss,
            "parameters": self.parameters,
            "seconds": round(self.seconds, 3),
            "classes": list(self.classes),
            "confusion": self.confusion.tolist(),
            "per_class": self.class_table(),
            "skipped": [list(pair) for pair in self.skipped],
            "notes": list(self.notes),
        }

    def save(self, folder: str | Path) -> Path:
        """Write evaluation.json, classes.csv, predictions.csv and confusion.png into a folder.

        Raises:
            UserError: The disk is full or the place is not writable.
        """
        path = Path(folder)
        with told(path):
            path.mkdir(parents=True, exist_ok=True)
        rows = self.class_table()
        write_csv(path / "classes.csv", list(rows[0]), [list(row.values()) for row in rows])
        said = self.probs.argmax(1)
        lines = (
            [name, self.classes[label], self.classes[found], *(f"{p:.6g}" for p in row)]
            for name, label, found, row in zip(self.names, self.labels, said, self.probs, strict=True)
        )
        write_csv(path / "predictions.csv", ["name", "class", "predicted", *self.classes], lines)
        write_figure(path / "confusion.png", self.figure())
        write_json(path / "evaluation.json", self.to_dict())
        return path


def measure(
    probs: np.ndarray, labels: np.ndarray, *, classes: Sequence[str], names: Sequence[str], **facts: Any
) -> Evaluation:
    """Return the result of probabilities against labels.

    Args:
        probs: (n, K).
        labels: (n,).
        classes: Names of the K classes.
        names: One an input.
        facts: Further fields of `Evaluation`.

    Raises:
        UserError: There is nothing to measure.
    """
    if not len(labels):
        raise UserError("there is no labelled input to measure")
    return Evaluation(tuple(classes), np.asarray(labels), np.asarray(probs), tuple(names), **facts)


@contextmanager
def any_script() -> Iterator[None]:
    """Draw names in any script: what the font has no letters for becomes boxes, without a warning for each."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def write_figure(path: Path, figure: Figure) -> None:
    """Write a figure in the format of the file's name, whole or not at all.

    Raises:
        UserError: The disk is full or the place is not writable.
    """
    with told(path), any_script(), write_aside(path) as aside:
        figure.savefig(aside, format=path.suffix[1:], dpi=150)


def short(value: Any) -> Any:
    """Return a number as a terminal shows it: four digits of a fraction; anything else as it is."""
    return f"{value:.4g}" if isinstance(value, float) else value
