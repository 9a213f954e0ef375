"""A trained forecaster: the rows that follow a series, and its errors on another series."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from seqsuite.errors import UserError
from seqsuite.models.create import load_model, to_device
from seqsuite.reports import TableView
from seqvision.baselines.series import score
from seqvision.data.series import Series, series_of
from seqvision.data.series_windows import Scaling, Windows
from seqvision.forecasting.one_run import network_forecast
from seqvision.forecasting.results import Evaluation, Forecast
from seqvision.models.folders import FACTS

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Forecaster(TableView):
    """A model with the columns, the scaling and the frequency it was trained on.

    Attributes:
        model: From (B, L, C) to (B, H, C), in z-scores.
        columns: Names of the C columns.
        scaling: Of the training rows.
        look_back: L.
        horizon: H, the most rows it forecasts.
        frequency: Of the training rows, in pandas' notation, or "".
        date_column: Name of the timestamps in a forecast.
    """

    model: nn.Module = field(repr=False)
    columns: tuple[str, ...]
    scaling: Scaling = field(repr=False)
    look_back: int
    horizon: int
    frequency: str = ""
    date_column: str = ""

    def table(self) -> dict[str, Any]:
        """Return what it is, by name."""
        count = sum(parameter.numel() for parameter in self.model.parameters())
        facts = {"model": type(self.model).__name__, "parameters": count, "columns": ", ".join(self.columns)}
        return facts | {"look-back": self.look_back, "horizon": self.horizon, "rows every": self.frequency or "-"}

    def forecast(self, series: Series | pd.DataFrame, *, horizon: int = 0) -> Forecast:
        """Forecast the rows that follow a series.

        Args:
            series: Its last L rows are seen; a frame needs a column, or an index, of timestamps.
            horizon: Rows to forecast, at most H; 0: H.

        Raises:
            UserError: A column is missing, there are fewer than L rows, another frequency, or too long a horizon.
        """
        known = self._taken(series)
        rows = horizon or self.horizon
        if not 1 <= rows <= self.horizon:
            raise UserError(f"--horizon {rows}: this model forecasts {self.horizon} rows at most")
        if len(known) < self.look_back:
            raise UserError(
                f"{known.source}: holds {len(known)} rows; the model looks back over {self.look_back}, give as many"
            )
        past = known.values[-self.look_back :]
        scaled = self.scaling.forward(past).astype(np.float32)[None]
        found = self.scaling.inverse(network_forecast(self.model)(scaled)[0].astype(np.float64))[:rows]
        name = known.date_column or ("row" if known.times is None else self.date_column)
        return Forecast(self.columns, known.following(rows), found, past, name, known.zone)

    def evaluate(self, series: Series | pd.DataFrame) -> Evaluation:
        """Score the forecasts of every window of a series.

        Args:
            series: In the units of the training.

        Raises:
            UserError: As `forecast`, or the series holds no window.
        """
        known = self._taken(series)
        scaled = self.scaling.forward(known.values)
        windows = Windows(
            scaled, (0, len(known)), look_back=self.look_back, horizon=self.horizon, source=known.source
        )  # fmt: skip
        found = score(network_forecast(self.model), windows)
        return Evaluation(
            self.columns,
            len(windows),
            self.horizon,
            found.mse,
            found.mae,
            found.columns_mse,
            found.columns_mae,
            self.scaling.deviation,
        )

    def _taken(self, series: Series | pd.DataFrame) -> Series:
        """Return the columns of the training, having compared the frequency."""
        known = series if isinstance(series, Series) else series_of(series, columns=self.columns)
        known = known.select(self.columns)
        fitting = known.at(self.frequency) if self.frequency else known
        if fitting is None:
            raise UserError(
                f"{known.source}: its rows are every {known.frequency}, the model was trained on every {self.frequency}"
            )
        return fitting


def load_forecaster(run: str | os.PathLike[str], *, horizon: int = 0, device: str = "cpu") -> Forecaster:
    """Load a forecaster.

    Args:
        run: A run folder of `seqvision forecast-train`, or the folder of one of its models.
        horizon: Rows that it shall forecast: the model of the next longer horizon is taken; 0: of the longest.
        device: Where it runs.

    Raises:
        UserError: There is none, it is damaged, or none forecasts so far.
    """
    folder = _model_folder(Path(os.path.expanduser(run)), horizon)
    path = folder / FACTS
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        columns = tuple(str(name) for name in values["columns"])
        scaling = Scaling(*(np.array(values[name], dtype=np.float64) for name in ("mean", "deviation")))
        sizes = {name: int(values[name]) for name in ("look_back", "horizon")}
        texts = {name: str(values[name]) for name in ("frequency", "date_column")}
    except (ValueError, KeyError, TypeError, OSError):
        raise UserError(f"{path}: damaged; it names the columns of the training and their scaling") from None
    model: Any = load_model(folder)
    expected = (sizes["look_back"], sizes["horizon"], len(columns))
    if tuple(getattr(model.config, name, None) for name in ("look_back", "horizon", "channels")) != expected:
        raise UserError(f"{path}: does not fit the model beside it (look-back, horizon, columns: {expected})")
    if scaling.mean.shape != (len(columns),) or scaling.deviation.shape != (len(columns),):
        raise UserError(f"{path}: damaged; mean and deviation must have {len(columns)} numbers")
    to_device(model, device)
    look_back, length = sizes["look_back"], sizes["horizon"]
    return Forecaster(model, columns, scaling, look_back, length, texts["frequency"], texts["date_column"])


def _model_folder(folder: Path, horizon: int) -> Path:
    """Return the folder of the model that forecasts so far."""
    if (folder / FACTS).is_file():
        return folder
    folder = folder / "model" if (folder / "model").is_dir() else folder
    if (folder / FACTS).is_file():
        return folder
    there = {
        int(found[1]): each
        for each in (sorted(folder.iterdir()) if folder.is_dir() else ())
        if (found := re.fullmatch(r"h(\d+)", each.name)) and (each / FACTS).is_file()
    }
    if not there:
        raise UserError(f"{folder}: holds no forecaster; give a finished run folder of seqvision forecast-train")
    fitting = [known for known in there if known >= horizon]
    if not fitting:
        raise UserError(f"--horizon {horizon}: the longest that {folder.parent} was trained for is {max(there)}")
    return there[min(fitting) if horizon else max(there)]
