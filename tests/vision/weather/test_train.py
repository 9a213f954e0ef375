"""`weather-train` and `weather`: no leakage, exact resume, agreement with an independent computation, bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray

from seqsuite.models import load_model
from seqvision.cli import main
from seqvision.configs.weather import WeatherConfig
from seqvision.configs.weather_train import WeatherTrainConfig
from seqvision.weather import forecast
from seqvision.weather.inputs import split_steps
from seqvision.weather.train import make_model, measure, open_inputs, samples, weather_train

from .conftest import VARIABLES, dataset, fields

TINY = {"backbone_options": {"patch_size": 2, "depth": 1}, "head_width": 4}


def config(winds, **changes) -> WeatherTrainConfig:
    options = {"model": "weather_vit_debug", "model_options": TINY, "valid": 6, "test": 8, "steps": 2, "batch_size": 2}
    return WeatherTrainConfig(str(winds), **{**options, **changes})


def refused(capsys, *arguments: object) -> str:
    """The one line on stderr of a command that ends with exit code 2."""
    assert main([str(argument) for argument in arguments]) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1, told
    return told[0]


def test_parts_follow_each_other_in_time() -> None:
    split = split_steps(60, valid=6, test=8, back=12, lead=2)
    everything = np.concatenate((split.train, split.valid, split.test))
    np.testing.assert_array_equal(everything, np.arange(13, 60))
    assert (len(split.valid), len(split.test), split.known) == (6, 8, 46)


def test_nothing_is_learned_from_validation_or_test(tmp_path) -> None:
    """Other values from the first validation step on change no statistic and no training sample."""
    before = fields()
    after = before.copy()
    after[46:] = 1e3
    found = []
    for name, values in (("before", before), ("after", after)):
        dataset(values).to_netcdf(tmp_path / f"{name}.nc")
        found.append(open_inputs(config(tmp_path / f"{name}.nc")))
    first, second = found
    for name in ("climatology", "scale", "linear", "damped"):
        np.testing.assert_array_equal(getattr(first.statistics, name), getattr(second.statistics, name))
    rows = [samples(inputs, inputs.split.train, seed=0) for inputs in found]
    for position in range(3 * len(first.split.train)):
        for name, tensor in rows[0][position].items():
            assert torch.equal(tensor, rows[1][position][name])


def test_a_sample_is_the_history_and_the_step_behind_the_lead(winds) -> None:
    inputs = open_inputs(config(winds, lead=3))
    row = samples(inputs, inputs.split.test)[0]
    target = 60 - 8
    np.testing.assert_array_equal(row["truth"], inputs.grid.values[target])
    np.testing.assert_array_equal(row["fields"], inputs.grid.values[target - 3 - 11 : target - 2])
    np.testing.assert_array_equal(row["phases"], np.arange(target - 14, target - 2) % 12)
    assert row["target_phase"] == target % 12


def test_simple_forecasts_against_numpy(winds) -> None:
    """Climatology, persistence, damped persistence and the regression, each computed anew from the file."""
    inputs = open_inputs(config(winds, penalty=0.0))
    found = {scores.name: scores for scores in measure(inputs, make_model(config(winds), inputs), inputs.split.test)}
    data = xarray.open_dataset(winds)
    for number, name in enumerate(VARIABLES):
        values = data[name].to_numpy().astype(float)
        usual = np.stack([values[:46][month::12].mean(0) for month in range(12)])
        steps = np.arange(52, 60)
        anomaly = values - usual[np.arange(60) % 12]
        edges = np.sin(np.deg2rad(np.linspace(-90, 90, 7)))
        area = np.diff(edges)[:, None]

        def root(guess, steps=steps, values=values, area=area) -> float:
            return float(np.sqrt((area * (guess - values[steps]) ** 2).sum() / area.sum() / len(steps) / 12))

        past, now = anomaly[11:45], anomaly[12:46]
        damped = (past * now).sum(0) / (past**2).sum(0)
        expected = {
            "climatology": usual[steps % 12],
            "persistence": values[steps - 1],
            "damped persistence": usual[steps % 12] + damped * anomaly[steps - 1],
        }
        for kind, guess in expected.items():
            assert found[kind].rmse[number] == pytest.approx(root(guess), rel=1e-5), kind


def test_an_untrained_model_is_the_regression(winds) -> None:
    options = config(winds)
    inputs = open_inputs(options)
    scores = {item.name: item for item in measure(inputs, make_model(options, inputs), inputs.split.test)}
    np.testing.assert_allclose(scores["model"].squares, scores["cell regression"].squares, rtol=1e-4)


def test_persistence_is_beaten_where_anomalies_are_damped(winds) -> None:
    """The fields keep 0.6 of an anomaly: climatology has deviation 1.25, damped persistence 1.0, persistence 1.12."""
    inputs = open_inputs(config(winds))
    scores = {
        item.name: np.mean(item.rmse) for item in measure(inputs, make_model(config(winds), inputs), inputs.split.test)
    }
    assert scores["damped persistence"] < min(scores["climatology"], scores["persistence"])


def test_missing_cells_are_no_anomaly_and_not_scored(tmp_path) -> None:
    """A cell that is always missing stays so in the forecast; the others are as if it were not there."""
    values = fields()
    values[:, 0, 2, 3] = np.nan
    values[55, 1, 1, 1] = np.nan
    dataset(values).to_netcdf(tmp_path / "sea.nc")
    options = config(tmp_path / "sea.nc", missing="climatology")
    inputs = open_inputs(options)
    model = make_model(options, inputs)
    scores = measure(inputs, model, inputs.split.test)
    assert all(np.isfinite(item.rmse).all() for item in scores)
    row = samples(inputs, inputs.split.test)[0]
    out = model(*(row[name][None] for name in ("fields", "phases", "target_phase")))
    assert torch.isnan(out[0]).sum() == 1
    assert torch.isnan(out[0, 0, 2, 3])


def test_a_killed_run_resumes_to_the_same_bits(winds, flags, tmp_path) -> None:
    command = ["weather-train", str(winds), *flags]
    assert main(command) == 0
    whole = load_model(tmp_path / "run" / "model").state_dict()
    other = [*command, "--out", str(tmp_path / "cut")]
    assert main([*other, "--max_minutes", "1e-9"]) == 0
    assert not (tmp_path / "cut" / "model").exists()
    assert main([*other, "--resume"]) == 0
    again = load_model(tmp_path / "cut" / "model").state_dict()
    assert all(torch.equal(torch.nan_to_num(whole[name]), torch.nan_to_num(again[name])) for name in whole)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert set(summary["test"]) == {"climatology", "persistence", "damped persistence", "cell regression", "model"}
    assert "Bootstrap" in (tmp_path / "run" / "report.html").read_text()


def test_the_forecast_goes_on_where_the_file_ends(winds, tmp_path, capsys) -> None:
    result = weather_train(config(winds, out=str(tmp_path / "run")))
    assert result is not None
    out = tmp_path / "ahead.nc"
    command = ["weather", str(tmp_path / "run"), str(winds), "--out", str(out)]
    assert main(command) == 0
    ahead = xarray.open_dataset(out)
    assert str(ahead.time.values[0])[:10] == "2005-01-01"
    assert str(ahead.start.values[0])[:10] == "2004-12-01"
    assert ahead.U.dims == ("time", "lat", "lon")
    assert ahead.U.attrs["units"] == "m/s"
    assert (tmp_path / "ahead.png").stat().st_size > 1000
    capsys.readouterr()
    assert "--overwrite" in refused(capsys, *command)
    # All starts, and their scores: those of the test steps are the ones of training's table.
    every = forecast(WeatherConfig(str(tmp_path / "run"), str(winds), out=str(out), starts="all", overwrite=True))
    assert len(every.times) == 60 - 12 - 1 + 1 + 1
    model = next(item for item in every.scores if item.name == "model")
    np.testing.assert_allclose(model.squares[-8:], result.scores[-1].squares, rtol=1e-4)


def test_another_grid_is_refused(winds, tmp_path, capsys) -> None:
    weather_train(config(winds, out=str(tmp_path / "run")))
    capsys.readouterr()
    data = xarray.open_dataset(winds)
    for change, why in (
        (data.isel(lon=slice(8)), "6x8"),
        (data.assign_coords(lat=data.lat + 5), "latitude"),
        (data.isel(time=slice(5)), "looks back 12"),
        (data.drop_vars("U"), "'U'"),
    ):
        change.to_netcdf(tmp_path / "other.nc")
        assert why in refused(capsys, "weather", tmp_path / "run", tmp_path / "other.nc", "--out", tmp_path / "o.nc")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--variables", "UWND"), "'UWND'"),
        (("--variables", "u"), "Did you mean 'U'?"),
        (("--lead", 0), "--lead"),
        (("--valid", 30, "--test", 25), "leave 5 for training"),
        (("--climatology", "day", "--valid", 6, "--test", 42), "leave 12 for training"),
        (("--model", "dense_vit_debug"), "is no forecast"),
        (("--model_options.padding", "refuse", "--model_options.backbone_options.patch_size", 4), "height 6"),
        (("--model_options.wrap", "true"), "--model_options.wrap"),
        (("--model_options.backbone", "test_vitt"), "Did you mean"),
        (("--model_options.backbone_options.colour", 4), "colour"),
        (("--select.level", 4), "'level'"),
    ],
)
def test_bad_options(winds, flags, capsys, options, why) -> None:
    assert why in refused(capsys, "weather-train", winds, *flags, *options)


def test_a_region_does_not_wrap(tmp_path, flags, capsys) -> None:
    region = dataset(fields()).isel(lon=slice(7))
    region.to_netcdf(tmp_path / "region.nc")
    assert "around the globe" in refused(capsys, "weather-train", tmp_path / "region.nc", *flags, "--wrap", "true")
    assert open_inputs(config(tmp_path / "region.nc")).config.wrap is False


@pytest.mark.parametrize("kind", ["text", "holes", "constant", "short_year"])
def test_bad_files(tmp_path, flags, capsys, kind) -> None:
    path, values = tmp_path / "bad.nc", fields()
    if kind == "text":
        path.write_text("no grid")
    else:
        if kind == "holes":
            values[3, 0, 0, 0] = np.nan
        if kind == "constant":
            values[:, 0] = 5
        steps = 28 if kind == "short_year" else 60
        dataset(values[:steps]).to_netcdf(path)
    why = {
        "text": "netCDF",
        "holes": "--missing",
        "constant": "U never differs",
        "short_year": "1 of the training steps lie in month 3",
    }[kind]
    line = refused(capsys, "weather-train", path, *flags)
    assert why in line


def test_the_real_winds() -> None:
    """The monthly winds of ferret-datasets: climatology of the first ten years and persistence, the last year."""
    path = "/usr/share/ferret-vis/data/monthly_navy_winds.cdf"
    if not Path(path).exists():
        pytest.skip("Debian's package ferret-datasets is not installed")
    inputs = open_inputs(config(path, variables=("UWND", "VWND"), valid=0, test=12))
    model = make_model(config(path, variables=("UWND", "VWND"), valid=0, test=12), inputs)
    scores = {item.name: item.rmse for item in measure(inputs, model, inputs.split.test)}
    assert scores["climatology"] == pytest.approx((2.01, 1.58), abs=0.005)
    assert scores["persistence"] == pytest.approx((2.34, 1.82), abs=0.005)
    assert inputs.config.wrap


@pytest.fixture
def trained(winds, flags):
    assert main(["weather-train", str(winds), *flags]) == 0
    return Path(flags[flags.index("--out") + 1])


def test_the_file_that_is_read_is_never_written_over(winds, trained, capsys) -> None:
    before = winds.read_bytes()
    told = refused(capsys, "weather", trained, winds, "--out", winds, "--overwrite")
    assert "is the file that is read" in told
    assert winds.read_bytes() == before


def test_other_units_and_other_steps_are_refused(tmp_path, trained, capsys) -> None:
    knots = dataset(fields())
    knots["U"].attrs["units"] = "knots"
    knots.to_netcdf(tmp_path / "knots.nc")
    days = dataset(fields())
    times = np.datetime64("2000-01-01") + np.arange(60) * np.timedelta64(1, "D")
    days.assign_coords(time=times.astype("datetime64[ns]")).to_netcdf(tmp_path / "days.nc")
    out = ("--out", tmp_path / "ahead.nc")
    told = refused(capsys, "weather", trained, tmp_path / "knots.nc", *out)
    assert "U has the units 'knots', the model was trained on 'm/s'" in told
    told = refused(capsys, "weather", trained, tmp_path / "days.nc", *out)
    assert "its steps are 24 hours, the model was trained on steps of 31 days" in told


def test_turned_grids_are_the_same_places(tmp_path, winds, trained) -> None:
    """Falling latitudes, and longitudes from -180 to 180, give the forecast of the file that was trained on."""
    data = dataset(fields())
    turned = data.assign_coords(lon=((data.lon + 180) % 360 - 180)).sortby("lon").isel(lat=slice(None, None, -1))
    turned.lon.attrs = data.lon.attrs
    turned.to_netcdf(tmp_path / "turned.nc")
    files = {"same": winds, "turned": tmp_path / "turned.nc"}
    found = {
        name: forecast(WeatherConfig(str(trained), str(file), out=str(tmp_path / f"{name}_ahead.nc")))
        for name, file in files.items()
    }
    np.testing.assert_allclose(found["turned"].values, found["same"].values, rtol=1e-6)
    np.testing.assert_allclose(found["turned"].latitude, data.lat)
    np.testing.assert_allclose(found["turned"].longitude, data.lon)


def test_a_test_step_without_values_is_left_out_of_the_interval(tmp_path) -> None:
    values = fields()
    values[-1] = np.nan
    dataset(values).to_netcdf(tmp_path / "hole.nc")
    result = weather_train(config(tmp_path / "hole.nc", missing="climatology", out=str(tmp_path / "run")))
    found = result.against("climatology")["U"]
    assert found.steps == 7
    assert found.low <= found.difference <= found.high


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        (("--variables", "U,U"), "--variables names 'U' twice"),
        (("--model_options.backbone_options.patch_size", "0"), "cannot be built"),
        (("--model_options.correct", "false"), "leaves nothing to train"),
        (("--test", "1000"), "its 60 steps less --valid 6 and --test 1000 leave 0 for training"),
    ],
)
def test_options_that_cannot_be(winds, flags, capsys, flag, said) -> None:
    assert said in refused(capsys, "weather-train", winds, *flags, *flag)


def test_an_empty_file_is_said_to_be_empty(tmp_path, flags, capsys) -> None:
    (tmp_path / "empty.nc").touch()
    assert "it is empty" in refused(capsys, "weather-train", tmp_path / "empty.nc", *flags)
