"""One forecaster at one horizon: train or fit it, choose on validation windows, score the test windows once.

`result.json` marks a run as done; `windows.npz` beside it holds its errors of each test window and some forecasts.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import seqsuite
from seqsuite.errors import UserError
from seqsuite.models import model_config
from seqsuite.models.configs import ModelConfig
from seqsuite.training import RunFolder, fit, seed_everything
from seqsuite.training.run_folder import told, write_json
from seqvision.baselines.series import Forecast, choose_season, fit_ridge, last_value, score, seasonal_naive
from seqvision.baselines.series_networks import NETWORKS
from seqvision.configs.forecast_train import ForecastTrainConfig
from seqvision.data.series import Series
from seqvision.data.series_times import seasons_of
from seqvision.data.series_windows import Scaling, Splits, Windows
from seqvision.forecasting.batches import WindowBatches
from seqvision.forecasting.results import LAST, RIDGE, SEASON, RunScores
from seqvision.forecasting.task import ForecastTask

EXAMPLES = 3
"""Test windows whose forecasts are kept for the picture."""
_OURS = ("look_back", "horizon", "channels")


@dataclass(frozen=True)
class Data:
    """A series, divided and scaled.

    Attributes:
        series: As the file has it.
        splits: Its rows.
        scaling: Measured on the training rows.
        scaled: (T, C) float32.
    """

    series: Series
    splits: Splits
    scaling: Scaling
    scaled: np.ndarray = field(repr=False)

    def windows(self, split: str, look_back: int, horizon: int) -> Windows:
        """Return the windows of train, valid or test.

        Raises:
            UserError: There are none.
        """
        rows, source = getattr(self.splits, split), self.series.source
        return Windows(self.scaled, rows, look_back=look_back, horizon=horizon, source=source, split=split)


@dataclass(frozen=True)
class Job:
    """What one run works on.

    Attributes:
        folder: Its folder.
        config: The command's options.
        data: The series.
        horizon: H.
        seed: Of the run.
    """

    folder: Path
    config: ForecastTrainConfig
    data: Data = field(repr=False)
    horizon: int
    seed: int

    @functools.cached_property
    def train(self) -> Windows:
        """Training windows."""
        return self.data.windows("train", self.config.look_back, self.horizon)

    @functools.cached_property
    def valid(self) -> Windows:
        """Validation windows."""
        return self.data.windows("valid", self.config.look_back, self.horizon)

    @functools.cached_property
    def test(self) -> Windows:
        """Test windows."""
        return self.data.windows("test", self.config.look_back, self.horizon)

    @property
    def facts(self) -> dict[str, Any]:
        """What a forecaster must know of the series."""
        data, series = self.data, self.data.series
        return {
            "columns": list(series.names),
            "mean": data.scaling.mean.tolist(),
            "deviation": data.scaling.deviation.tolist(),
            "frequency": series.frequency,
            "date_column": series.date_column,
            "look_back": self.config.look_back,
            "horizon": self.horizon,
            "source": series.label,
            "split": data.splits.name,
        }


def series_model(config: ForecastTrainConfig, *, horizon: int, channels: int) -> ModelConfig:
    """Return the config of the model for a horizon.

    Raises:
        UserError: There is no such model, it forecasts no series, or an option is wrong.
    """
    for name in _OURS:
        if name in config.model_options:
            raise UserError(f"--model_options.{name}: is set by --look_back, --horizons and the file's columns")
    known = model_config(config.model)
    if not all(hasattr(known, name) for name in _OURS):
        raise UserError(f"--model {config.model} forecasts no series; give simba_series_small or simba_series_debug")
    sizes = {"look_back": config.look_back, "horizon": horizon, "channels": channels}
    return model_config(config.model, **config.model_options, **sizes)


def done_before(job: Job) -> RunScores | None:
    """Return the scores of a run that an earlier start finished."""
    try:
        return RunScores.from_dict(json.loads((job.folder / "result.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def run_model(job: Job) -> RunScores | None:
    """Train and score the model; None where it was stopped by `max_minutes`."""
    config = job.config

    def build() -> nn.Module:
        sizes = {"look_back": config.look_back, "horizon": job.horizon, "channels": job.train.channels}
        return seqsuite.create_model(config.model, **config.model_options, **sizes)

    return run_network(
        job, config.model, build, epochs=config.epochs, steps=config.steps, lr=config.lr, loss=config.loss
    )


def run_linear(job: Job, name: str) -> RunScores | None:
    """Train and score DLinear or NLinear by the same trainer, on the squared error; None where it was stopped."""
    config = job.config
    steps = max(1, round(config.steps * config.linear_epochs / config.epochs)) if config.steps else 0
    job = dataclasses.replace(job, config=dataclasses.replace(config, weight_decay=0.0, checkpoint_activations=False))
    build = functools.partial(NETWORKS[name], config.look_back, job.horizon)
    return run_network(job, name, build, epochs=config.linear_epochs, steps=steps, lr=config.linear_lr, loss="mse")


def run_network(
    job: Job, name: str, build: Callable[[], nn.Module], *, epochs: float, steps: int, lr: float, loss: str
) -> RunScores | None:
    """Train and score a network with the weights of its best validation; None where it was stopped.

    Args:
        job: What to work on.
        name: Of the model.
        build: Makes the network.
        epochs: Passes over the training windows, where `steps` is 0.
        steps: Steps.
        lr: Learning rate.
        loss: What is minimised.
    """
    began = time.monotonic()
    config = _options(job, epochs=epochs, steps=steps, lr=lr)
    seed_everything(job.seed)
    model = build()
    task = ForecastTask(model, config, facts=job.facts, loss=loss)
    train, valid = WindowBatches(job.train, job.seed), WindowBatches(job.valid)
    inputs = {"series": job.data.series.fingerprint()}
    done = fit(task, train, valid, config, export="best", inputs=inputs, report=False)
    if done.reason != "finished":
        return None
    wanted = config.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    forecast = network_forecast(model.to("cuda" if wanted else "cpu"))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return _measured(job, name, forecast, steps=done.steps, parameters=parameters, began=began)


def network_forecast(model: nn.Module, *, batch: int = 256) -> Forecast:
    """Return a network as a function of arrays (n, L, C), in evaluation mode, `batch` windows at once."""

    def forecast(past: np.ndarray) -> np.ndarray:
        device = next(model.parameters()).device
        training = model.training
        model.eval()
        try:
            with torch.inference_mode():
                parts = torch.from_numpy(np.ascontiguousarray(past)).split(batch)
                return torch.cat([model(part.to(device)).float().cpu() for part in parts]).numpy()
        finally:
            model.train(training)

    return forecast


def _options(job: Job, *, epochs: float, steps: int, lr: float) -> ForecastTrainConfig:
    config, count = job.config, len(job.train)
    batch = min(config.batch_size, count)
    batch -= batch % config.accumulate if batch > config.accumulate else 0
    epoch = max(1, math.ceil(count / batch))
    return dataclasses.replace(
        config,
        steps=steps or max(1, round(epochs * epoch)),
        batch_size=batch,
        lr=lr,
        seed=job.seed,
        validate_every=config.validate_every or epoch,
        out=str(job.folder),
        overwrite=False,
        resume=config.resume and RunFolder(job.folder).holds_run,
        horizons=(job.horizon,),
        seeds=1,
    )


def seasons_within(config: ForecastTrainConfig, data: Data) -> tuple[int, ...]:
    """Return the rows of the seasons that lie within the look-back."""
    known = (config.season,) if config.season else seasons_of(data.series.frequency)
    return tuple(rows for rows in known if rows <= config.look_back)


def run_fixed(job: Job, name: str) -> RunScores:
    """Fit and score what needs no gradient."""
    began = time.monotonic()
    forecast, detail, parameters = _fixed(job, name)
    with told(job.folder):
        job.folder.mkdir(parents=True, exist_ok=True)
    return _measured(job, name, forecast, steps=0, parameters=parameters, began=began, detail=detail)


def _fixed(job: Job, name: str) -> tuple[Forecast, str, int]:
    if name == LAST:
        return last_value(job.horizon), "", 0
    if name == RIDGE:
        ridge = fit_ridge(job.train, job.valid)
        return ridge.forecast, f"penalty {ridge.penalty:g}", ridge.weight.size + ridge.bias.size
    period = choose_season(job.valid, seasons_within(job.config, job.data))
    assert period is not None, "there is no season to repeat"
    return seasonal_naive(job.horizon, period), f"season {period}", 0


FIXED = (LAST, SEASON, RIDGE)
"""What needs neither a seed nor a gradient."""


def _measured(
    job: Job, name: str, forecast: Forecast, *, steps: int, parameters: int, began: float, detail: str = ""
) -> RunScores:
    """Score the validation and the test windows, and mark the run as done."""
    valid, test = score(forecast, job.valid), score(forecast, job.test)
    shown = np.unique(np.linspace(0, len(job.test) - 1, EXAMPLES).round().astype(int))
    found = forecast(job.test.arrays(shown)[0])
    kept = {"mse": test.windows_mse, "mae": test.windows_mae, "steps_mse": test.steps_mse, "examples": found}
    _write_arrays(job.folder / "windows.npz", kept)
    result = RunScores(
        name=job.folder.name,
        model=name,
        horizon=job.horizon,
        seed=job.seed,
        mse=test.mse,
        mae=test.mae,
        valid_mse=valid.mse,
        valid_mae=valid.mae,
        columns_mse=tuple(test.columns_mse.tolist()),
        columns_mae=tuple(test.columns_mae.tolist()),
        windows=(len(job.train), len(job.valid), len(job.test)),
        detail=detail,
        steps=steps,
        parameters=parameters,
        seconds=time.monotonic() - began,
    )
    write_json(job.folder / "result.json", dataclasses.asdict(result))
    return result


def _write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with told(path):
        with open(aside, "wb") as file:
            plain: Any = {name: array.astype(np.float32) for name, array in arrays.items()}
            np.savez(file, **plain)
        os.replace(aside, path)
