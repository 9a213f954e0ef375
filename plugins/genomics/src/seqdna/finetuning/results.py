"""The result of a fine-tuning: one row a run, their mean, minimum and maximum, and the baselines beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqdna.finetuning.metrics import METRICS
from seqsuite.reports import TableView

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Metrics = Mapping[str, float]


@dataclass(frozen=True)
class RunScores:
    """One run.

    Attributes:
        name: Of its folder below `runs`.
        seed: Of its weights and order.
        valid: Validation metrics of the weights that were kept.
        test: Test metrics of the same weights.
        steps: Steps trained; 0 for a probe.
        rows: How many rows trained, validated and tested.
        trainable: Parameters that trained.
        seconds: Wall time.
    """

    name: str
    seed: int
    valid: Metrics
    test: Metrics
    steps: int
    rows: tuple[int, int, int]
    trainable: int
    seconds: float


def summary_of(values: Sequence[float]) -> str:
    """Return "0.912", or "0.912 (0.905 to 0.921)" of several values: the mean, the least and the most."""
    mean = float(np.mean(values))
    return f"{mean:.3f}" if len(values) == 1 else f"{mean:.3f} ({min(values):.3f} to {max(values):.3f})"


@dataclass(frozen=True)
class FinetuneResult(TableView):
    """A fine-tuned model, measured on the test rows, beside simple models on the same split.

    Attributes:
        folder: The run folder; `model/` in it holds the run with the best validation.
        model: Name of the model.
        mode: What was trained.
        pretrained: Whether there were weights to start from.
        problem: What was asked.
        classes: Names of the classes, labels or numbers.
        metric: What chose the best weights.
        runs: The runs.
        best: Name of the run in `model/`.
        baselines: Name -> test metrics of each test set.
        shared: Share of test sequences that are in the training or validation rows too, on either strand; mean of runs.
        trainable: Parameters that trained.
        seconds: Wall time of the whole command.
    """

    folder: Path
    model: str
    mode: str
    pretrained: bool
    problem: str
    classes: tuple[str, ...]
    metric: str
    runs: tuple[RunScores, ...]
    best: str
    baselines: Mapping[str, Sequence[Metrics]] = field(default_factory=dict)
    shared: float = 0.0
    trainable: int = 0
    seconds: float = 0.0

    def values(self, metric: str) -> list[float]:
        """Return one test metric of all runs; runs where it is not defined are left out."""
        return [run.test[metric] for run in self.runs if metric in run.test]

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics that some run has, the choosing one first."""
        known = [self.metric, *(name for name in METRICS[self.problem] if name != self.metric)]
        return [name for name in known if self.values(name)]

    @property
    def title(self) -> str:
        """What was trained, in a few words."""
        return f"{self.model}, {self.mode}{'' if self.pretrained else ', from scratch'}"

    def table(self) -> list[dict[str, Any]]:
        """Return one row a model: baselines, then this one; mean, minimum and maximum over runs."""
        rows = []
        for name, found in self.baselines.items():
            shown = {metric: [each[metric] for each in found if metric in each] for metric in self.metrics}
            rows.append({"model": name, **{key: summary_of(v) if v else "" for key, v in shown.items()}})
        ours = {metric: summary_of(self.values(metric)) for metric in self.metrics}
        return [*rows, {"model": self.title, **ours}]

    def run_table(self) -> list[dict[str, Any]]:
        """Return one row a run."""
        return [
            {"run": run.name, "steps": run.steps, "rows": " / ".join(f"{count:,}" for count in run.rows),
             f"valid {self.metric}": run.valid.get(self.metric), **{name: run.test.get(name) for name in self.metrics}}
            for run in self.runs
        ]  # fmt: skip

    def figure(self) -> Figure:
        """Draw the choosing metric: a point a run, a line a baseline."""
        from matplotlib.figure import Figure

        from seqsuite.reports.figures import COLOURS

        figure = Figure(figsize=(7.0, 1.2 + 0.35 * (len(self.baselines) + 1)), layout="constrained")
        axes = figure.subplots()
        groups = {name: [each[self.metric] for each in found if self.metric in each]
                  for name, found in self.baselines.items()}  # fmt: skip
        groups[self.title] = self.values(self.metric)
        for height, (name, values) in enumerate(groups.items()):
            colour = COLOURS[0] if name == self.title else "#808080"
            axes.plot(values, [height] * len(values), "o", color=colour, alpha=0.8)
            if values:
                axes.plot(float(np.mean(values)), height, "|", color=colour, markersize=14)
        axes.set_yticks(range(len(groups)), list(groups))
        axes.set(xlabel=f"test {self.metric}")
        axes.grid(alpha=0.3, axis="x")
        axes.spines[["top", "right"]].set_visible(False)
        return figure

    def to_dict(self) -> dict[str, Any]:
        """Return what summary.json holds."""
        values = asdict(self)
        means = {name: float(np.mean(self.values(name))) for name in self.metrics}
        spread = {name: [min(self.values(name)), max(self.values(name))] for name in self.metrics}
        return {**values, "folder": self.folder.name, "test_mean": means, "test_range": spread}
