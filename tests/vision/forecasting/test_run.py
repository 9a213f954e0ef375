"""Training, measuring, resuming and forecasting, as a user calls them."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file

from seqsuite.errors import UserError
from seqvision.cli import main
from seqvision.configs.forecast_train import ForecastTrainConfig
from seqvision.forecasting import evaluate, forecast, forecast_train, load_forecaster
from seqvision.forecasting.one_run import Job
from seqvision.forecasting.run import open_data

from .conftest import waves, write_waves


def options(source: Path, out: Path, **changes: object) -> ForecastTrainConfig:
    known = ForecastTrainConfig(
        str(source), model="simba_series_debug", look_back=24, horizons=(12,), steps=12, lr=1e-2, accelerator="cpu",
        out=str(out), log_every=50, resamples=100, threads=1,
    )  # fmt: skip
    return dataclasses.replace(known, **{"baselines": False, **changes})  # type: ignore[arg-type]


def weights(folder: Path, horizon: int = 12) -> dict[str, np.ndarray]:
    return load_file(folder / "model" / f"h{horizon}" / "model.safetensors")


def same(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two horizons and two seeds with all baselines."""
    folder = tmp_path_factory.mktemp("forecast")
    source = write_waves(folder / "hourly.csv")
    config = options(source, folder / "run", horizons=(12, 6), seeds=2, baselines=True, steps=60)
    assert forecast_train(config) is not None
    return folder / "run"


def test_what_a_run_writes(run: Path) -> None:
    summary = json.loads((run / "summary.json").read_text())
    models = ["last value", "last season", "NLinear, ridge", "DLinear", "NLinear", "simba_series_debug"]
    assert [(row["horizon"], row["model"]) for row in summary["mean"]] == [(h, m) for h in (12, 6) for m in models]
    errors = {(row["horizon"], row["model"]): row["mse"] for row in summary["mean"]}
    for horizon in (12, 6):
        assert errors[horizon, "last season"] < errors[horizon, "last value"]  # it is a daily wave
        assert errors[horizon, "simba_series_debug"] < errors[horizon, "last value"]
        assert errors[horizon, "NLinear, ridge"] < errors[horizon, "last value"]
    assert [row["against"] for row in summary["differences"]] == 2 * ["NLinear, ridge", "DLinear"]
    for row in summary["differences"]:
        expected = errors[row["horizon"], "simba_series_debug"] - errors[row["horizon"], row["against"]]
        assert row["mean"] == pytest.approx(expected, abs=1e-5)
        assert row["low"] <= row["mean"] <= row["high"]
    rows = list(csv.DictReader((run / "table.csv").open(encoding="utf-8")))
    assert len(rows) == 2 * (3 + 3 * 2)
    assert "Each column" in (run / "report.html").read_text()


def test_scores_are_those_of_every_test_window(run: Path) -> None:
    """The score of the best seed's model, from its exported files and windows cut by hand."""
    values = waves()
    train, test = values[:280], values[320 - 24 :]
    mean, deviation = train.mean(0), train.std(0)
    scaled = (test - mean) / deviation
    pairs = [(scaled[s : s + 24], scaled[s + 24 : s + 36]) for s in range(len(scaled) - 35)]
    assert len(pairs) == 80 - 12 + 1
    model = load_forecaster(run, horizon=12).model
    with torch.inference_mode():
        found = model(torch.tensor(np.stack([past for past, _ in pairs]), dtype=torch.float32)).numpy()
    error = found - np.stack([future for _, future in pairs])
    summary = json.loads((run / "summary.json").read_text())
    mine = [r for r in summary["runs"] if (r["model"], r["horizon"]) == ("simba_series_debug", 12)]
    best = min(mine, key=lambda each: each["valid_mse"])
    assert best["windows"] == [280 - 36 + 1, 40 - 12 + 1, 80 - 12 + 1]
    assert best["mse"] == pytest.approx(float((error**2).mean()), rel=1e-4)
    assert best["mae"] == pytest.approx(float(np.abs(error).mean()), rel=1e-4)
    np.testing.assert_allclose(best["columns_mse"], (error**2).mean((0, 1)), rtol=1e-4)


def test_test_rows_change_neither_training_nor_scaling(hourly: Path, tmp_path: Path) -> None:
    first = forecast_train(options(hourly, tmp_path / "first", baselines=True))
    frame = pd.read_csv(hourly)
    frame.iloc[320:, 1:] = np.random.default_rng(9).normal(50, 20, (80, 2))
    frame.to_csv(hourly, index=False)
    second = forecast_train(options(hourly, tmp_path / "second", baselines=True))
    assert first is not None
    assert second is not None
    assert same(weights(first.folder), weights(second.folder))
    facts = [json.loads((each.folder / "model/h12/series.json").read_text()) for each in (first, second)]
    assert facts[0] == facts[1]
    for one, other in zip(first.scores, second.scores, strict=True):
        assert (one.model, one.valid_mse, one.detail) == (other.model, other.valid_mse, other.detail)
        assert one.mse != other.mse


def test_validation_rows_choose_and_do_not_train(hourly: Path, tmp_path: Path) -> None:
    """Other validation rows leave every checkpoint of a step as it is: only the choice among them can change."""
    kept = []
    for name in ("one", "other"):
        out = tmp_path / name
        forecast_train(options(hourly, out, steps=8, checkpoint_every=8, validate_every=2))
        (path,) = out.glob("runs/*/checkpoints/step-00000008.ckpt")
        kept.append(torch.load(path, weights_only=True)["state_dict"])
        frame = pd.read_csv(hourly)
        frame.iloc[280:, 1:] = np.random.default_rng(9).normal(50, 20, (120, 2))
        frame.to_csv(hourly, index=False)
    assert all(torch.equal(kept[0][name], kept[1][name]) for name in kept[0])


def test_a_stopped_run_goes_on_exactly(hourly: Path, tmp_path: Path) -> None:
    whole = forecast_train(options(hourly, tmp_path / "whole", horizons=(12, 6)))
    assert whole is not None
    stopped = forecast_train(options(hourly, tmp_path / "parts", horizons=(12, 6), max_minutes=1e-9))
    assert stopped is None
    tries = 0
    resumed = None
    while resumed is None:  # every start does one step at least
        tries += 1
        assert tries < 60
        resumed = forecast_train(options(hourly, tmp_path / "parts", horizons=(12, 6), max_minutes=2e-3, resume=True))
    assert same(weights(whole.folder), weights(resumed.folder))
    assert same(weights(whole.folder, 6), weights(resumed.folder, 6))
    assert [run.mse for run in whole.scores] == [run.mse for run in resumed.scores]


def test_finished_runs_are_kept(hourly: Path, tmp_path: Path) -> None:
    forecast_train(options(hourly, tmp_path / "run", steps=2, seeds=2))
    marks = [tmp_path / "run" / "runs" / f"h12_seed_{seed}" / "result.json" for seed in (0, 1)]
    times = [mark.stat().st_mtime_ns for mark in marks]
    marks[1].unlink()
    result = forecast_train(options(hourly, tmp_path / "run", steps=2, seeds=2, resume=True))
    assert result is not None
    assert len(result.scores) == 2
    assert marks[0].stat().st_mtime_ns == times[0]
    assert marks[1].is_file()
    with pytest.raises(UserError, match="already holds a run"):
        forecast_train(options(hourly, tmp_path / "run", steps=2))
    write_waves(hourly, seed=5)
    with pytest.raises(UserError, match="series has changed"):
        forecast_train(options(hourly, tmp_path / "run", steps=2, seeds=2, resume=True))


def test_training_windows_are_seen_once_a_pass(hourly: Path, tmp_path: Path) -> None:
    from seqvision.forecasting.batches import WindowBatches

    config = options(hourly, tmp_path)
    job = Job(tmp_path, config, open_data(config), 12, 0)
    batches, count = WindowBatches(job.train, seed=3), len(job.train)
    found = batches.__getitems__(range(count))["past"]
    expected = job.train.arrays(range(count))[0]
    assert not np.array_equal(found.numpy(), expected)
    np.testing.assert_array_equal(np.sort(found[:, 0, 0].numpy()), np.sort(expected[:, 0, 0]))
    assert torch.equal(batches[5]["past"], found[5])


def test_forecast_of_new_rows(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = write_waves(tmp_path / "new.csv", rows=30, seed=3)
    out, figure = tmp_path / "found.csv", tmp_path / "found.png"
    words = ["forecast", str(run), str(new), "--out", str(out), "--figure", str(figure)]
    assert main([*words, "--horizon", "10"]) == 0
    found = pd.read_csv(out, parse_dates=["date"])
    assert list(found.columns) == ["date", "load", "wind"]
    assert found["date"].tolist() == pd.date_range("2020-01-02 06:00", periods=10, freq="h").tolist()
    assert figure.read_bytes().startswith(b"\x89PNG")
    forecaster = load_forecaster(run, horizon=10)
    assert forecaster.horizon == 12
    past = waves(30, seed=3)[-24:]
    train = waves()[:280]
    with torch.inference_mode():
        scaled = torch.tensor((past - train.mean(0)) / train.std(0), dtype=torch.float32)
        expected = forecaster.model(scaled[None])[0, :10].numpy() * train.std(0) + train.mean(0)
    np.testing.assert_allclose(found[["load", "wind"]], expected, rtol=1e-4)
    capsys.readouterr()
    assert main(words) == 2
    assert "found.csv exists; add --overwrite" in capsys.readouterr().err
    assert main([*words, "--overwrite", "--horizon", "13"]) == 2
    assert "the longest that" in capsys.readouterr().err


def test_the_next_longer_horizon_forecasts(run: Path) -> None:
    assert load_forecaster(run).horizon == 12
    assert load_forecaster(run, horizon=5).horizon == 6
    assert load_forecaster(run / "model" / "h6").horizon == 6
    with pytest.raises(UserError, match="holds no forecaster"):
        load_forecaster(run.parent)


def test_forecasts_of_frames_and_of_shuffled_columns(run: Path) -> None:
    frame = pd.DataFrame(waves(30, seed=3), columns=["load", "wind"])
    frame.index = pd.date_range("2020-01-01", periods=30, freq="h")
    found = load_forecaster(run, horizon=12).forecast(frame)
    again = forecast(run, frame[["wind", "load"]].assign(more=1.0), horizon=12)
    np.testing.assert_array_equal(again.values, found.values)
    assert again.columns == ("load", "wind")
    assert found.times[0] == np.datetime64("2020-01-02T06:00")
    assert len(found.table()) == 12
    assert found.figure() is not None
    assert forecast(run, frame.reset_index(drop=True), horizon=2).table()[0]["row"] == "30"


def test_an_evaluation_is_the_score_of_all_windows(run: Path, tmp_path: Path) -> None:
    values, train = waves(60, seed=4), waves()[:280]
    new = write_waves(tmp_path / "new.csv", rows=60, seed=4)
    found = evaluate(run, new, horizon=6)
    assert found.windows == 60 - 24 - 6 + 1
    forecaster = load_forecaster(run, horizon=6)
    errors = [
        forecaster.forecast(pd.DataFrame(values[s : s + 24], columns=["load", "wind"])).values - values[s + 24 : s + 30]
        for s in range(31)
    ]
    deviation = train.std(0)
    assert found.mse == pytest.approx(float(np.square(np.array(errors) / deviation).mean()), rel=1e-4)
    row = found.table()[2]
    assert row["column"] == "wind"
    assert row["MAE in its units"] == pytest.approx(float(np.abs(errors)[..., 1].mean()), rel=1e-4)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: x[:20], "holds 19 rows; the model looks back over 24"),
        (lambda x: [x[0], *x[1::2]], "its rows are every 2h, the model was trained on every h"),
        (lambda x: [x[0].replace("wind", "sun"), *x[1:]], "Unknown column 'wind'"),
        (lambda x: x[:9] + x[10:], "line 10, column 'date'"),
    ],
)
def test_rows_that_a_forecaster_cannot_take(
    run: Path,
    edited: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[list[str]], list[str]],
    said: str,
) -> None:
    path = edited(change)
    assert main(["forecast", str(run), str(path), "--out", str(tmp_path / "found.csv")]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert said in line
    assert not (tmp_path / "found.csv").exists()


def constant(lines: list[str]) -> list[str]:
    return [lines[0], *(",".join([*line.split(",")[:2], "5"]) for line in lines[1:])]


@pytest.mark.parametrize(
    ("change", "words", "said"),
    [
        (None, ["--horizons", "96"], "the valid split (40 rows) holds no window of horizon 96"),
        (None, ["--horizons", "12,0"], "--horizons 12,0"),
        (None, ["--split", "ett_h"], "has 400 rows, --split ett_h takes 14,400"),
        (None, ["--drop", "lod"], "Did you mean 'load'"),
        (None, ["--date_column", "when"], "Unknown column 'when'"),
        (None, ["--season", "25"], "--season 25 must lie within the look-back of 24"),
        (None, ["--model", "simba_serie_debug"], "Did you mean 'simba_series_debug'"),
        (None, ["--model", "mamba_lm_debug"], "forecasts no series"),
        (None, ["--model_options.horizon", "3"], "is set by --look_back, --horizons"),
        (None, ["--model_options.patch", "30"], "a patch of 30 rows is longer"),
        (constant, [], "column 'wind': is constant, 5, in the training rows"),
        (lambda x: x[:50] + x[51:], [], "line 51, column 'date'"),
        (lambda x: [*x[:50], x[49], *x[50:]], [], "line 51, column 'date': 2020-01-03 00:00:00 repeats"),
        (lambda x: [*x[:50], "2020-01-03 01:00:00,calm,1", *x[51:]], [], "line 51, column 'load': 'calm'"),
    ],
)
def test_wrong_input_is_one_line(
    edited: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[list[str]], list[str]] | None,
    words: list[str],
    said: str,
) -> None:
    path = edited(change or (lambda lines: lines))
    known = ["--model", "simba_series_debug", "--look_back", "24", "--out", str(tmp_path / "run")]
    known += [] if "--horizons" in words else ["--horizons", "12"]
    assert main(["forecast-train", str(path), *known, *words]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert said in line, line
    assert not (tmp_path / "run").exists()


def test_the_command_prints_a_table_or_json(hourly: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--model", "simba_series_debug", "--look_back", "24", "--horizons", "12,6", "--steps", "2"]
    words += ["--accelerator", "cpu", "--out", str(tmp_path / "run"), "--linear_epochs", "1"]
    assert main(["forecast-train", str(hourly), *words]) == 0
    shown = capsys.readouterr().out
    for said in ("last season", "season 24", "DLinear", "95% interval", "simba_series_debug", "report.html"):
        assert said in shown
    assert main(["forecast-train", str(hourly), *words, "--resume", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["mean"]) == 12


@pytest.mark.parametrize("name", ["etth1", "etth2"])
def test_recipes_are_options_of_the_command(root: Path, hourly: Path, tmp_path: Path, name: str) -> None:
    recipe = root / "examples" / "vision" / f"{name}.yaml"
    words = ["--config", str(recipe), "--look_back", "24", "--horizons", "12", "--steps", "1", "--accelerator", "cpu"]
    assert main(["forecast-train", str(hourly), *words, "--baselines", "false", "--out", str(tmp_path / "run")]) == 0
    assert load_forecaster(tmp_path / "run").horizon == 12


def test_new_rows_are_never_written_over(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_waves(tmp_path / "new.csv")
    before = source.read_bytes()
    assert main(["forecast", str(run), str(source), "--out", str(source), "--overwrite"]) == 2
    assert "is the file that is read" in capsys.readouterr().err
    assert source.read_bytes() == before


def test_a_frame_with_two_columns_of_dates_says_which(run: Path) -> None:
    frame = pd.read_csv(run.parent / "hourly.csv")
    frame["sent"] = pd.date_range("1990-01-01", periods=len(frame), freq="h").astype(str)
    assert str(forecast(run, frame, date_column="sent").times[0]).startswith("1990")
    assert str(forecast(run, frame).times[0]).startswith("2020")


def test_the_time_limit_is_one_for_all_runs(hourly: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run gets what is left of --max_minutes, not as much again."""
    limits = []

    def stopped(job: Job) -> None:
        limits.append(job.config.max_minutes)

    monkeypatch.setattr("seqvision.forecasting.run.run_model", stopped)
    assert forecast_train(options(hourly, tmp_path / "run", max_minutes=5.0)) is None
    assert 4 < limits[0] < 5
