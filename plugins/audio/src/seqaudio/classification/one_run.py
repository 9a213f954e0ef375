"""One model on one split: train or fit it, measure it on the test clips, write its folder.

`result.json` marks a run as done; `predictions.csv` beside it holds what it says of each test clip.
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn

from seqaudio.classification.augment import Augmentation
from seqaudio.classification.batches import ScoringClips, TrainingClips
from seqaudio.classification.clips import LabelledClips
from seqaudio.classification.metrics import confusion, measure
from seqaudio.classification.networks import LogMel, LogMelCNN, make_network
from seqaudio.classification.predicting import Classifier
from seqaudio.classification.results import RunScores
from seqaudio.classification.splits import Plan
from seqaudio.classification.task import ClassifyClips
from seqaudio.configs.classify import ClassifyConfig
from seqsuite.reports.csv_files import write_csv
from seqsuite.training import RunFolder, fit, seed_everything
from seqsuite.training.run_folder import told, write_json

CNN, LINEAR = "log-mel CNN", "log-mel mean and deviation, logistic regression"


@dataclass(frozen=True)
class Job:
    """What one run works on.

    Attributes:
        folder: Its folder.
        config: The command's options.
        data: All clips.
        plan: Which of them for what.
    """

    folder: Path
    config: ClassifyConfig
    data: LabelledClips = field(repr=False)
    plan: Plan


def done_before(job: Job) -> RunScores | None:
    """Return the scores of a run that an earlier start finished."""
    try:
        return RunScores.from_dict(json.loads((job.folder / "result.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def run_classifier(job: Job) -> RunScores | None:
    """Train and measure the classifier; None where it was stopped by `max_minutes`."""
    config = job.config

    def build() -> nn.Module:
        return make_network(config.model, config.model_options, classes=len(job.data.classes))

    return run_network(job, config.model, build, epochs=config.epochs, steps=config.steps, lr=config.lr)


def run_cnn(job: Job) -> RunScores | None:
    """Train and measure the log-mel CNN by the same trainer on the same changed clips."""
    config, data = job.config, job.data

    def build() -> nn.Module:
        return LogMelCNN(data.clips.rate, len(data.classes))

    steps = round(config.steps * config.cnn_epochs / config.epochs)
    return run_network(job, CNN, build, epochs=config.cnn_epochs, steps=steps, lr=config.cnn_lr)


def run_network(
    job: Job, name: str, build: Callable[[], nn.Module], *, epochs: float, steps: int, lr: float
) -> RunScores | None:
    """Train and measure a network; None where it was stopped by `max_minutes`.

    Args:
        job: What to work on.
        name: Of the model.
        build: Makes the network.
        epochs: Passes over the training clips, where `steps` is 0.
        steps: Steps.
        lr: Learning rate.
    """
    began = time.monotonic()
    data, plan, config = job.data, job.plan, _options(job, epochs=epochs, steps=steps, lr=lr)
    seed_everything(plan.seed)
    model = build()
    rate = data.clips.rate
    task = ClassifyClips(model, config, classes=data.classes, rate=rate, label_smoothing=config.label_smoothing)
    augment = Augmentation.from_config(config)
    train = TrainingClips(data.clips, plan.train, data.labels, seed=plan.seed, augment=augment)
    valid = ScoringClips(data.clips, plan.valid, data.labels) if len(plan.valid) else None
    done = fit(task, train, valid, config, export="best" if valid else "last", inputs={"clips": data.fingerprint()})
    if done.reason != "finished":
        return None
    wanted = config.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    classifier = Classifier(model.to("cuda" if wanted else "cpu"), data.classes, rate)
    _, probs = classifier.embed([data.clips.samples(int(row)) for row in plan.test])
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return _measured(job, name, probs, steps=done.steps, parameters=parameters, began=began)


def _options(job: Job, *, epochs: float, steps: int, lr: float) -> ClassifyConfig:
    config, count = job.config, len(job.plan.train)
    batch = min(config.batch_size, count)
    batch -= batch % config.accumulate if batch > config.accumulate else 0
    epoch = max(1, math.ceil(count / batch))
    return dataclasses.replace(
        config,
        steps=steps or max(1, round(epochs * epoch)),
        batch_size=batch,
        lr=lr,
        seed=job.plan.seed,
        out=str(job.folder),
        overwrite=False,
        resume=config.resume and RunFolder(job.folder).holds_run,
        hold_out="",
        seeds=1,
    )


def run_linear(job: Job) -> RunScores:
    """Fit and measure logistic regression on the mean and the deviation of each log mel band over a clip."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    began = time.monotonic()
    data, plan = job.data, job.plan
    rows = np.concatenate((plan.train, plan.valid))
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))
    model.fit(_statistics(data, rows), data.labels[rows])
    found = model.predict_proba(_statistics(data, plan.test))
    probs = np.zeros((len(plan.test), len(data.classes)))
    probs[:, model[-1].classes_] = found
    parameters = model[-1].coef_.size + model[-1].intercept_.size
    job.folder.mkdir(parents=True, exist_ok=True)
    return _measured(job, LINEAR, probs, steps=0, parameters=parameters, began=began)


def _statistics(data: LabelledClips, rows: np.ndarray) -> np.ndarray:
    log_mel = LogMel(data.clips.rate)
    found = []
    for row in rows:
        wave = torch.from_numpy(data.clips.samples(int(row)))[None]
        bands = log_mel(wave, torch.tensor([wave.shape[1]]))[0][0]
        found.append(torch.cat((bands.mean(1), bands.std(1, correction=0))).numpy())
    return np.stack(found)


def _measured(job: Job, name: str, probs: np.ndarray, *, steps: int, parameters: int, began: float) -> RunScores:
    """Score probabilities of the test clips, and mark the run as done."""
    data, plan = job.data, job.plan
    truth, found = data.labels[plan.test], probs.argmax(1)
    matrix = confusion(truth, found, len(data.classes))
    result = RunScores(
        name=plan.name,
        model=name,
        held_out=plan.held_out,
        **measure(matrix),
        confusion=tuple(tuple(row) for row in matrix.tolist()),
        clips=(len(plan.train), len(plan.valid), len(plan.test)),
        steps=steps,
        parameters=parameters,
        seconds=time.monotonic() - began,
    )
    header = ["file", "label", "predicted", *data.classes]
    lines = (
        [data.clips.names[row], data.classes[label], data.classes[said], *(f"{p:.6g}" for p in probs_row)]
        for row, label, said, probs_row in zip(plan.test, truth, found, probs, strict=True)
    )
    with told(job.folder):
        write_csv(job.folder / "predictions.csv", header, lines)
        write_json(job.folder / "result.json", dataclasses.asdict(result))
    return result
