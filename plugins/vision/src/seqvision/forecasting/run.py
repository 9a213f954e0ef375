"""From a series to measured forecasters: what `seqvision forecast-train` does, as a function.

    from seqvision.forecasting import forecast_train
    result = forecast_train(ForecastTrainConfig("ETTh1.csv.gz", horizons=(96, 192), out="runs/etth1"))
    result.table()

Each run (horizon, seed) is a run folder of its own below `runs`, each baseline one below `baselines`; what is
finished is not repeated on --resume, what was begun goes on.
"""

from __future__ import annotations

import functools
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from seqsuite.errors import UserError
from seqsuite.reports import Report
from seqsuite.reports.csv_files import write_csv
from seqsuite.training import RunFolder, say
from seqsuite.training.run_folder import process_rank, told, write_json
from seqvision.baselines.series_networks import NETWORKS
from seqvision.configs.forecast_train import ForecastTrainConfig
from seqvision.data.series import read_series
from seqvision.data.series_windows import fit_scaling, split_rows
from seqvision.forecasting.bootstrap import Difference, paired_difference
from seqvision.forecasting.one_run import (
    FIXED,
    Data,
    Job,
    done_before,
    run_fixed,
    run_linear,
    run_model,
    seasons_within,
    series_model,
)
from seqvision.forecasting.results import COMPARED, SEASON, Example, ForecastTrainResult, RunScores

_PARTS = ("runs", "baselines", "table.csv")
Run = Callable[[Job], RunScores | None]


def forecast_train(config: ForecastTrainConfig) -> ForecastTrainResult | None:
    """Train forecasters, measure them on the test windows beside simple models, write the run folder.

    Args:
        config: The options.

    Returns:
        The result; None where a run is not complete (`max_minutes`).

    Raises:
        UserError: The series, an option or the run folder; one line says what to do.
        Interrupted: Ctrl-C; the state was saved.
    """
    began = time.monotonic()
    if process_rank() != 0:
        raise UserError("seqvision forecast-train runs in one process; start it without torchrun")
    data = open_data(config)
    folder, prints = RunFolder(config.out), {"series": data.series.fingerprint()}
    folder.check_further(_PARTS, config)
    with folder.claim(config, prints):
        say(describe(data))
        if not config.resume:
            folder.remove_further(_PARTS)
        folder.begin(config, prints)
        scores = _all(config, data, folder.path, began)
        if scores is None:
            say("stopped before the last run was done; go on with --resume")
            return None
        _take_models(folder, config, scores)
        result = collect(config, data, scores, seconds=time.monotonic() - began)
        _write(result, config, data)
        return result


def open_data(config: ForecastTrainConfig) -> Data:
    """Read, divide and scale the series, and check that every horizon fits; nothing is written.

    Raises:
        UserError: The series, the split, a horizon or the model.
    """
    series = read_series(config.source, date_column=config.date_column, columns=config.columns, drop=config.drop)
    splits = split_rows(len(series), config.split, source=series.source)
    scaling = fit_scaling(series, splits.train)
    data = Data(series, splits, scaling, scaling.forward(series.values).astype(np.float32))
    for horizon in config.horizons:
        series_model(config, horizon=horizon, channels=len(series.names))
        for split in ("train", "valid", "test"):
            data.windows(split, config.look_back, horizon)
    return data


def describe(data: Data) -> str:
    """Say what the series is and how it is divided."""
    series, splits = data.series, data.splits
    parts = ", ".join(f"{name} {stop - start:,}" for name in ("train", "valid", "test")
                      for start, stop in [getattr(splits, name)])  # fmt: skip
    span = ""
    if series.times is not None:
        first, last = (str(time.astype("datetime64[m]")).replace("T", " ") for time in series.times[[0, -1]])
        span = f", {first} to {last}, every {series.frequency}"
    unused = len(series) - splits.test[1]
    rest = f"; {unused:,} rows behind the test rows are not used" if unused else ""
    return f"series: {len(series):,} rows of {len(series.names)} columns{span}; split {splits.name}: {parts}{rest}"


def jobs_of(config: ForecastTrainConfig, data: Data, folder: Path) -> Iterator[tuple[Job, Run]]:
    """Yield every run with what does it, horizon by horizon, the model last."""

    def job(place: str, horizon: int, seed: int) -> Job:
        return Job(folder / place, config, data, horizon, seed)

    seeds = range(config.seed, config.seed + config.seeds)
    for horizon in config.horizons:
        if config.baselines:
            for name in FIXED if seasons_within(config, data) else [name for name in FIXED if name != SEASON]:
                place = name.replace(", ", "_").replace(" ", "_").lower()
                yield (
                    job(f"baselines/{place}_h{horizon}", horizon, config.seed),
                    functools.partial(run_fixed, name=name),
                )
            for name in NETWORKS:
                for seed in seeds:
                    place = f"baselines/{name.lower()}_h{horizon}_seed_{seed}"
                    yield job(place, horizon, seed), functools.partial(run_linear, name=name)
        for seed in seeds:
            yield job(f"runs/h{horizon}_seed_{seed}", horizon, seed), run_model


def _all(config: ForecastTrainConfig, data: Data, folder: Path, began: float) -> list[RunScores] | None:
    """Do what is not done yet; None where the time is over."""
    found = []
    for job, run in jobs_of(config, data, folder):
        scores = done_before(job) if config.resume else None
        if scores is None:
            left = config.max_minutes - (time.monotonic() - began) / 60
            if config.max_minutes and left <= 0:
                return None
            say(f"{job.folder.parent.name}/{job.folder.name}")
            if config.max_minutes:  # what is left of it, not as much again for each run
                job = replace(job, config=replace(config, max_minutes=left))
            scores = run(job)
            if scores is None:
                return None
        found.append(scores)
    return found


def collect(config: ForecastTrainConfig, data: Data, scores: list[RunScores], *, seconds: float) -> ForecastTrainResult:
    """Join the runs of a folder: differences window by window, and forecasts to be drawn."""
    folder = RunFolder(config.out).path
    differences: dict[tuple[int, str], Difference] = {}
    groups = {(run.horizon, run.model) for run in scores}
    for horizon in config.horizons:
        mine = _windows(folder, scores, horizon, config.model)["mse"]
        for other in COMPARED:
            if (horizon, other) in groups:
                theirs = _windows(folder, scores, horizon, other)["mse"]
                span = config.look_back + horizon
                differences[horizon, other] = paired_difference(mine, theirs, span=span, resamples=config.resamples)
    examples = _examples(config, data, folder, scores)
    return ForecastTrainResult(
        folder, config.model, data.series.names, tuple(scores), differences, tuple(examples), seconds
    )


def _windows(folder: Path, scores: list[RunScores], horizon: int, model: str) -> dict[str, np.ndarray]:
    """Return errors of each window, mean over seeds, and the forecasts of the first seed."""
    names = [run.name for run in scores if (run.horizon, run.model) == (horizon, model)]
    part = "runs" if any((folder / "runs" / name).is_dir() for name in names) else "baselines"
    found = [np.load(folder / part / name / "windows.npz") for name in names]
    return {"mse": np.mean([each["mse"] for each in found], axis=0, dtype=np.float64), "examples": found[0]["examples"]}


def _examples(config: ForecastTrainConfig, data: Data, folder: Path, scores: list[RunScores]) -> list[Example]:
    """Return the last column of some test windows of the first horizon, with the forecasts."""
    horizon, column, look_back = config.horizons[0], len(data.series.names) - 1, config.look_back
    groups = {(run.horizon, run.model) for run in scores}
    models = [name for name in (*COMPARED, config.model) if (horizon, name) in groups]
    forecasts = {name: data.scaling.inverse(_windows(folder, scores, horizon, name)["examples"]) for name in models}
    starts = data.windows("test", look_back, horizon).starts
    count = len(next(iter(forecasts.values())))
    examples = []
    for number, start in enumerate(starts[np.linspace(0, len(starts) - 1, count).round().astype(int)]):
        known = data.series.values[start : start + look_back + horizon, column]
        first = start + look_back
        when = f"row {first:,}" if data.series.times is None else str(data.series.times[first].astype("datetime64[m]"))
        shown = {name: values[number, :, column] for name, values in forecasts.items()}
        title = f"{data.series.names[column]}, from {when.replace('T', ' ')}"
        examples.append(Example(title, known[:look_back], known[look_back:], shown))
    return examples


def _take_models(folder: RunFolder, config: ForecastTrainConfig, scores: list[RunScores]) -> None:
    """Copy each horizon's model with the best validation to model/h<horizon>."""
    aside = folder.path / ".model.tmp"
    with told(folder.model):
        shutil.rmtree(aside, ignore_errors=True)
        for horizon in config.horizons:
            runs = [run for run in scores if (run.horizon, run.model) == (horizon, config.model)]
            best = min(runs, key=lambda run: run.valid_mse)
            shutil.copytree(folder.path / "runs" / best.name / "model", aside / f"h{horizon}")
        shutil.rmtree(folder.model, ignore_errors=True)
        aside.rename(folder.model)
        if folder.checkpoints.is_dir() and not any(folder.checkpoints.iterdir()):
            folder.checkpoints.rmdir()


def _write(result: ForecastTrainResult, config: ForecastTrainConfig, data: Data) -> None:
    folder = result.folder
    write_json(folder / "summary.json", result.to_dict())
    kept = ("horizon", "model", "seed", "mse", "mae", "valid_mse", "valid_mae", "detail", "parameters", "seconds")
    rows = ({name: value for name, value in asdict(run).items() if name in kept} for run in result.scores)
    write_csv(folder / "table.csv", kept, ([row[name] for name in kept] for row in rows))
    report = Report(f"{result.model} on {data.series.label}", subtitle=folder.name)
    report.text(describe(data))
    report.heading("Test windows").table(result.table())
    report.text(
        "Errors are in z-scores of the training rows, over every test window. Weights, season and penalty were chosen "
        "on the validation rows; the test rows were scored once."
    )
    if result.differences:
        report.heading("The model minus others, window by window").table(result.difference_table())
    figure = result.figure()
    if figure is not None:
        report.heading("Forecasts").figure(figure, caption=f"test windows, horizon {config.horizons[0]}")
    report.heading("Each column").table(result.column_table())
    options = (folder / "config.yaml").read_text(encoding="utf-8")
    report.heading("Options").code(options).write(folder / "report.html")
