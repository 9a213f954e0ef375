"""What notebooks import of forecasting: load a trained forecaster, forecast, evaluate.

forecaster = load_forecaster("runs/etth1", horizon=96)
found = forecaster.forecast(frame)          # a pandas frame, or what `read_series` returns
found.table(); found.figure(); found.save("forecast.csv")
evaluate("runs/etth1", "another.csv").table()
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeAlias

from seqvision.data.series import Series, read_series, series_of
from seqvision.forecasting.forecaster import Forecaster, load_forecaster
from seqvision.forecasting.results import Evaluation, Forecast

if TYPE_CHECKING:
    import pandas as pd

Source: TypeAlias = "str | os.PathLike[str] | Series | pd.DataFrame"

__all__ = ["Evaluation", "Forecast", "Forecaster", "evaluate", "forecast", "load_forecaster"]


def _opened(source: Source, forecaster: Forecaster, date_column: str) -> Series:
    if isinstance(source, Series):
        return source
    read = read_series if isinstance(source, (str, os.PathLike)) else series_of
    return read(source, date_column=date_column, columns=forecaster.columns)


def forecast(
    run: str | os.PathLike[str] | Forecaster,
    source: Source,
    *,
    horizon: int = 0,
    date_column: str = "",
    device: str = "cpu",
) -> Forecast:
    """Forecast the rows that follow a series.

    Args:
        run: A run folder of `seqvision forecast-train`, one of its models, or a loaded forecaster.
        source: A file, a frame, or a series.
        horizon: Rows to forecast; 0: as many as the run can.
        date_column: The column of timestamps of a file or a frame; found by its name or its values if not given.
        device: Where a forecaster that is not loaded yet runs.

    Raises:
        UserError: The run, or the series does not fit it.
    """
    known = run if isinstance(run, Forecaster) else load_forecaster(run, horizon=horizon, device=device)
    return known.forecast(_opened(source, known, date_column), horizon=horizon)


def evaluate(
    run: str | os.PathLike[str] | Forecaster,
    source: Source,
    *,
    horizon: int = 0,
    date_column: str = "",
    device: str = "cpu",
) -> Evaluation:
    """Score a forecaster on every window of a series; arguments and errors as of `forecast`.

    A horizon chooses the model; its whole horizon is scored.
    """
    known = run if isinstance(run, Forecaster) else load_forecaster(run, horizon=horizon, device=device)
    return known.evaluate(_opened(source, known, date_column))
