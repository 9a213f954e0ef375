"""What an evaluation of predictions gives: every property beside the baselines, as table, figure, files and values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqchem.evaluation.classification import CLASSIFICATION_METRICS, ClassificationScores
from seqchem.evaluation.regression import REGRESSION_METRICS, RegressionScores, interval_text
from seqsuite.reports import Report, TableView
from seqsuite.reports.csv_files import write_csv

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ModelScores", "PropertyEvaluation", "PropertyTest"]

OURS = "Regression Transformer"
"""How the evaluated model is called beside the baselines."""


@dataclass(frozen=True)
class ModelScores:
    """One model on the test rows of one property.

    Attributes:
        name: The model.
        seeds: Its scores, an entry for each seed.
        difference: RMSE of the evaluated model less the mean of this one's seeds (below zero: ours is better); None of
            the evaluated model itself and of classes.
        difference_interval: Its bootstrap interval over the rows, with this model's first seed.
        left_out: Descriptors that it was not given, as they are the target itself.
        train_rows: Rows it was trained on; 0 where not known.
    """

    name: str
    seeds: tuple[RegressionScores | ClassificationScores, ...]
    difference: float | None = None
    difference_interval: tuple[float, float] | None = None
    left_out: tuple[str, ...] = ()
    train_rows: int = 0

    def mean(self, metric: str) -> float:
        """Return the mean of a metric over the seeds."""
        return float(np.mean([getattr(scores, metric) for scores in self.seeds]))

    def std(self, metric: str) -> float:
        """Return the deviation of a metric over the seeds, divided by their number less one; 0 for one seed."""
        values = [getattr(scores, metric) for scores in self.seeds]
        return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


@dataclass(frozen=True)
class PropertyTest:
    """One property on its test rows.

    Attributes:
        name: The property.
        rows: Line numbers of the rows that have it.
        truth: (n,) measured.
        predicted: (n,) predicted; of columns of zeros and ones the probability of 1.
        std: (n,) deviations of the digit distributions.
        models: The evaluated model first, then the baselines.
        binary: Whether the column holds zeros and ones, and the scores are of classes.
        invalid_rate: Share of rows whose likeliest tokens of the whole vocabulary were no number; NaN where that was
            not counted. The number that is scored for them is the grammar's, as for all.
        coverage: Level -> share of rows inside the calibrated interval; empty without a calibration.
        seen: Test rows whose sequence is also a training row.
    """

    name: str
    rows: tuple[int, ...] = field(repr=False)
    truth: np.ndarray = field(repr=False)
    predicted: np.ndarray = field(repr=False)
    std: np.ndarray = field(repr=False)
    models: tuple[ModelScores, ...]
    binary: bool = False
    invalid_rate: float = float("nan")
    coverage: dict[float, float] = field(default_factory=dict)
    seen: int = 0

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics of its kind."""
        return CLASSIFICATION_METRICS if self.binary else REGRESSION_METRICS

    @property
    def best_baseline(self) -> ModelScores | None:
        """The baseline with the least RMSE, or the greatest ROC-AUC; None without one."""
        baselines = list(self.models[1:])
        if not baselines:
            return None
        if self.binary:
            return max(baselines, key=lambda model: np.nan_to_num(model.mean("roc_auc"), nan=-1.0))
        return min(baselines, key=lambda model: model.mean("rmse"))

    def table(self) -> list[dict[str, Any]]:
        """Return one row a model: means over its seeds, and the interval of the first metric over rows."""
        first = self.metrics[0]
        rows = []
        for model in self.models:
            row: dict[str, Any] = {"property": self.name, "model": model.name, "rows": len(self.truth)}
            row |= {"seeds": len(model.seeds), first: model.mean(first), "+-": model.std(first)}
            row[f"95% interval of {first}"] = interval_text(model.seeds[0].intervals.get(first))
            row |= {metric: model.mean(metric) for metric in self.metrics[1:]}
            if not self.binary:
                row["ours less this"] = model.difference
                row["95% interval"] = interval_text(model.difference_interval)
            rows.append(row)
        return rows

    def notes(self) -> list[str]:
        """Return what must be read beside the table."""
        lines = []
        if not np.isnan(self.invalid_rate):
            lines.append(
                f"{self.name}: invalid-number rate {self.invalid_rate:.2%} without the grammar; with it every answer "
                "is a number, and that number is what is scored"
            )
        if self.coverage:
            told = ", ".join(f"{level:.0%}: {share:.1%}" for level, share in self.coverage.items())
            lines.append(f"{self.name}: calibrated intervals cover here {told}")
        if self.seen:
            lines.append(f"{self.name}: {self.seen:,} of {len(self.truth):,} test rows are training rows as well")
        for model in self.models:
            if model.left_out:
                lines.append(f"{self.name}: {model.name} was not given {', '.join(model.left_out)}: that is the target")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        models = [
            {
                "name": model.name,
                "seeds": [scores.to_dict() for scores in model.seeds],
                "difference": model.difference,
                "difference_interval": None if model.difference_interval is None else list(model.difference_interval),
                "left_out": list(model.left_out),
                "train_rows": model.train_rows,
            }
            for model in self.models
        ]
        facts: dict[str, Any] = {"property": self.name, "rows": len(self.truth), "binary": self.binary}
        facts |= {"invalid_number_rate": self.invalid_rate, "value_for_invalid": "the number under the grammar"}
        facts |= {"coverage": {f"{level:g}": share for level, share in self.coverage.items()}}
        return facts | {"rows_seen_in_training": self.seen, "models": models}


@dataclass(frozen=True)
class PropertyEvaluation(TableView):
    """How well a model predicts the properties of a file.

    Attributes:
        name: The model.
        source: The file, and which of its rows.
        properties: An entry for each property.
        refused: Rows that could not be predicted.
        seconds: That the evaluation took.
    """

    name: str
    source: str
    properties: tuple[PropertyTest, ...]
    refused: int = 0
    seconds: float = 0.0

    def __getitem__(self, name: str) -> PropertyTest:
        """Return one property.

        Raises:
            UnknownNameError: It was not evaluated.
        """
        from seqsuite.errors import unknown_name

        for test in self.properties:
            if test.name == name:
                return test
        raise unknown_name("evaluated property", name, [test.name for test in self.properties])

    def table(self) -> list[dict[str, Any]]:
        """Return one row a property and model."""
        return [row for test in self.properties for row in test.table()]

    def notes(self) -> list[str]:
        """Return what must be read beside the table."""
        lines = [f"{self.name} on {self.source}"]
        for test in self.properties:
            lines += test.notes()
        return [*lines, f"{self.refused:,} rows could not be predicted and count nowhere"] if self.refused else lines

    def figure(self) -> Figure:
        """Draw predicted against measured values, a panel for each property; of zeros and ones their shares."""
        from seqchem.evaluation.pictures import parity_figure

        return parity_figure(self.properties)

    def calibration_figure(self) -> Figure | None:
        """Draw the covered share of rows against the level of the intervals; None without a calibration."""
        from seqchem.evaluation.pictures import coverage_figure

        return coverage_figure(self.properties)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        facts = {"model": self.name, "source": self.source, "refused": self.refused, "seconds": round(self.seconds, 2)}
        return facts | {"properties": [test.to_dict() for test in self.properties]}

    def save(self, folder: str | Path) -> Path:
        """Write evaluation.json, predictions.csv, parity.png and report.html into a folder.

        Raises:
            UserError: The disk is full or the place is not writable.
        """
        from seqsuite.training.checkpoint_io import write_aside
        from seqsuite.training.run_folder import told, write_json

        path = Path(folder).expanduser()
        with told(path):
            path.mkdir(parents=True, exist_ok=True)
        write_csv(path / "predictions.csv", ("property", "row", "measured", "predicted", "std"), self._rows())
        with told(path / "parity.png"), write_aside(path / "parity.png") as aside:
            self.figure().savefig(aside, format="png", dpi=150)
        self.report().write(path / "report.html")
        write_json(path / "evaluation.json", self.to_dict())
        return path

    def _rows(self) -> list[Sequence[Any]]:
        return [
            (test.name, row, f"{truth:.8g}", f"{predicted:.8g}", f"{std:.8g}")
            for test in self.properties
            for row, truth, predicted, std in zip(test.rows, test.truth, test.predicted, test.std, strict=True)
        ]

    def report(self) -> Report:
        """Return the page of this evaluation."""
        report = Report("Predicted and measured properties", subtitle=f"{self.name} on {self.source}")
        for line in self.notes()[1:]:
            report.text(line)
        for test in self.properties:
            report.heading(test.name).table(test.table(), caption="Means over seeds; intervals are over the rows")
        if any(len(test.models) > 1 for test in self.properties):
            report.text(
                "Baselines were trained on the run's training rows, with nothing but the sequence. Descriptors that "
                "are not defined take the median of the training rows; constant ones are left out."
            )
        report.heading("Figures").figure(self.figure(), caption="Predicted against measured", kind="png")
        covered = self.calibration_figure()
        return report if covered is None else report.figure(covered, caption="Coverage of the calibrated intervals")
