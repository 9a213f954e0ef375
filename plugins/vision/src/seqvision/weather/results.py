"""What training and forecasting give: scores as tables, maps as figures, plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqsuite.reports import Report, TableView, training_report
from seqsuite.training.run_folder import write_json
from seqvision.data.gridded_times import shown_time
from seqvision.weather.pictures import map_figure
from seqvision.weather.scores import ForecastScores, Interval, skill_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BLOCK = 3
"""Steps that a bootstrap draws together, at least."""


@dataclass(frozen=True)
class TrainedForecast(TableView):
    """A trained forecast beside the simple ones.

    Attributes:
        folder: The run folder.
        model: Name of the model.
        parameters: Their number.
        steps: Training steps.
        seconds: Wall time of the whole command.
        lead: Steps ahead.
        variables: What was forecast.
        units: Their units, as the file has them.
        scores: Of the test; the model is the last.
        valid_scores: Of the validation, likewise; empty without one.
        parts: Part -> its targets: how many, the first, the last.
        example: Maps of the last test step.
    """

    folder: Path
    model: str
    parameters: int
    steps: int
    seconds: float
    lead: int
    variables: tuple[str, ...]
    units: tuple[str, ...]
    scores: tuple[ForecastScores, ...]
    valid_scores: tuple[ForecastScores, ...] = ()
    parts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    example: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def block(self) -> int:
        """Steps that the bootstrap draws together: the lead at least, over which errors of neighbours are alike."""
        return max(_BLOCK, self.lead)

    def table(self) -> list[dict[str, Any]]:
        """Return one row a forecast: RMSE and ACC of each variable over the test steps."""
        return [scores.row() for scores in self.scores]

    def figure(self) -> Figure:
        """Draw the last test step: truth, forecast and error, as anomalies."""
        shown = self.example
        maps = {name: shown[name] - shown["climatology"] for name in ("truth", "forecast")}
        maps["forecast - truth"] = shown["forecast"] - shown["truth"]
        unit = self.units[0] if self.units else ""
        title = f"{self.variables[0]} anomaly, {shown['time']}"
        return map_figure(maps, shown["latitude"], shown["longitude"], title=title, unit=unit, middle=0.0)

    def against(self, name: str) -> dict[str, Interval]:
        """Return variable -> RMSE of the model less that of another forecast of the same test, with an interval."""
        mine, other = self.scores[-1], next(one for one in self.scores if one.name == name)
        return {
            variable: skill_interval(mine.squares[:, number], other.squares[:, number], block=self.block)
            for number, variable in enumerate(self.variables)
        }

    def comparison(self) -> list[dict[str, Any]]:
        """Return one row a simple forecast and variable: the difference of the RMSEs and its interval."""
        return [
            {
                "model less": scores.name,
                "variable": variable,
                "RMSE difference": f"{found.difference:+.3f}",
                "95 % interval": f"{found.low:+.3f} to {found.high:+.3f}",
            }
            for scores in self.scores[:-1]
            for variable, found in self.against(scores.name).items()
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return what summary.json holds."""
        names = ("model", "parameters", "steps", "seconds", "lead", "variables", "units", "parts")
        differences = {
            scores.name: {name: found.to_dict() for name, found in self.against(scores.name).items()}
            for scores in self.scores[:-1]
        }
        return {
            **{name: getattr(self, name) for name in names},
            "test": {scores.name: scores.to_dict() for scores in self.scores},
            "valid": {scores.name: scores.to_dict() for scores in self.valid_scores},
            "model_less": differences,
        }


def write_run(result: TrainedForecast, *, source: str) -> None:
    """Write summary.json and report.html of a run."""
    folder = result.folder
    write_json(folder / "summary.json", result.to_dict())
    report = Report(f"{result.model} on {Path(source).name}", subtitle=folder.name)
    report.heading(f"The last {result.parts['test']['steps']} steps, {result.lead} ahead").table(result.table())
    report.text(
        "RMSE is weighted by the area of the cells, its root taken after the mean over the steps; ACC is the mean over "
        "the steps of the correlation with the true anomaly. Climatology and regressions come from the training steps."
    )
    caption = f"Bootstrap over blocks of {result.block} steps; below zero the model is better"
    report.table(result.comparison(), caption=caption)
    report.figure(result.figure(), caption="The last test step", kind="png")
    report.heading("Split by time").table([{"part": name, **facts} for name, facts in result.parts.items()])
    if result.valid_scores:
        report.heading("Validation").table([scores.row() for scores in result.valid_scores])
    training_report(folder, into=report).write(folder / "report.html")


@dataclass(frozen=True)
class Forecast(TableView):
    """Forecasts written to a file.

    Attributes:
        out: The netCDF file.
        picture: The map of the last one.
        variables: What was forecast.
        units: Their units.
        lead: Steps ahead.
        starts: The latest step that each forecast knows.
        times: What each is a forecast of.
        values: (N, C, H, W).
        anomaly: (C, H, W), the last forecast less its climatology.
        latitude: (H,) degrees.
        longitude: (W,) degrees.
        scores: Climatology, persistence and the model at the steps that the file knows; empty where it knows none.
    """

    out: Path
    picture: Path
    variables: tuple[str, ...]
    units: tuple[str, ...]
    lead: int
    starts: np.ndarray
    times: np.ndarray
    values: np.ndarray = field(repr=False)
    anomaly: np.ndarray = field(repr=False)
    latitude: np.ndarray = field(repr=False)
    longitude: np.ndarray = field(repr=False)
    scores: tuple[ForecastScores, ...] = ()

    def table(self) -> list[dict[str, Any]]:
        """Return one row a forecast step: when, and the least, mean and largest value of each variable."""
        rows = []
        for start, when, maps in zip(self.starts, self.times, self.values, strict=True):
            row: dict[str, Any] = {"known until": shown_time(start), "forecast of": shown_time(when)}
            for name, field_ in zip(self.variables, maps, strict=True):
                low, high = float(np.nanmin(field_)), float(np.nanmax(field_))
                row[name] = f"{low:.2f} to {high:.2f}"
            rows.append(row)
        return rows

    def figure(self) -> Figure:
        """Draw the last forecast of every variable, as it is and less its climatology."""
        maps = {}
        for number, name in enumerate(self.variables):
            maps[f"{name} anomaly" + (f", {self.units[number]}" if self.units[number] else "")] = self.anomaly[number]
        title = f"forecast of {shown_time(self.times[-1])}"
        return map_figure(maps, self.latitude, self.longitude, title=title, unit="", middle=0.0)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "out": str(self.out),
            "picture": str(self.picture),
            "variables": self.variables,
            "lead": self.lead,
            "starts": [str(item) for item in self.starts],
            "times": [str(item) for item in self.times],
            "scores": {scores.name: scores.to_dict() for scores in self.scores},
        }
