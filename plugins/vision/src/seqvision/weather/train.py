"""`weather_train`: train a forecast, and measure it on the last steps beside simple forecasts."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch

import seqsuite
from seqsuite.errors import UserError
from seqsuite.models import model_config
from seqsuite.training import FitResult, Interrupted, RunFolder, fit, say, seed_everything
from seqsuite.training.run_folder import process_rank
from seqvision.configs.dense import WeatherModelConfig
from seqvision.configs.weather_train import WeatherTrainConfig
from seqvision.data.gridded import Grid
from seqvision.data.gridded_times import shown_time
from seqvision.models.dense_weather import WeatherModel
from seqvision.weather.baselines import anomaly_terms
from seqvision.weather.inputs import (
    Forecasts,
    Split,
    Statistics,
    model_overrides,
    read_grid,
    split_steps,
    statistics_of,
)
from seqvision.weather.results import TrainedForecast, write_run
from seqvision.weather.scores import ForecastScores, score
from seqvision.weather.task import WeatherTask

CLIMATOLOGY, PERSISTENCE, DAMPED, LINEAR = "climatology", "persistence", "damped persistence", "cell regression"


@dataclass(frozen=True)
class Inputs:
    """What a run works on.

    Attributes:
        grid: The fields.
        phases: (T,) phases of the year.
        split: Target steps of each part.
        statistics: Of the training part.
        config: Of the model.
    """

    grid: Grid
    phases: np.ndarray
    split: Split
    statistics: Statistics
    config: WeatherModelConfig


def open_inputs(config: WeatherTrainConfig) -> Inputs:
    """Read the grid, split it and compute the statistics.

    Raises:
        UserError: The file, the split or the model's options; one line.
    """
    known = model_config(config.model)
    if not isinstance(known, WeatherModelConfig):
        raise UserError(f"--model {config.model} is no forecast of grids; give weather_debug or weather_vit_debug")
    grid = read_grid(config)
    settled = model_config(config.model, **model_overrides(config, grid))
    assert isinstance(settled, WeatherModelConfig)
    back = settled.steps_back
    split = split_steps(
        len(grid), valid=config.valid, test=config.test, back=back, lead=config.lead, source=grid.source
    )
    phases = grid.phases(config.climatology)
    statistics = statistics_of(grid, phases, split, settled, config)
    return Inputs(grid, phases, split, statistics, settled)


def make_model(config: WeatherTrainConfig, inputs: Inputs) -> WeatherModel:
    """Build the model and give it the statistics."""
    model = seqsuite.create_model(config.model, **model_overrides(config, inputs.grid))
    assert isinstance(model, WeatherModel)
    arrays = {name: getattr(inputs.statistics, name) for name in ("climatology", "scale", "linear")}
    arrays |= {"latitude": inputs.grid.latitude, "longitude": inputs.grid.longitude}
    model.set_statistics(**{name: torch.from_numpy(array).float() for name, array in arrays.items()})
    return model


def weather_train(config: WeatherTrainConfig) -> TrainedForecast | None:
    """Train a forecast, measure it beside the simple ones, write the run folder.

    Returns:
        The result; None where the run is not complete (`max_minutes`) or in the further processes of a distributed
        run.

    Raises:
        UserError: The file, an option or the run folder; one line says what to do.
        Interrupted: Ctrl-C; the state was saved.
    """
    began = time.monotonic()
    if config.threads:
        torch.set_num_threads(config.threads)
    inputs = open_inputs(config)
    fingerprints = {"grid": inputs.grid.fingerprint()}
    with RunFolder(config.out).claim(config, fingerprints):
        pass  # `fit` claims it for good; a folder that is refused is the first thing to say
    seed_everything(config.seed)
    model = make_model(config, inputs)
    say(_description(inputs, model))
    train, valid = samples(inputs, inputs.split.train, seed=config.seed), None
    if len(inputs.split.valid):
        valid = samples(inputs, inputs.split.valid)
    export = "best" if valid is not None else "last"
    done = fit(WeatherTask(model, config), train, valid, config, inputs=fingerprints, export=export, report=False)  # type: ignore[arg-type]
    if process_rank() != 0:
        return None
    if done.reason != "finished":
        say(f"stopped after {done.steps} of {config.steps} steps; go on with --resume")
        return None
    try:
        result = _measured(config, inputs, model, done, began)
    except KeyboardInterrupt:
        raise Interrupted(f"stopped while measuring; the model is in {done.model}, --resume measures it") from None
    write_run(result, source=config.file)
    return result


def _measured(
    config: WeatherTrainConfig, inputs: Inputs, model: WeatherModel, done: FitResult, began: float
) -> TrainedForecast:
    """Score the model and the simple forecasts on the test and on the validation."""
    parts = {"test": inputs.split.test, "valid": inputs.split.valid}
    scores = {name: measure(inputs, model, targets) for name, targets in parts.items() if len(targets)}
    variables = inputs.grid.variables
    return TrainedForecast(
        folder=done.folder,
        model=config.model,
        parameters=model.num_parameters(),
        steps=done.steps,
        seconds=time.monotonic() - began,
        lead=config.lead,
        variables=variables,
        units=inputs.grid.units,
        scores=scores["test"],
        valid_scores=scores.get("valid", ()),
        parts={name: _span(inputs.grid, getattr(inputs.split, name)) for name in ("train", "valid", "test")},
        example=_example(inputs, model),
    )


def samples(inputs: Inputs, targets: np.ndarray, *, seed: int | None = None) -> Forecasts:
    """Return the samples of these targets; in order without a seed."""
    config = inputs.config
    return Forecasts(inputs.grid.values, inputs.phases, targets, back=config.steps_back, lead=config.lead, seed=seed)


@torch.no_grad()
def model_forecasts(model: WeatherModel, data: Forecasts, *, batch: int = 8) -> np.ndarray:
    """Return the model's forecasts (N, C, H, W) of all targets, in order."""
    model.eval()
    device = model.climatology.device
    rows = [data[number] for number in range(len(data))]
    found = []
    for first in range(0, len(rows), batch):
        part = rows[first : first + batch]
        given = (torch.stack([row[name] for row in part]).to(device) for name in ("fields", "phases", "target_phase"))
        found.append(model(*given).cpu().numpy())
    return np.concatenate(found)


def measure(inputs: Inputs, model: WeatherModel, targets: np.ndarray) -> tuple[ForecastScores, ...]:
    """Score the simple forecasts and the model at these targets, each on the same cells."""
    grid, phases, found = inputs.grid, inputs.phases, inputs.statistics
    truth = grid.values[targets]
    climatology = found.climatology[phases[targets]]
    starts = targets - inputs.config.lead
    filled = np.nan_to_num(grid.values - found.climatology[phases], nan=0.0)
    terms = anomaly_terms(filled, starts, inputs.config.mean_history)
    # A missing cell is no anomaly: persistence of it is the climatology at its own time, carried on.
    carried = filled[starts] + found.climatology[phases[starts]]
    forecasts = {
        CLIMATOLOGY: climatology,
        PERSISTENCE: carried,
        DAMPED: climatology + (found.damped * terms[:, :1]).sum(1),
        LINEAR: climatology + (found.linear * terms).sum(1),
        "model": model_forecasts(model, samples(inputs, targets)),
    }
    return tuple(
        score(name, forecast, truth, climatology, grid.latitude, grid.variables) for name, forecast in forecasts.items()
    )


def _example(inputs: Inputs, model: WeatherModel) -> dict[str, np.ndarray | str]:
    """Return the last test step for a figure: truth, climatology and forecast of the first variable."""
    target = inputs.split.test[-1:]
    maps = {
        "truth": inputs.grid.values[target],
        "climatology": inputs.statistics.climatology[inputs.phases[target]],
        "forecast": model_forecasts(model, samples(inputs, target)),
    }
    place = {"latitude": inputs.grid.latitude, "longitude": inputs.grid.longitude}
    return (
        {name: array[0, 0] for name, array in maps.items()} | place | {"time": shown_time(inputs.grid.times[target[0]])}
    )


def _span(grid: Grid, targets: np.ndarray) -> dict[str, object]:
    if not len(targets):
        return {"steps": 0, "first": "", "last": ""}
    first, last = (shown_time(grid.times[targets[place]]) for place in (0, -1))
    return {"steps": len(targets), "first": first, "last": last}


def _description(inputs: Inputs, model: WeatherModel) -> str:
    split = inputs.split
    parts = (
        f"{len(split.train)} targets for training, {len(split.valid)} for validation, {len(split.test)} for the test"
    )
    size = "x".join(map(str, inputs.grid.size))
    return f"grid: {len(inputs.grid)} steps of {size}, {parts}; model: {model.num_parameters():,} parameters"
