"""From labelled clips to a measured classifier: what `seqaudio classify` does, as a function.

    from seqaudio.classification import classify
    result = classify(ClassifyConfig("digits.npz", out="runs/digits"))
    result.runs[0].accuracy

Each run (seed, or value held out) is a run folder of its own below `runs`, each baseline one below `baselines`;
what is finished is not repeated on --resume.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from seqaudio.classification.clips import LabelledClips, read_labelled, without_silence
from seqaudio.classification.networks import network_config
from seqaudio.classification.one_run import CNN, LINEAR, Job, done_before, run_classifier, run_cnn, run_linear
from seqaudio.classification.results import ClassifyResult, RunScores
from seqaudio.classification.splits import Plan, plan_runs
from seqaudio.configs.classify import ClassifyConfig
from seqsuite.errors import UserError
from seqsuite.reports import Report
from seqsuite.training import RunFolder, say
from seqsuite.training.run_folder import process_rank, told, write_json

_PARTS = ("runs", "baselines")
_BASELINES: dict[str, tuple[str, Callable[[Job], RunScores | None]]] = {
    LINEAR: ("linear", run_linear),
    CNN: ("cnn", run_cnn),
}


def classify(config: ClassifyConfig) -> ClassifyResult | None:
    """Train a classifier of clips, measure it on the test clips beside simple models, write the run folder.

    Args:
        config: The options.

    Returns:
        The result; None where a run is not complete (`max_minutes`).

    Raises:
        UserError: The clips, an option or the run folder; one line says what to do.
        Interrupted: Ctrl-C; the state was saved.
    """
    began = time.monotonic()
    if process_rank() != 0:
        raise UserError("seqaudio classify runs in one process; start it without torchrun")
    if config.threads:
        torch.set_num_threads(config.threads)
    data = open_data(config)
    plans = plan_runs(data, config)
    folder, prints = RunFolder(config.out), {"clips": data.fingerprint()}
    folder.check_further(_PARTS, config)
    with folder.claim(config, prints):
        say(describe(data, plans))
        if not config.resume:
            folder.remove_further(_PARTS)
        folder.begin(config, prints)
        jobs = [Job(folder.path / "runs" / plan.name, config, data, plan) for plan in plans]
        scores = _all(jobs, run_classifier, config.model)
        baselines = {} if scores is None or not config.baselines else _baselines(folder, jobs)
        if scores is None or baselines is None:
            say("stopped before the last run was done; go on with --resume")
            return None
        _take_model(folder, plans[0])
        seconds = time.monotonic() - began
        result = ClassifyResult(folder.path, data.classes, tuple(scores), baselines, data.skipped, seconds)
        _write(result, data, plans)
        return result


def open_data(config: ClassifyConfig) -> LabelledClips:
    """Read and check the clips; nothing is written.

    Raises:
        UserError: The clips or the model.
    """
    rate = network_config(
        config.model, {k: v for k, v in config.model_options.items() if k != "num_classes"}, classes=2
    )
    data = read_labelled(
        config.source,
        rate=rate.sample_rate,
        label_column=config.label_column,
        npz_rate=config.npz_rate,
        on_error=config.on_error,
    )
    network_config(config.model, config.model_options, classes=len(data.classes))
    return without_silence(data, on_error=config.on_error)


def describe(data: LabelledClips, plans: Sequence[Plan]) -> str:
    """Say what the clips are and how they are divided."""
    seconds = [stretch.frames / stretch.rate for stretch in data.clips.stretches]
    counts = Counter(data.labels.tolist())
    shown = ", ".join(f"{data.classes[label]} {counts[label]:,}" for label in sorted(counts)[:12])
    plan = plans[0]
    untested = sorted(set(range(len(data.classes))) - set(data.labels[plan.test].tolist()))
    split = f"train {len(plan.train):,}, valid {len(plan.valid):,}, test {len(plan.test):,}"
    return (
        f"data: {len(data):,} clips of {min(seconds):.2f} to {max(seconds):.2f} s, {sum(seconds):.0f} s in all; "
        f"{len(data.classes)} classes ({shown}{', ...' if len(counts) > 12 else ''}); {split}"
        f"{f'; no test clip of {data.classes[untested[0]]!r}' if untested else ''}"
        f"{f' and {len(untested) - 1} other classes' if len(untested) > 1 else ''}"
        f"{f'; {len(plans)} runs' if len(plans) > 1 else ''}"
        f"{f'; {len(data.skipped)} clips are skipped' if data.skipped else ''}"
    )


def _all(jobs: Sequence[Job], run: Callable[[Job], RunScores | None], name: str) -> list[RunScores] | None:
    found = []
    for job in jobs:
        scores = done_before(job) if job.config.resume else None
        if scores is None:
            what = f" without {job.plan.held_out}" if job.plan.held_out else ""
            say(f"{name}: {job.plan.name}{what}")
            scores = run(job)
        if scores is None:
            return None
        found.append(scores)
    return found


def _baselines(folder: RunFolder, jobs: Sequence[Job]) -> dict[str, list[RunScores]] | None:
    """Measure the simple models on the same splits; None where one was stopped."""
    result = {}
    for name, (place, run) in _BASELINES.items():
        mine = [
            Job(folder.path / "baselines" / f"{place}_{job.plan.name}", job.config, job.data, job.plan) for job in jobs
        ]
        scores = _all(mine, run, name)
        if scores is None:
            return None
        result[name] = scores
    return result


def _take_model(folder: RunFolder, plan: Plan) -> None:
    with told(folder.model):
        shutil.rmtree(folder.model, ignore_errors=True)
        shutil.copytree(folder.path / "runs" / plan.name / "model", folder.model)
        if folder.checkpoints.is_dir() and not any(folder.checkpoints.iterdir()):
            folder.checkpoints.rmdir()


def _write(result: ClassifyResult, data: LabelledClips, plans: Sequence[Plan]) -> None:
    folder = result.folder
    write_json(folder / "summary.json", result.to_dict())
    report = Report(f"{result.runs[0].model} on {Path(data.source).name}", subtitle=folder.name)
    report.heading("Test clips").table(result.table()).text(describe(data, plans))
    report.figure(result.figure(), caption=f"{result.runs[0].model}: test clips of all runs")
    if len(result.runs) > 1:
        report.heading("Accuracy of each run").table(result.run_table())
    if result.skipped:
        report.heading("Skipped").table([{"clip": name, "why": why} for name, why in result.skipped])
    options = (folder / "config.yaml").read_text(encoding="utf-8")
    report.heading("Options").code(options).write(folder / "report.html")
