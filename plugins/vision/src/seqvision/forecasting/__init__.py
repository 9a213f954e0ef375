"""Long-horizon forecasting: training beside simple models, and forecasts of new rows.

from seqvision.forecasting import forecast_train, load_forecaster
result = forecast_train(ForecastTrainConfig("ETTh1.csv.gz", out="runs/etth1"))
load_forecaster("runs/etth1").forecast("new.csv").save("forecast.csv")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqvision.forecasting.api import evaluate, forecast, load_forecaster
    from seqvision.forecasting.forecaster import Forecaster
    from seqvision.forecasting.results import Evaluation, Forecast, ForecastTrainResult, RunScores
    from seqvision.forecasting.run import forecast_train

__all__ = [
    "Evaluation",
    "Forecast",
    "ForecastTrainResult",
    "Forecaster",
    "RunScores",
    "evaluate",
    "forecast",
    "forecast_train",
    "load_forecaster",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "api": ["evaluate", "forecast", "load_forecaster"],
        "forecaster": ["Forecaster"],
        "results": ["Evaluation", "Forecast", "ForecastTrainResult", "RunScores"],
        "run": ["forecast_train"],
    },
)
