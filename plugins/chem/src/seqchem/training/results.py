"""What `seqchem pretrain` and `seqchem finetune` give: tables, figures, plain values, and the files of the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from seqchem.data.pictures import histograms
from seqchem.data.splits import PARTS, write_parts
from seqchem.evaluation.classification import ClassificationScores
from seqchem.training.inputs import TrainingInputs
from seqchem.training.scoring import PartScores
from seqsuite.reports import Report, TableView, loss_curves, training_report
from seqsuite.reports.csv_files import write_csv
from seqsuite.reports.figures import COLOURS
from seqsuite.training import FitResult
from seqsuite.training.run_folder import write_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OWN_FILES = ("parts.csv", "calibration.json", "predictions.csv")
"""What these runs write beside a run folder's own files."""
_SHOWN = 6


@dataclass(frozen=True)
class RTPretrainResult(TableView):
    """A pretrained model.

    Attributes:
        fit: Steps, seconds, folder, metrics.
        model: Name of the model.
        parameters: Their number.
        data: What it was trained on, by name.
    """

    fit: FitResult
    model: str
    parameters: int
    data: Mapping[str, Any]

    @property
    def finished(self) -> bool:
        """Whether all steps were done."""
        return self.fit.reason == "finished"

    def table(self) -> list[dict[str, Any]]:
        """Return losses and size, name by name."""
        shown = {name: value for name, value in self.fit.metrics.items() if name.startswith(("train_", "valid_"))}
        facts = {"steps": self.fit.steps, "parameters": self.parameters, **shown}
        return [{"what": name.replace("_", " "), "value": value} for name, value in facts.items()]

    def figure(self) -> Figure | None:
        """Draw the loss by step."""
        return loss_curves(self.fit.folder)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as summary.json holds them."""
        return {
            "folder": str(self.fit.folder),
            "model": self.model,
            "parameters": self.parameters,
            "data": dict(self.data),
            "steps": self.fit.steps,
            "seconds": round(self.fit.seconds, 2),
            "tokens_per_second": round(self.fit.tokens_per_second, 1),
            "finished": self.finished,
            "metrics": dict(self.fit.metrics),
        }


@dataclass(frozen=True)
class RTFinetuneResult(RTPretrainResult):
    """A fine-tuned model and how well it predicts.

    Attributes:
        scores: Every property on the validation and the test rows.
        weights: Which weights these are: best of the validations, or the last.
        properties: Their names.
    """

    scores: tuple[PartScores, ...] = field(default=(), repr=False)
    weights: str = "best"
    properties: tuple[str, ...] = ()

    def table(self) -> list[dict[str, Any]]:
        """Return one row a part and property; without held-out rows, the losses."""
        return [score.row() for score in self.scores] or super().table()

    def figure(self) -> Figure | None:
        """Draw predicted against measured values, the first properties; without held-out rows the loss."""
        shown = [score for score in self.scores if score.part == self.scores[-1].part][:_SHOWN]
        return parity_figure(shown) if shown else super().figure()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as summary.json holds them."""
        scores = [{**score.row(), **score.scores.to_dict()} for score in self.scores]
        return {**super().to_dict(), "weights": self.weights, "scores": scores}


def parity_figure(scores: list[PartScores]) -> Figure:
    """Draw predicted against measured values, one picture a property.

    Args:
        scores: Of one part.
    """
    from matplotlib.figure import Figure

    columns = min(3, len(scores))
    rows = -(-len(scores) // columns)
    figure = Figure(figsize=(3.4 * columns, 3.2 * rows), layout="constrained")
    for place, score in enumerate(scores):
        axes = figure.add_subplot(rows, columns, place + 1)
        if isinstance(score.scores, ClassificationScores):
            for label in (0, 1):
                chosen = score.predicted[score.measured == label]
                edges = np.linspace(0, 1, 21).tolist()
                axes.hist(chosen, edges, histtype="step", color=COLOURS[label], label=f"measured {label}")
            axes.set(title=score.property, xlabel="probability of 1", ylabel="rows")
            axes.legend(frameon=False)
            continue
        low = float(min(score.measured.min(), score.predicted.min()))
        high = float(max(score.measured.max(), score.predicted.max()))
        axes.plot([low, high], [low, high], color="#808080", lw=1)
        axes.scatter(score.measured, score.predicted, s=8, alpha=0.6, color=COLOURS[0], linewidths=0)
        axes.set(title=f"{score.property}, {score.part}", xlabel="measured", ylabel="predicted")
    return figure


def write_run(result: RTPretrainResult, inputs: TrainingInputs, calibration: Mapping[str, Any] | None = None) -> None:
    """Write summary.json, report.html and, of a fine-tuned model, predictions.csv and calibration.json.

    Args:
        result: Of the run.
        inputs: Its rows.
        calibration: Of the intervals.
    """
    folder = result.fit.folder
    write_json(folder / "summary.json", result.to_dict())
    report = Report(f"{result.model} on {result.data['source']}", subtitle=folder.name)
    if isinstance(result, RTFinetuneResult) and result.scores:
        if calibration:
            write_json(folder / "calibration.json", calibration)
        _write_predictions(result, inputs)
        report.heading("Rows that were not trained on").table(result.table())
        report.text(
            "Intervals are calibrated on the validation rows, so their coverage there is not independent; the "
            f"weights are the {result.weights} ones."
        )
        for part in dict.fromkeys(score.part for score in result.scores):
            shown = [score for score in result.scores if score.part == part][:_SHOWN]
            report.figure(parity_figure(shown), caption=f"predicted against measured, {part} rows", kind="png")
    report.heading("Data").table({name: str(value) for name, value in result.data.items()})
    values = inputs.table.values
    if values:
        parts = {
            part: {name: column[inputs.rows(part)] for name, column in values.items()}
            for part in PARTS
            if len(inputs.rows(part))
        }
        report.figure(histograms(parts), caption="values by part")
    training_report(folder, into=report).write(folder / "report.html")


def write_split(folder: Any, inputs: TrainingInputs) -> None:
    """Write parts.csv.

    Args:
        folder: The run folder.
        inputs: The rows.
    """
    write_parts(folder / "parts.csv", inputs.table, inputs.parts)


def _write_predictions(result: RTFinetuneResult, inputs: TrainingInputs) -> None:
    table = inputs.table
    write_csv(
        result.fit.folder / "predictions.csv",
        ("row", "part", "sequence", "property", "measured", "predicted", "std"),
        [
            (table.rows[row], score.part, table.sequences[row], score.property, f"{y:.7g}", f"{p:.7g}", f"{s:.4g}")
            for score in result.scores
            for row, y, p, s in zip(score.rows, score.measured, score.predicted, score.std, strict=True)
        ],
    )
