"""What `seqrl train` gives: the run, what the policy reached while it trained, as table, figure and plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from seqrl.training.playing import BEST, Played
from seqsuite.reports import Report, TableView, line_figure, loss_curves, training_report
from seqsuite.training import FitResult
from seqsuite.training.run_folder import write_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class TrainResult(TableView):
    """A trained policy.

    Attributes:
        fit: Steps, seconds, folder, metrics.
        model: Name of the model.
        parameters: Their number.
        data: What it was trained on, by name.
        played: Every evaluation in the environment during training, by step and target.
        normalized_with: Where the reference of the normalised scores comes from; empty: there is none.
    """

    fit: FitResult
    model: str
    parameters: int
    data: Mapping[str, Any]
    played: Sequence[Played] = field(default=(), repr=False)
    normalized_with: str = ""

    @property
    def finished(self) -> bool:
        """Whether all steps were done."""
        return self.fit.reason == "finished"

    @property
    def last(self) -> list[Played]:
        """The latest evaluation, one entry a target; nothing where there was none."""
        return [row for row in self.played if row.step == self.played[-1].step]

    @property
    def best(self) -> Played | None:
        """The evaluation with the highest mean return, whose weights lie in `best`; None where there was none."""
        return max(self.played, key=lambda row: row.return_mean, default=None)

    def table(self) -> list[dict[str, Any]]:
        """Return what was reached: the last weights for every target, the best ones, losses and size."""
        rows = [_row("last", row) for row in self.last]
        if self.best is not None:
            rows.append(_row("best (of all steps)", self.best))
        if rows:
            return rows
        metrics = self.fit.metrics
        shown = {name: value for name, value in metrics.items() if name.startswith(("train_", "valid_"))}
        return [{"what": name, "value": value} for name, value in {"steps": self.fit.steps, **shown}.items()]

    def figure(self) -> Figure:
        """Draw the return by step, a curve for each target; without evaluations the loss by step."""
        if not self.played:
            return loss_curves(self.fit.folder)
        curves: dict[str, tuple[list[float], list[float]]] = {}
        for row in self.played:
            name = "return" if row.target is None else f"return for target {row.target:g}"
            steps, means = curves.setdefault(name, ([], []))
            steps.append(row.step)
            means.append(row.return_mean)
        levels = {"best episode of the data": float(self.data["return_max"])}
        return line_figure(curves, x="step", y="return", levels=levels)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as summary.json holds them."""
        folder = self.fit.folder
        facts = {"folder": str(folder), "model": self.model, "parameters": self.parameters, "data": dict(self.data)}
        facts |= {"steps": self.fit.steps, "seconds": round(self.fit.seconds, 2), "finished": self.finished}
        facts |= {"metrics": dict(self.fit.metrics), "normalized_with": self.normalized_with}
        facts["last"] = [asdict(row) for row in self.last]
        facts["best"] = None if self.best is None else asdict(self.best) | {"weights": str(folder / BEST)}
        return facts


def _row(weights: str, row: Played) -> dict[str, Any]:
    target = {} if row.target is None else {"target": row.target}
    score = {} if row.normalized is None else {"score x100": 100 * row.normalized}
    facts = {"return": row.return_mean, "+-": row.return_std, "length": row.length_mean, "episodes": row.episodes}
    return {"weights": weights, "step": row.step, **target, **facts, **score}


def write_run(result: TrainResult) -> None:
    """Write summary.json and report.html of a run."""
    folder = result.fit.folder
    write_json(folder / "summary.json", result.to_dict())
    report = Report(f"{result.model} on {result.data['source']}", subtitle=folder.name)
    if result.played:
        report.heading("In the environment").table(result.table())
        report.figure(result.figure(), caption="Mean return of the episodes played at each evaluation")
        report.text(
            "last: the weights at the end of training, in the folder model. best: the highest of all evaluations "
            "during training, in the folder best; the best of many draws is more than its weights reach on the whole."
        )
        if result.normalized_with:
            report.text(f"Normalised scores: {result.normalized_with}")
    report.heading("Data").table(dict(result.data))
    training_report(folder, into=report).write(folder / "report.html")
