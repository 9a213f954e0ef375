"""Made-up fields with a known law, files of them, and the plugin's rows of this area."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray

from seqvision.configs.dense import SIZES

VARIABLES = ("U", "V")
PERSISTENCE = 0.6


def fields(steps: int = 60, height: int = 6, width: int = 12, seed: int = 0) -> np.ndarray:
    """A seasonal cycle and an anomaly that keeps 0.6 of itself from step to step: (T, 2, H, W) float32."""
    rng = np.random.default_rng(seed)
    season = np.cos(2 * np.pi * np.arange(steps) / 12)[:, None, None, None] * np.linspace(1, 3, height)[:, None]
    anomaly = np.zeros((steps, 2, height, width))
    for step in range(1, steps):
        anomaly[step] = PERSISTENCE * anomaly[step - 1] + rng.normal(0, 1, (2, height, width))
    return (5 + season + anomaly).astype(np.float32)


def dataset(values: np.ndarray, **names: str) -> xarray.Dataset:
    """Fields as a data set over a globe, with CF attributes and months from 2000 on."""
    time, lat, lon = (names.get(name, name) for name in ("time", "lat", "lon"))
    steps, _, height, width = values.shape
    step = 180 / height
    coords = {
        time: (np.datetime64("2000-01", "M") + np.arange(steps)).astype("datetime64[ns]"),
        lat: (lat, np.arange(-90 + step / 2, 90, step), {"units": "degrees_north", "standard_name": "latitude"}),
        lon: (lon, np.arange(width) * 360 / width, {"units": "degrees_east", "standard_name": "longitude"}),
    }
    data = {name: ((time, lat, lon), values[:, number], {"units": "m/s"}) for number, name in enumerate(VARIABLES)}
    return xarray.Dataset(data, coords=coords)


@pytest.fixture(autouse=True)
def announced(monkeypatch) -> None:
    """Let the plugin list this area's models and commands, whatever else it lists."""
    from seqvision.plugin import plugin

    for name in SIZES:
        monkeypatch.setitem(plugin.models, name, f"seqvision.configs.dense:{name}")
    monkeypatch.setitem(plugin.commands, "weather", "seqvision.cli.weather:weather")
    monkeypatch.setitem(plugin.commands, "weather-train", "seqvision.cli.weather_train:weather_train")


@pytest.fixture
def winds(tmp_path) -> Path:
    """Sixty months of made-up winds."""
    path = tmp_path / "winds.nc"
    dataset(fields()).to_netcdf(path)
    return path


@pytest.fixture
def flags(tmp_path) -> list[str]:
    """A short run of a tiny transformer; the file goes in front."""
    options = {
        **{"model": "weather_vit_debug", "steps": 4, "batch_size": 2, "log_every": 1, "validate_every": 2},
        **{"checkpoint_every": 2, "threads": 1, "out": tmp_path / "run", "valid": 6, "test": 8},
        **{"model_options.backbone_options.patch_size": 2, "model_options.backbone_options.depth": 1},
        "model_options.head_width": 4,
    }
    return [part for name, value in options.items() for part in (f"--{name}", str(value))]
