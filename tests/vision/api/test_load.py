"""`seqvision.load` of runs that are no classifiers: masks, gridded fields, series."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import seqvision
from seqsuite.errors import UserError
from seqsuite.models import create_model, load_model
from seqvision.api import load_classifier
from seqvision.configs.forecast_train import ForecastTrainConfig
from seqvision.forecasting import Forecaster, forecast, forecast_train
from seqvision.segmentation.predict import load_segmenter
from seqvision.trained import Segmenter, WeatherForecaster
from seqvision.weather.forecasting import load_forecaster as load_weather

TINY = {"backbone_options": {"patch_size": 4, "depth": 1}, "head_width": 4}


def test_a_model_of_masks(tmp_path: Path) -> None:
    torch.manual_seed(0)
    names = ("ground", "red", "blue")
    create_model("dense_vit_debug", **TINY, size=(16, 16), num_classes=3, class_names=names).save_pretrained(tmp_path)
    model = seqvision.load(tmp_path)
    assert isinstance(model, Segmenter)
    assert model.table()["classes"] == "ground, red, blue"
    pictures = list(np.random.default_rng(0).integers(0, 256, (3, 20, 24, 3), dtype=np.uint8))
    found = model.masks(pictures, batch=2)
    assert [mask.shape for mask in found] == [(20, 24)] * 3
    for one, picture in zip(found, pictures, strict=True):
        np.testing.assert_array_equal(model.masks([picture])[0], one)
    with pytest.raises(UserError, match=r"picture 1: must be \(H, W, 3\) uint8, not \(20, 24\)"):
        model.masks([pictures[0], pictures[1][..., 0]])
    assert "16 x 16, 3 classes" in repr(model)
    with pytest.raises(UserError, match="DenseModel, which is no classifier"):
        load_classifier(tmp_path)


def test_a_model_of_fields(tmp_path: Path) -> None:
    create_model("weather_vit_debug", **TINY, size=(8, 16)).save_pretrained(tmp_path)
    model = seqvision.load(tmp_path)
    assert isinstance(model, WeatherForecaster)
    assert model.table()["variables"] == "UWND, VWND"
    assert not model.model.training
    assert "8 x 16, UWND, VWND" in repr(model)


def test_a_forecaster_of_series(tmp_path: Path) -> None:
    times = pd.date_range("2020-01-01", periods=300, freq="h")
    frame = pd.DataFrame({"date": times, "load": np.sin(np.arange(300) / 4), "wind": np.cos(np.arange(300) / 7)})
    frame.to_csv(tmp_path / "series.csv", index=False)
    run = tmp_path / "run"
    forecast_train(
        ForecastTrainConfig(
            str(tmp_path / "series.csv"), model="simba_series_debug", look_back=24, horizons=(12,), steps=2,
            baselines=False, accelerator="cpu", threads=1, out=str(run),
        )
    )  # fmt: skip
    for place in (run, run / "model", run / "model" / "h12"):
        model = seqvision.load(place)
        assert isinstance(model, Forecaster)
        assert model.table()["columns"] == "load, wind"
        np.testing.assert_array_equal(model.forecast(frame).values, forecast(run, frame).values)
    assert load_model(run / "model" / "h12").config.horizon == 12
    for load in (load_classifier, load_segmenter, load_weather):
        with pytest.raises(UserError, match="holds forecasters of series; see `seqvision forecast`"):
            load(run)
