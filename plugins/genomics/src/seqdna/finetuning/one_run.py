"""One run of a fine-tuning: train, take the best weights, measure, write its folder.

A run's folder is a run folder of the trainer with two more files: `result.json` marks it as done, and
`predictions.csv` holds what it predicts for the test rows.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn

from seqdna.configs.finetune import FinetuneConfig
from seqdna.finetuning.batches import ScoringSequences, TrainingSequences
from seqdna.finetuning.head import Head, scaled
from seqdna.finetuning.labelled import LabelledSet, known
from seqdna.finetuning.metrics import lower_is_better, measure
from seqdna.finetuning.predict import embeddings, outputs_along, outputs_of
from seqdna.finetuning.probe import fit_linear
from seqdna.finetuning.results import RunScores
from seqdna.finetuning.start import HEAD, Start, new_classifier
from seqdna.finetuning.tasks import SequenceTask, write_companions
from seqdna.models.base import DNAModel
from seqsuite.errors import UserError
from seqsuite.models.create import build_model
from seqsuite.models.lora import add_lora
from seqsuite.reports.csv_files import write_csv
from seqsuite.training import fit, seed_everything
from seqsuite.training.run_folder import process_rank, told, write_json


@dataclass(frozen=True)
class Job:
    """What one run works on.

    Attributes:
        name: Of the run.
        folder: Its folder.
        config: Its options; `steps` and `out` are this run's.
        train: Rows to train on.
        valid: Rows that choose the best weights.
        test: Rows to measure on.
        metric: What chooses.
        start: Where from.
    """

    name: str
    folder: Path
    config: FinetuneConfig
    train: LabelledSet = field(repr=False)
    valid: LabelledSet = field(repr=False)
    test: LabelledSet = field(repr=False)
    metric: str
    start: Start


def done_before(job: Job) -> RunScores | None:
    """Return the scores of a run that an earlier start finished."""
    path = job.folder / "result.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return RunScores(**{**values, "rows": tuple(values["rows"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def run_network(job: Job, *, build: Callable[[], nn.Module] | None = None) -> RunScores | None:
    """Train a network and measure its best weights.

    Args:
        job: What to work on.
        build: Makes another network than the start's; for baselines.

    Returns:
        The scores; None where the run was stopped by `max_minutes`.
    """
    from seqdna.finetuning.stopping import Patience

    began = time.monotonic()
    config, tokenizer = job.config, job.start.tokenizer
    head = scaled(job.train, crop=config.crop)
    seed_everything(config.seed)
    model = build() if build is not None else trainable_model(job.start, config, job.train)
    task = SequenceTask(model, config, head=head, metric=job.metric, tokenizer=tokenizer)
    train = TrainingSequences(
        job.train, tokenizer, batch_size=config.batch_size, seed=config.seed, crop=config.crop,
        rc_augment=config.rc_augment, mutate=config.mutate,
    )  # fmt: skip
    valid = ScoringSequences(job.valid, tokenizer, crop=config.crop)
    stops = (
        [Patience(job.metric, config.patience, lower_is_better=lower_is_better(job.metric))] if config.patience else []
    )
    done = fit(task, train, valid, config, callbacks=stops, export="best", report=build is None)
    if done.reason == "time":
        return None
    model.to(_device(config))

    def scores(part: LabelledSet) -> np.ndarray:
        if part.bases_per_label:
            return head.scores(outputs_along(model, tokenizer, part))
        return head.scores(outputs_of(model, tokenizer, part.sequences, head))

    trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    result = _measured(job, head, scores, steps=done.steps, trainable=trainable, began=began)
    model.cpu()
    return result


def trainable_model(start: Start, config: FinetuneConfig, data: LabelledSet) -> DNAModel:
    """Build the network of a run; what `config.mode` does not train needs no gradient.

    Args:
        start: Where from.
        config: The options.
        data: What to learn.

    Raises:
        UserError: The head cannot be exchanged, or `lora_targets` names no linear layer.
    """
    model = new_classifier(start, config, outputs=data.outputs, bases_per_label=data.bases_per_label)
    if config.mode == "lora":
        try:
            add_lora(
                model, rank=config.lora_rank, alpha=config.lora_alpha, targets=config.lora_targets, trainable=(HEAD,)
            )
        except UserError as error:
            raise UserError(f"--lora_targets: {error}") from error
    elif config.mode == "frozen":
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.startswith(f"{HEAD}."))
    return model


def _device(config: FinetuneConfig) -> str:
    wanted = config.accelerator in ("auto", "gpu", "cuda")
    return "cuda" if wanted and torch.cuda.is_available() else "cpu"


def run_probe(job: Job) -> RunScores | None:
    """Fit a linear model on embeddings and measure it; writes the unchanged model with the probe beside it."""
    began = time.monotonic()
    config, tokenizer = job.config, job.start.tokenizer
    model = job.start.model
    if model is None:
        seed_everything(config.seed)
        model = build_model(job.start.config)  # type: ignore[assignment]
        assert isinstance(model, DNAModel)
        model.name = job.start.name
    model.to(_device(config))
    poolings = tuple(config.pooling.split("+"))
    plain = Head(job.train.problem, job.train.classes, config.crop, pooling=poolings, conjoin=config.conjoin)

    def vectors(part: LabelledSet) -> np.ndarray:
        texts = ScoringSequences(part, tokenizer, crop=config.crop).texts
        return embeddings(model, tokenizer, texts, poolings, conjoin=config.conjoin)

    found = fit_linear(
        job.train.problem,
        (vectors(job.train), job.train.targets),
        (vectors(job.valid), job.valid.targets),
        metric=job.metric,
        outputs=job.train.outputs,
    )
    head = Head(
        plain.problem, plain.classes, plain.crop, pooling=poolings, conjoin=config.conjoin,
        weight=found.weight, bias=found.bias,
    )  # fmt: skip
    if process_rank() == 0:
        _write_probe(job, model, head)

    def scores(part: LabelledSet) -> np.ndarray:
        return head.scores(outputs_of(model, tokenizer, part.sequences, head))

    result = _measured(job, head, scores, steps=0, trainable=found.weight.size + found.bias.size, began=began)
    model.cpu()
    return result


def _write_probe(job: Job, model: DNAModel, head: Head) -> None:
    aside = job.folder / f".model.{os.getpid()}.tmp"
    with told(job.folder):
        job.folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        model.save_pretrained(aside)
        write_companions(aside, job.start.tokenizer, head)
        shutil.rmtree(job.folder / "model", ignore_errors=True)
        os.replace(aside, job.folder / "model")


def _measured(
    job: Job,
    head: Head,
    scores: Callable[[LabelledSet], np.ndarray],
    *,
    steps: int,
    trainable: int,
    began: float,
) -> RunScores:
    """Measure the weights as they are, and mark the run as done."""
    test = scores(job.test)
    result = RunScores(
        name=job.name,
        seed=job.config.seed,
        valid=measure(head.problem, scores(job.valid), job.valid.judged()),
        test=measure(head.problem, test, job.test.judged()),
        steps=steps,
        rows=(len(job.train), len(job.valid), len(job.test)),
        trainable=trainable,
        seconds=time.monotonic() - began,
    )
    if process_rank() == 0:
        write_csv(job.folder / "predictions.csv", *_predictions(job.test, head, test))
        write_json(job.folder / "result.json", asdict(result))
    return result


def _predictions(data: LabelledSet, head: Head, scores: np.ndarray) -> tuple[list[str], Iterator[list[str]]]:
    """Return header and lines of predictions.csv: a line a row; of labels along it, how many are there and right."""
    if not data.bases_per_label:
        words = zip(data.places, head.truth(data.targets), head.said(scores), scores, strict=True)
        lines = ([place, truth, said, *(f"{v:.6g}" for v in row)] for place, truth, said, row in words)
        return ["row", "label", "predicted", *(f"score_{name}" for name in head.classes)], lines
    truth = data.judged()
    right = scores.argmax(1) == truth if data.problem == "classification" else ((scores > 0.5) == truth).all(1)
    counts = [int(known(target).sum()) for target in data.targets]
    each = zip(data.places, counts, np.split(right, np.cumsum(counts)[:-1]), strict=True)
    return ["row", "labels", "right"], ([place, str(count), str(int(part.sum()))] for place, count, part in each)
