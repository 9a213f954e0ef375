"""The training task: area-weighted squared error of the forecast, in units of the anomalies' deviation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from seqsuite.training import Scores, Task
from seqvision.configs.weather_train import WeatherTrainConfig
from seqvision.models.dense_weather import WeatherModel
from seqvision.weather.scores import area_weights


class WeatherTask(Task):
    """Forecast fields; metrics `loss` and the RMSE of each variable (`rmse_UWND`), as WeatherBench 2 has it.

    Args:
        model: With its statistics set.
        config: The run's options.
    """

    unit = "cells"
    area: Tensor

    def __init__(self, model: WeatherModel, config: WeatherTrainConfig) -> None:
        super().__init__(model, config)
        weights = torch.from_numpy(area_weights(model.latitude.numpy())).float()
        self.register_buffer("area", weights[:, None], persistent=False)

    def training_scores(self, batch: Any) -> Scores:
        """Score a batch of `seqvision.weather.inputs.Forecasts`."""
        model: Any = self.model
        found = model.anomaly_forecast(batch["fields"], batch["phases"], batch["target_phase"])
        target = batch["truth"] - model.climatology[batch["target_phase"]]
        known = torch.isfinite(target)
        error = (found.float() - torch.where(known, target, found.float())) / model.scale[:, None, None]
        weights = known * self.area  # (B, C, H, W)
        squares = (error.square() * weights).sum((-2, -1)) / weights.sum((-2, -1)).clamp(min=1e-9)  # (B, C)
        totals: dict[str, tuple[Tensor | float, Tensor | float]] = {
            f"rmse_{name}": ((squares[:, number].detach() * model.scale[number] ** 2).sum(), len(squares))
            for number, name in enumerate(model.config.variables)
        }
        loss = squares.mean()
        return Scores(loss, {"loss": (loss.detach() * len(squares), len(squares)), **totals}, tokens=found.numel())

    def finish(self, metrics: dict[str, float]) -> dict[str, float]:
        """Take the roots of the mean squares."""
        return {name: value**0.5 if name.startswith("rmse_") else value for name, value in metrics.items()}
