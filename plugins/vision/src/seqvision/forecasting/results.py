"""Results of `forecast-train`, `forecast` and the evaluation of a forecaster: tables and pictures."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqsuite.reports import TableView
from seqsuite.reports.csv_files import write_csv
from seqsuite.reports.figures import COLOURS
from seqsuite.training.run_folder import told

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from seqvision.forecasting.bootstrap import Difference

LAST, SEASON, RIDGE = "last value", "last season", "NLinear, ridge"
COMPARED = (RIDGE, "DLinear")
"""What the model's errors are compared with, window by window."""
_SHOWN_PANELS = 6


@dataclass(frozen=True)
class RunScores:
    """One forecaster at one horizon, in z-scores of the training rows.

    Attributes:
        name: Of the run.
        model: What forecasts.
        horizon: Rows ahead.
        seed: Of its random numbers.
        mse: Mean squared error over all test windows, steps and columns.
        mae: Mean absolute error.
        valid_mse: The same on the validation windows, by which everything was chosen.
        valid_mae: Likewise.
        columns_mse: Of each column on the test windows.
        columns_mae: Likewise.
        windows: Training, validation and test windows.
        detail: What was chosen: a season or a penalty.
        steps: Steps of training.
        parameters: Parameters that were fitted.
        seconds: Wall time.
    """

    name: str
    model: str
    horizon: int
    seed: int
    mse: float
    mae: float
    valid_mse: float
    valid_mae: float
    columns_mse: tuple[float, ...] = field(repr=False)
    columns_mae: tuple[float, ...] = field(repr=False)
    windows: tuple[int, int, int]
    detail: str
    steps: int
    parameters: int
    seconds: float

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunScores:
        """Return what `dataclasses.asdict` and JSON made plain."""
        rows = {name: tuple(values[name]) for name in ("columns_mse", "columns_mae", "windows")}
        return cls(**{**values, **rows})


@dataclass(frozen=True)
class Example:
    """A stretch of one column with forecasts of its end, in the units of the file.

    Attributes:
        title: What it is.
        past: (L,) what the forecasters saw.
        truth: (H,) what came.
        forecasts: (H,) of each forecaster by name.
    """

    title: str
    past: np.ndarray = field(repr=False)
    truth: np.ndarray | None = field(repr=False)
    forecasts: Mapping[str, np.ndarray] = field(repr=False)


@dataclass(frozen=True)
class ForecastTrainResult(TableView):
    """A forecaster measured on the test windows beside simple models.

    Attributes:
        folder: The run folder; `model/h96` in it holds the model of horizon 96 with the best validation.
        model: The model's name.
        columns: Of the series.
        scores: All runs, by horizon, the model's last.
        differences: (horizon, other forecaster) -> test squared error of the model minus the other's.
        examples: Stretches with forecasts.
        seconds: Wall time of the whole command.
    """

    folder: Path
    model: str
    columns: tuple[str, ...]
    scores: tuple[RunScores, ...]
    differences: Mapping[tuple[int, str], Difference]
    examples: tuple[Example, ...] = field(default=(), repr=False)
    seconds: float = 0.0

    def of(self, horizon: int, model: str) -> list[RunScores]:
        """Return the runs of a forecaster at a horizon, one a seed."""
        return [run for run in self.scores if (run.horizon, run.model) == (horizon, model)]

    @property
    def groups(self) -> list[tuple[int, str]]:
        """Every horizon and forecaster."""
        return list(dict.fromkeys((run.horizon, run.model) for run in self.scores))

    def table(self) -> list[dict[str, Any]]:
        """Return one row a horizon and forecaster: mean, least and most of the errors over seeds."""
        rows = []
        for horizon, model in self.groups:
            runs = self.of(horizon, model)
            rows.append(
                {"horizon": horizon, "model": model, "MSE": spread([run.mse for run in runs]),
                 "MAE": spread([run.mae for run in runs]), "validation MSE": spread([run.valid_mse for run in runs]),
                 "parameters": runs[0].parameters, "chosen": runs[0].detail}
            )  # fmt: skip
        return rows

    def difference_table(self) -> list[dict[str, Any]]:
        """Return one row a horizon and other forecaster: the difference of squared errors and its interval."""
        return [
            {"horizon": horizon, "against": other, "MSE difference": f"{found.mean:+.4f}",
             f"{found.level:.0%} interval": f"{found.low:+.4f} to {found.high:+.4f}",
             "blocks": f"{found.blocks:.0f} of {found.block} windows"}
            for (horizon, other), found in self.differences.items()
        ]  # fmt: skip

    def column_table(self) -> list[dict[str, Any]]:
        """Return one row a column: the model's squared error at each horizon, mean over seeds."""
        horizons = sorted({run.horizon for run in self.scores})
        means = {h: np.mean([run.columns_mse for run in self.of(h, self.model)], axis=0) for h in horizons}
        return [
            {"column": name, **{f"MSE at {h}": f"{means[h][place]:.3f}" for h in horizons}}
            for place, name in enumerate(self.columns)
        ]

    def figure(self) -> Figure | None:
        """Draw forecasts of some test windows."""
        return example_figure(self.examples)

    def to_dict(self) -> dict[str, Any]:
        """Return what summary.json holds."""
        return {
            "model": self.model,
            "columns": list(self.columns),
            "seconds": self.seconds,
            "mean": [
                {"horizon": horizon, "model": model,
                 **{metric: float(np.mean([getattr(run, metric) for run in self.of(horizon, model)]))
                    for metric in ("mse", "mae", "valid_mse")}}
                for horizon, model in self.groups
            ],
            "differences": [
                {"horizon": horizon, "against": other, **asdict(found)}
                for (horizon, other), found in self.differences.items()
            ],
            "runs": [asdict(run) for run in self.scores],
        }  # fmt: skip


@dataclass(frozen=True)
class Forecast(TableView):
    """The rows that follow a series.

    Attributes:
        columns: Names of the C columns.
        times: (H,) timestamps carried on, or row numbers.
        values: (H, C) in the units of the file.
        past: (L, C) the rows that were seen.
        date_column: Name of the timestamps.
        zone: "+00:00" behind each timestamp where those of the file had zones, or "".
    """

    columns: tuple[str, ...]
    times: np.ndarray = field(repr=False)
    values: np.ndarray = field(repr=False)
    past: np.ndarray = field(repr=False)
    date_column: str = "date"
    zone: str = ""

    def shown_times(self) -> list[str]:
        """Return the timestamps as text: days alone where all are at midnight and there is no zone."""
        if self.times.dtype.kind != "M":
            return [str(time) for time in self.times]
        whole = not self.zone and bool((self.times == self.times.astype("datetime64[D]")).all())
        exact = bool((self.times == self.times.astype("datetime64[s]")).all())
        unit = "D" if whole else "s" if exact else "us"
        texts = np.datetime_as_string(self.times, unit=unit).tolist()  # type: ignore[call-overload]
        return [text.replace("T", " ") + self.zone for text in texts]

    def table(self) -> list[dict[str, Any]]:
        """Return one row a step: its timestamp and values."""
        return [
            {self.date_column: time, **dict(zip(self.columns, map(float, row), strict=True))}
            for time, row in zip(self.shown_times(), self.values, strict=True)
        ]

    def figure(self) -> Figure | None:
        """Draw the look-back and the forecast of each column, the first six."""
        examples = [
            Example(name, self.past[:, place], None, {"forecast": self.values[:, place]})
            for place, name in enumerate(self.columns[:_SHOWN_PANELS])
        ]
        return example_figure(examples)

    def save(self, path: str | Path) -> Path:
        """Write a .csv file: timestamps, and a column for each column.

        Raises:
            UserError: The disk is full or the place is not writable.
        """
        rows = zip(self.shown_times(), self.values, strict=True)
        lines = ([time, *(f"{value:.7g}" for value in row)] for time, row in rows)
        return write_csv(path, [self.date_column, *self.columns], lines)

    def draw(self, path: str | Path) -> Path:
        """Write the picture as .png or .svg.

        Raises:
            UserError: The disk is full or the place is not writable.
        """
        target, figure = Path(path), self.figure()
        assert figure is not None
        aside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        with told(target):
            try:
                figure.savefig(aside, format=target.suffix[1:], dpi=150)
                os.replace(aside, target)
            finally:
                aside.unlink(missing_ok=True)
        return target


@dataclass(frozen=True)
class Evaluation(TableView):
    """A forecaster on all windows of a series that it was not trained on.

    Attributes:
        columns: Names of the C columns.
        windows: How many.
        horizon: Rows ahead.
        mse: Mean squared error in z-scores of the training rows, over windows, steps and columns.
        mae: Mean absolute error.
        columns_mse: (C,) of each column.
        columns_mae: (C,) of each column.
        deviation: (C,) of the training rows, in the units of the file.
    """

    columns: tuple[str, ...]
    windows: int
    horizon: int
    mse: float
    mae: float
    columns_mse: np.ndarray = field(repr=False)
    columns_mae: np.ndarray = field(repr=False)
    deviation: np.ndarray = field(repr=False)

    def table(self) -> list[dict[str, Any]]:
        """Return a row for all columns and one for each: errors in z-scores, and the absolute one in its units."""
        whole = {"column": "all", "MSE": self.mse, "MAE": self.mae, "MAE in its units": None}
        return [whole] + [
            {"column": name, "MSE": float(mse), "MAE": float(mae), "MAE in its units": float(mae * deviation)}
            for name, mse, mae, deviation in zip(
                self.columns, self.columns_mse, self.columns_mae, self.deviation, strict=True
            )
        ]


def spread(values: Sequence[float]) -> str:
    """Return "0.379", or "0.379 (0.376 to 0.382)" of several values: the mean, the least and the most."""
    mean = f"{np.mean(values):.3f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.3f} to {max(values):.3f})"


def example_figure(examples: Sequence[Example]) -> Figure | None:
    """Draw stretches below each other; None where there are none."""
    if not examples:
        return None
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 1.2 + 1.9 * len(examples)), layout="constrained")
    panels = figure.subplots(len(examples), 1, squeeze=False)[:, 0]
    for axes, example in zip(panels, examples, strict=True):
        length = len(example.past)
        seen = example.past if example.truth is None else np.concatenate((example.past, example.truth))
        axes.plot(np.arange(1 - length, len(seen) - length + 1), seen, color="#808080", lw=1.2, label="measured")
        for number, (name, values) in enumerate(example.forecasts.items()):
            colour = COLOURS[number % len(COLOURS)]
            axes.plot(np.arange(1, len(values) + 1), values, color=colour, lw=1.4, label=name)
        axes.axvline(0.5, color="#808080", lw=0.8, ls=":")
        axes.set_title(example.title, loc="left", fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    panels[-1].set_xlabel("rows ahead")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=4, frameon=False)
    return figure
