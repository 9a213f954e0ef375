"""Forecasts of gridded fields: `weather_train` measures a model beside simple forecasts, `forecast` uses it.

    from seqvision.weather import forecast, weather_train
    trained = weather_train(WeatherTrainConfig("winds.nc", variables=("UWND", "VWND")))
    ahead = forecast(WeatherConfig("runs/weather", "winds.nc"))

The names load torch on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqvision.weather.baselines import cell_regression, climatology_of
    from seqvision.weather.forecasting import forecast
    from seqvision.weather.results import Forecast, TrainedForecast
    from seqvision.weather.scores import area_weights, rmse, skill_interval
    from seqvision.weather.train import weather_train

__all__ = [
    "Forecast",
    "TrainedForecast",
    "area_weights",
    "cell_regression",
    "climatology_of",
    "forecast",
    "rmse",
    "skill_interval",
    "weather_train",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "baselines": ["climatology_of", "cell_regression"],
        "forecasting": ["forecast"],
        "results": ["Forecast", "TrainedForecast"],
        "scores": ["area_weights", "rmse", "skill_interval"],
        "train": ["weather_train"],
    },
)
