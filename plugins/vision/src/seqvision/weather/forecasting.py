"""`forecast`: forecasts of a file with a trained model, written as netCDF with a map of the last one."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seqsuite.errors import UserError
from seqsuite.models.create import load_model, to_device
from seqsuite.training.run_folder import told
from seqvision.configs.weather import WeatherConfig
from seqvision.data.gridded import Grid, open_grid
from seqvision.data.gridded_times import PHASES, UNEVEN, later, phases_of
from seqvision.models.dense_weather import WeatherModel
from seqvision.models.folders import model_folder
from seqvision.weather.inputs import Forecasts
from seqvision.weather.results import Forecast
from seqvision.weather.scores import ForecastScores, score

if TYPE_CHECKING:
    import xarray

_PICTURES = (".png", ".svg", ".pdf")
_NEAR = 1e-2
"""Degrees by which the same place may differ from file to file."""


def load_forecaster(source: str | Path, *, device: str = "cpu") -> WeatherModel:
    """Load a weather model from a run folder or a model folder.

    Raises:
        UserError: There is no model, it is another kind of model, or the device cannot be used.
    """
    path = Path(source).expanduser()
    model = load_model(model_folder(path, "weather-train"))
    if not isinstance(model, WeatherModel):
        raise UserError(f"{path} holds a {type(model).__name__}, which forecasts no grids; see weather-train")
    to_device(model, device)
    return model


def forecast(config: WeatherConfig, model: WeatherModel | None = None) -> Forecast:
    """Forecast what the options say, write the netCDF file and the map.

    Args:
        config: The options.
        model: The model, where it is loaded already.

    Raises:
        UserError: The model, the file or an output; one line names it.
    """
    out = Path(config.out).expanduser()
    picture = Path(config.picture).expanduser() if config.picture else out.with_suffix(".png")
    _check_outputs(out, picture, Path(config.file).expanduser(), overwrite=config.overwrite)
    model = model or load_forecaster(config.run, device=config.device)
    known = model.config
    grid = open_grid(config.file, known.variables, select=config.select, missing=config.missing)
    grid = fitting(model, grid)
    targets = np.arange(known.steps_back - 1 + known.lead, len(grid) + known.lead)
    if not len(targets):
        raise UserError(f"{grid.source}: holds {len(grid)} steps; the model looks back {known.steps_back}")
    targets = targets[-1:] if config.starts == "last" else targets
    result = _run(model, grid, targets, out, picture)
    _write(result, grid)
    return result


def _run(model: WeatherModel, grid: Grid, targets: np.ndarray, out: Path, picture: Path) -> Forecast:
    """Forecast the targets, steps of the file or up to `lead` beyond its end, and score those that it holds."""
    from seqvision.weather.train import model_forecasts

    config, kind = model.config, next(name for name, count in PHASES.items() if count == model.config.phases)
    starts = targets - config.lead
    # Times of targets: those of the file, then the ones that follow.
    times = np.concatenate((grid.times, later(grid.times, config.lead)[-config.lead :]))
    phases = phases_of(times, kind)
    blank = np.full((config.lead, *grid.values.shape[1:]), np.nan, np.float32)
    values = np.concatenate((grid.values, blank))
    found = model_forecasts(
        model, Forecasts(values, phases, targets, back=config.steps_back, lead=config.lead, seed=None)
    )
    climatology = model.climatology.cpu().numpy()
    return Forecast(
        out=out,
        picture=picture,
        variables=config.variables,
        units=grid.units,
        lead=config.lead,
        starts=grid.times[starts],
        times=times[targets],
        values=found,
        anomaly=found[-1] - climatology[phases[targets[-1]]],
        latitude=grid.latitude,
        longitude=grid.longitude,
        scores=_scores(grid, climatology, phases, targets, found, config.lead),
    )


def _scores(
    grid: Grid, climatology: np.ndarray, phases: np.ndarray, targets: np.ndarray, found: np.ndarray, lead: int
) -> tuple[ForecastScores, ...]:
    inside = targets < len(grid)
    if not inside.any():
        return ()
    steps = targets[inside]
    truth, usual = grid.values[steps], climatology[phases[steps]]
    # As in training: a missing cell is no anomaly, so that all are scored on the same cells.
    before = climatology[phases[steps - lead]]
    latest = np.where(np.isfinite(grid.values[steps - lead]), grid.values[steps - lead], before)
    forecasts = {"climatology": usual, "persistence": latest, "model": found[inside]}
    return tuple(score(name, values, truth, usual, grid.latitude, grid.variables) for name, values in forecasts.items())


def fitting(model: WeatherModel, grid: Grid) -> Grid:
    """Return a grid in the model's order of latitudes and longitudes.

    Raises:
        UserError: It has other latitudes, longitudes, units or steps than the model's data.
    """
    config = model.config
    if grid.size != tuple(config.size):
        shapes = ["x".join(map(str, size)) for size in (grid.size, config.size)]
        raise UserError(f"{grid.source}: the grid is {shapes[0]}, the model was trained on {shapes[1]}")
    for name, unit, known in zip(grid.variables, grid.units, config.units or grid.units, strict=True):
        if unit and known and unit != known:
            raise UserError(
                f"{grid.source}: {name} has the units {unit!r}, the model was trained on {known!r}; convert it, or "
                "correct its attribute units"
            )
    step, usual = grid.step_seconds, config.step_seconds
    if usual and abs(step - usual) > UNEVEN * usual:
        raise UserError(f"{grid.source}: its steps are {_span(step)}, the model was trained on steps of {_span(usual)}")
    latitude, longitude = (getattr(model, name).cpu().double().numpy() for name in ("latitude", "longitude"))
    rows = _places(grid.latitude, latitude, grid.source, "latitude")
    columns = _places(grid.longitude, longitude, grid.source, "longitude")
    # 0 to 360 and -180 to 180 are the same places: the model's numbers rise along its columns.
    longitude = grid.longitude if (np.diff(columns) == 1).all() else longitude
    values = grid.values[:, :, rows][..., columns]
    return dataclasses.replace(grid, values=values, latitude=grid.latitude[rows], longitude=longitude)


def _places(there: np.ndarray, wanted: np.ndarray, source: str, name: str) -> np.ndarray:
    """Return where the wanted degrees are among those that are there; longitudes count around the globe."""
    away = np.abs(wanted[:, None] - there)
    if name == "longitude":
        away = np.minimum(away % 360, -away % 360)
    places: np.ndarray = away.argmin(1)
    if (away.min(1) > _NEAR).any() or len(np.unique(places)) < len(places):
        raise UserError(
            f"{source}: its {name}s go from {there[0]:g} to {there[-1]:g}, those of the model's data from "
            f"{wanted[0]:g} to {wanted[-1]:g}; they must be the same"
        )
    return places


def _span(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours / 24:g} days" if hours >= 48 else f"{hours:g} hours"


def _check_outputs(out: Path, picture: Path, file: Path, *, overwrite: bool) -> None:
    if out.suffix not in (".nc", ".nc4", ".cdf"):
        raise UserError(f"--out {out}: give a netCDF file (.nc)")
    if picture.suffix not in _PICTURES:
        raise UserError(f"--picture {picture}: give one of {', '.join(_PICTURES)}")
    if out.resolve() == file.resolve():
        raise UserError(f"--out {out}: is the file that is read; choose another")
    for path in (out, picture):
        if path.exists() and not overwrite:
            raise UserError(f"{path} exists; add --overwrite to replace it, or choose another place")


def to_dataset(result: Forecast, grid: Grid) -> xarray.Dataset:
    """Return forecasts as a data set with the file's names and attributes; `start` is what each forecast knew."""
    import xarray

    time, north, east = grid.names
    dims = (time, north, east)
    kept = {name: _attributes(grid, name) for name in (*result.variables, north, east)}
    fields = {
        name: (dims, result.values[:, number], {**kept[name], "long_name": f"forecast of {name}"})
        for number, name in enumerate(result.variables)
    }
    places = {north: (north, grid.latitude, kept[north]), east: (east, grid.longitude, kept[east])}
    times = {time: (time, result.times), "start": (time, result.starts, {"long_name": "latest step that was known"})}
    facts = {"Conventions": "CF-1.8", "lead_steps": result.lead, "source": f"seqvision, from {Path(grid.source).name}"}
    return xarray.Dataset(fields, coords={**times, **places}, attrs=facts)


def _attributes(grid: Grid, name: str) -> dict[str, object]:
    """Return the attributes that say what a variable is: its unit and standard name."""
    known = grid.attributes.get(name, {})
    return {key: known[key] for key in ("units", "standard_name", "axis") if key in known}


def _write(result: Forecast, grid: Grid) -> None:
    out, picture = result.out, result.picture
    aside = [path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}") for path in (out, picture)]
    with told(out):
        try:
            for folder in {out.parent, picture.parent}:
                folder.mkdir(parents=True, exist_ok=True)
            to_dataset(result, grid).to_netcdf(aside[0], engine="netcdf4")
            result.figure().savefig(aside[1], dpi=150, bbox_inches="tight")
            for temporary, path in zip(aside, (out, picture), strict=True):
                os.replace(temporary, path)
        finally:
            for temporary in aside:
                temporary.unlink(missing_ok=True)
