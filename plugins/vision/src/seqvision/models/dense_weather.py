"""A forecast of a gridded field: climatology, a linear forecast of its anomaly in each cell, and a correction.

    a_s = x_s - climatology(phase of s)                         anomalies of the steps that are known
    linear = r_1 a_last + r_2 mean(a of the latest steps)       coefficients of each cell, from training
    forecast = climatology(phase of the target) + linear + scale * network(anomalies / scale, place, season)

The network is a `DenseModel` whose last layer starts at zero: an untrained model is the linear forecast. Months of
reanalysis are few and their anomalies mostly noise; what a network learns beyond the linear forecast is small. All
that comes from training data lies in buffers and goes into the export. A cell that training never saw is NaN in the
climatology, counts as no anomaly, and is NaN in the forecast.

    forecast = model(fields, phases, target)      # (B, S, C, H, W), (B, S), (B,) -> (B, C, H, W)
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from seqsuite.models.base import Model
from seqvision.configs.dense import WeatherModelConfig
from seqvision.models.dense import DenseModel


class WeatherModel(Model):
    """Forecasts of fields; see the module and `WeatherModelConfig`. `set_statistics` must be called before training.

    Attributes:
        climatology: (P, C, H, W), P phases of the year.
        scale: (C,), the deviation of anomalies.
        linear: (K, C, H, W), the coefficients of the last anomaly and of the mean.
        latitude: (H,) degrees.
        longitude: (W,) degrees.
        network: The correction, or None.
    """

    config: WeatherModelConfig
    climatology: Tensor
    scale: Tensor
    linear: Tensor
    latitude: Tensor
    longitude: Tensor

    def __init__(self, config: WeatherModelConfig) -> None:
        super().__init__(config)
        count, (height, width) = len(config.variables), config.size
        terms = 1 + bool(config.mean_history)
        self.register_buffer("climatology", torch.zeros(config.phases, count, height, width))
        self.register_buffer("scale", torch.ones(count))
        self.register_buffer("linear", torch.zeros(terms, count, height, width))
        self.register_buffer("latitude", torch.zeros(height))
        self.register_buffer("longitude", torch.zeros(width))
        self.network = DenseModel(config) if config.correct else None

    @torch.no_grad()
    def set_statistics(self, **values: Tensor) -> None:
        """Take over what was computed from the training steps: the attributes of the class, by name.

        Raises:
            ValueError: A name or a shape is not the model's.
        """
        for name, value in values.items():
            known = getattr(self, name)
            if not isinstance(known, Tensor) or known.shape != value.shape:
                raise ValueError(f"{name} {tuple(value.shape)} does not fit this model")
            known.copy_(value)

    def anomalies(self, fields: Tensor, phases: Tensor) -> Tensor:
        """Return fields (..., C, H, W) of phases (...) less the climatology; zero where either is missing."""
        return torch.nan_to_num(fields - self.climatology[phases], nan=0.0)

    def linear_forecast(self, anomalies: Tensor) -> Tensor:
        """Return the linear forecast (B, C, H, W) of the anomaly from those (B, S, C, H, W) that are known."""
        out = self.linear[0] * anomalies[:, -1]
        if self.config.mean_history:
            out = out + self.linear[1] * anomalies[:, -self.config.mean_history :].mean(1)
        return out

    def inputs(self, anomalies: Tensor, target: Tensor) -> Tensor:
        """Return the network's input (B, in_chans, H, W)."""
        config, rows = self.config, len(anomalies)
        scaled = anomalies / self.scale[:, None, None]
        maps = [scaled[:, -config.history :].flatten(1, 2)]
        if config.mean_history:
            maps.append(scaled[:, -config.mean_history :].mean(1))
        height, width = config.size
        south, east = torch.deg2rad(self.latitude)[:, None], torch.deg2rad(self.longitude)[None]
        place = [south.sin(), south.cos(), east.sin(), east.cos()]
        maps.append(torch.stack([one.expand(height, width) for one in place]).expand(rows, -1, -1, -1))
        angle = 2 * math.pi * target.to(scaled.dtype) / config.phases
        season = torch.stack((angle.sin(), angle.cos()), 1)  # (B, 2)
        maps.append(season[:, :, None, None].expand(-1, -1, height, width))
        return torch.cat(maps, 1)

    def anomaly_forecast(self, fields: Tensor, phases: Tensor, target: Tensor) -> Tensor:
        """Return the forecast anomaly (B, C, H, W); arguments as of `forward`."""
        known = self.anomalies(fields, phases)
        out = self.linear_forecast(known)
        if self.network is None:
            return out
        correction = self.network(self.inputs(known, target))
        return out + self.scale[:, None, None] * correction.to(out.dtype)

    def forward(self, fields: Tensor, phases: Tensor, target: Tensor) -> Tensor:  # type: ignore[override]
        """Return the forecast (B, C, H, W).

        Args:
            fields: (B, S, C, H, W), the latest S = `config.steps_back` steps, oldest first.
            phases: (B, S) int64, their phases of the year, from 0.
            target: (B,) int64, the phase of the step that is forecast.
        """
        return self.climatology[target] + self.anomaly_forecast(fields, phases, target)
