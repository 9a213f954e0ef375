"""From labelled sequences to a measured model: what `seqdna finetune` does, as a function.

    from seqdna.configs.finetune import FinetuneConfig
    from seqdna.finetuning import finetune
    result = finetune(FinetuneConfig(data="sites.csv", model="runs/mine", out="runs/sites"))
    result.values("accuracy")

Each run (seed, fold) is a run folder of its own below `runs`; a finished one is not repeated on --resume.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import math
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seqdna.configs.filter_reach import filter_reach
from seqdna.configs.finetune import FinetuneConfig
from seqdna.finetuning.baselines import SmallCNN, linear_baselines, majority
from seqdna.finetuning.labelled import LabelledSet, check_reach, class_counts, decide
from seqdna.finetuning.metrics import choose, lower_is_better
from seqdna.finetuning.one_run import Job, done_before, run_network, run_probe, trainable_model
from seqdna.finetuning.parts import check_parts, remove_parts
from seqdna.finetuning.readers import read_all
from seqdna.finetuning.results import FinetuneResult, Metrics, RunScores
from seqdna.finetuning.splits import Plan, plan_runs, shared_sequences
from seqdna.finetuning.start import Start, open_start
from seqdna.tokenizers import NucleotideTokenizer
from seqsuite.errors import UserError
from seqsuite.reports import Report
from seqsuite.reports.csv_files import write_csv
from seqsuite.training import RunFolder, say
from seqsuite.training.run_folder import process_rank, told, write_json


@dataclass(frozen=True)
class Inputs:
    """What a fine-tuning stands on, checked before anything is written.

    Attributes:
        data: All rows.
        plans: The runs.
        start: The model to start from.
        metric: What chooses the best weights.
    """

    data: LabelledSet
    plans: list[Plan] = field(repr=False)
    start: Start
    metric: str


def finetune(config: FinetuneConfig) -> FinetuneResult | None:
    """Fine-tune a model on labelled sequences, measure it on the test rows, write the run folder.

    Args:
        config: The options.

    Returns:
        The result; None where a run is not complete (`max_minutes`) or in the further processes of a distributed run.

    Raises:
        UserError: The data, an option or the run folder; one line says what to do.
        Interrupted: Ctrl-C; the state was saved.
    """
    began = time.monotonic()
    if config.threads:
        torch.set_num_threads(config.threads)
    inputs = open_inputs(config)
    folder = RunFolder(config.out)
    prints = {"data": _fingerprint(inputs.data), **_weights_print(inputs.start)}
    check_parts(folder, config)
    with folder.claim(config, prints):
        say(describe(inputs.data, inputs.plans))
        if process_rank() == 0 and not config.resume:
            check_parts(folder, config)  # another process may have been here since
            remove_parts(folder)
        folder.begin(config, prints)
        scores = _runs(config, inputs, folder.path)
        if scores is None:
            say("stopped before the last run was done; go on with --resume")
            return None
        if process_rank() != 0:
            return None
        baselines = _baselines(config, inputs, folder.path) if config.baselines else {}
        result = _result(config, inputs, folder.path, scores, baselines, began)
        _write(result, inputs, folder.path)
        return result


def open_inputs(config: FinetuneConfig) -> Inputs:
    """Read and check everything a fine-tuning stands on; nothing is written.

    Raises:
        UserError: The data, the model or an option; one line says what to do.
    """
    data = decide(read_all(config), config.problem)
    _check_along(config, data)
    start = open_start(config)
    if data.bases_per_label and not isinstance(start.tokenizer, NucleotideTokenizer):
        raise UserError(f"{start.source}: labels along a sequence need a tokenizer with one token a base.")
    reach = filter_reach(getattr(start.config, "mixer_options", {}))
    way = "cut it and its labels." if data.bases_per_label else f"cut it, or add --crop {reach}."
    check_reach(reach, data.sequences, data.place, crop=config.crop, way=way)
    metric = choose(config.metric, data.problem, data.outputs)
    plans = plan_runs(
        data,
        folds=config.folds,
        seeds=config.seeds,
        valid_fraction=config.valid_fraction,
        test_fraction=config.test_fraction,
        seed=config.seed,
        limit=config.limit,
        parts=config.parts,
    )
    for plan in plans:
        _check_metric(data, plan, metric)
    if config.mode != "probe":  # what cannot be built or changed ends the run here, before anything is written
        trainable_model(start, config, data)
    return Inputs(data, plans, start, metric)


def _check_along(config: FinetuneConfig, data: LabelledSet) -> None:
    """Refuse options that mean nothing for labels along the sequences."""
    if not data.bases_per_label:
        return
    flags = {
        "mode probe": config.mode == "probe",
        "classifier conv": config.classifier == "conv",
        "crop": bool(config.crop),
        "rc_augment": config.rc_augment,
        "conjoin": config.conjoin,
    }
    for flag in (flag for flag, given in flags.items() if given):
        way = "; --mode frozen trains BEND's two convolutions on the unchanged features" if "probe" in flag else ""
        raise UserError(f"--{flag}: {data.source} has labels along its sequences, of the strand given{way}.")


def _check_metric(data: LabelledSet, plan: Plan, metric: str) -> None:
    """Refuse a metric that is not defined on the validation rows, since it could choose nothing."""
    found, wrong = data.take(plan.valid).judged(), ""
    if data.problem == "classification" and metric in ("auroc", "auprc"):
        lacking = set(range(data.outputs)) - set(found.tolist())
        if lacking:
            name = data.classes[min(lacking)]
            wrong = f"no validation row is of the class {name!r}, and --metric {metric} needs all classes"
    elif data.problem == "multi_label" and metric in ("auroc", "auprc"):
        if not any(0 < column.sum() < len(column) for column in found.T):
            wrong = f"every label is the same in all validation rows, and --metric {metric} needs both values of one"
    elif data.problem == "regression" and metric != "mse":
        same = [name for name, column in zip(data.classes, found.T, strict=True) if np.ptp(column) == 0]
        if same:
            wrong = f"all validation rows have one value of {same[0]!r}, and --metric {metric} needs different ones"
    if wrong:
        raise UserError(f"{data.source}: {wrong}; give more validation rows, or choose another --metric.")


def _fingerprint(data: LabelledSet) -> str:
    digest = hashlib.sha256()
    for text, split in zip(data.sequences, data.splits or ("",) * len(data), strict=True):
        digest.update(f"{text}\t{split}\n".encode())
    for target in data.targets if data.bases_per_label else (data.targets,):
        digest.update(target.tobytes())
    return digest.hexdigest()


def _weights_print(start: Start) -> dict[str, str]:
    """Return the fingerprint of the weights to start from; nothing where they are fresh."""
    if start.weights is None:
        return {}
    digest = hashlib.sha256()
    for name, weight in sorted(start.weights.items()):
        digest.update(f"{name}\t{tuple(weight.shape)}\n".encode())
        digest.update(weight.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return {"weights of --model": digest.hexdigest()}


def describe(data: LabelledSet, plans: Sequence[Plan]) -> str:
    """Say what the data are: rows, classes, lengths and how they are divided."""
    lengths = [len(text) for text in data.sequences]
    span = f"{lengths[0]:,}" if data.equal_lengths else f"{min(lengths):,} to {max(lengths):,}"
    counts = class_counts(data)
    shown = ", ".join(f"{name} {count:,}" for name, count in list(counts.items())[:8])
    what = f"{len(counts)} classes ({shown}{', ...' if len(counts) > 8 else ''})" if counts else ", ".join(data.classes)
    plan = plans[0]
    split = f"train {len(plan.train):,}, valid {len(plan.valid):,}, test {len(plan.test):,}"
    runs = f"; {len(plans)} runs" if len(plans) > 1 else ""
    if data.bases_per_label:
        split += f"; a label for every {data.bases_per_label:,} base{'s' if data.bases_per_label > 1 else ''}"
    return f"data: {len(data):,} sequences of {span} bases; {data.problem.replace('_', '-')}: {what}; {split}{runs}"


def _job(config: FinetuneConfig, inputs: Inputs, plan: Plan, folder: Path) -> Job:
    """Return one run's part of the data and its options."""
    batch = min(config.batch_size, len(plan.train))
    batch -= batch % config.accumulate if batch > config.accumulate else 0
    epoch = max(1, math.ceil(len(plan.train) / batch))
    steps = config.steps or max(1, round(config.epochs * epoch))
    options = dataclasses.replace(
        config,
        steps=steps,
        batch_size=batch,
        validate_every=config.validate_every or min(epoch, steps),
        seed=plan.seed,
        out=str(folder),
        overwrite=False,
        resume=config.resume and RunFolder(folder).holds_run,
        folds=1,
        seeds=1,
    )
    train, valid, test = (inputs.data.take(rows) for rows in (plan.train, plan.valid, plan.test))
    return Job(plan.name, folder, options, train, valid, test, inputs.metric, inputs.start)


def _runs(config: FinetuneConfig, inputs: Inputs, folder: Path) -> list[RunScores] | None:
    found = []
    for plan in inputs.plans:
        job = _job(config, inputs, plan, folder / "runs" / plan.name)
        before = done_before(job) if config.resume else None
        if before is None:
            say(f"run {plan.name}")
            before = run_probe(job) if config.mode == "probe" else run_network(job)
        if before is None:
            return None
        found.append(before)
    return found


def _baselines(config: FinetuneConfig, inputs: Inputs, folder: Path) -> dict[str, list[Metrics]]:
    """Fit the simple models once for each test set."""
    result: dict[str, list[Metrics]] = {}
    seen = set()
    for plan in inputs.plans:
        if plan.test.tobytes() in seen:
            continue
        seen.add(plan.test.tobytes())
        say(f"baselines on the split of {plan.name}")
        job = _job(config, inputs, plan, folder / "baselines" / plan.name)
        kind = "majority class" if inputs.data.problem == "classification" else "mean of the training rows"
        found: dict[str, Metrics] = {kind: majority(job.train, job.test)}
        along = inputs.data.bases_per_label > 0
        if not along:
            found |= linear_baselines(job.train, job.valid, job.test, metric=inputs.metric, crop=config.crop)
        network = _cnn(job)
        if network is not None:
            found["one-hot bases, two convolutions" if along else "small CNN"] = network.test
        for name, metrics in found.items():
            result.setdefault(name, []).append(metrics)
    return result


def _cnn(job: Job) -> RunScores | None:
    """Train the small convolutional network as the model was trained, with the learning rate that suits it."""
    if job.config.resume and (before := done_before(job)) is not None:
        return before
    tokenizer = job.start.tokenizer

    def build() -> torch.nn.Module:
        bases = job.train.bases_per_label
        return SmallCNN(tokenizer.base_ids.tolist(), tokenizer.pad_id, job.train.outputs, bases)

    options = dataclasses.replace(
        job.config,
        lr=1e-3,
        mode="full",
        pooling="mean",
        classifier="linear",
        conjoin=False,
        accumulate=1,
        checkpoint_activations=False,
    )
    return run_network(dataclasses.replace(job, config=options), build=build)


def _result(
    config: FinetuneConfig,
    inputs: Inputs,
    folder: Path,
    scores: list[RunScores],
    baselines: dict[str, list[Metrics]],
    began: float,
) -> FinetuneResult:
    sign = -1 if lower_is_better(inputs.metric) else 1
    best = max(scores, key=lambda run: sign * run.valid.get(inputs.metric, -math.inf * sign))
    model = folder / "model"
    shutil.rmtree(model, ignore_errors=True)
    with told(model):
        shutil.copytree(folder / "runs" / best.name / "model", model)
        if (folder / "checkpoints").is_dir() and not any((folder / "checkpoints").iterdir()):
            (folder / "checkpoints").rmdir()
    return FinetuneResult(
        folder=folder,
        model=inputs.start.name,
        mode=config.mode,
        pretrained=inputs.start.pretrained,
        problem=inputs.data.problem,
        classes=inputs.data.classes,
        metric=inputs.metric,
        runs=tuple(scores),
        best=best.name,
        baselines=baselines,
        shared=float(np.mean([shared_sequences(inputs.data, plan) for plan in inputs.plans])),
        trainable=scores[0].trainable,
        seconds=time.monotonic() - began,
    )


def _write(result: FinetuneResult, inputs: Inputs, folder: Path) -> None:
    write_json(folder / "summary.json", result.to_dict())
    lines: list[Sequence[Any]] = []
    header: Sequence[str] = ()
    for run in result.runs:
        with open(folder / "runs" / run.name / "predictions.csv", newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        lines.extend([run.name, *row] for row in rows)
    write_csv(folder / "predictions.csv", ["run", *header], lines)
    report = Report(f"{result.title} on {Path(inputs.data.source).name}", subtitle=folder.name)
    report.heading("Test rows").table(result.table()).text(caption(result))
    report.figure(result.figure(), caption=f"test {result.metric}: a point a run, baselines in grey")
    report.heading("Runs").table(result.run_table())
    report.heading("Data").text(describe(inputs.data, inputs.plans))
    census = [inputs.start.tokenizer.census(text) for text in inputs.data.sequences]
    total = sum(census[1:], census[0]).to_dict()
    report.table({name.replace("_", " "): count for name, count in total.items()}, caption="Letters")
    options = (folder / "config.yaml").read_text(encoding="utf-8")
    report.heading("Options").code(options).write(folder / "report.html")


def caption(result: FinetuneResult) -> str:
    """Say in words how the figures of a result were measured."""
    runs = len(result.runs)
    text = f"Weights chosen by the validation {result.metric}, measured once on the test rows"
    text += f"; mean (least to most) of {runs} runs." if runs > 1 else "."
    text += f" {result.trainable:,} parameters trained."
    if result.shared:
        text += f" {100 * result.shared:.1f} % of the test sequences are among the training or validation rows too."
    return text
