"""From labelled inputs to a measured classifier: what `seqvision train` does, as a function.

from seqvision.training import train
result = train(VisionTrainConfig("digits", hflip=0.0, out="runs/digits"))
result.test.top1, result.fit.folder
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from seqsuite.errors import UserError
from seqsuite.reports import Report, TableView, training_report
from seqsuite.training import FitResult, RunFolder, fit, say, seed_everything
from seqsuite.training.run_folder import process_rank, write_json
from seqvision.configs.train import VisionTrainConfig
from seqvision.data.labelled import Labelled, ScoringItems, TrainingItems
from seqvision.data.opening import open_labelled
from seqvision.evaluation.results import Evaluation, any_script
from seqvision.evaluation.run import measure_items
from seqvision.training.models import begin_from, make_model
from seqvision.training.optim import make_optimizer, make_schedule
from seqvision.training.task import Averaging, ClassifyInputs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_IN_WORKER = "Caught UserError in DataLoader worker"


@dataclass(frozen=True)
class TrainResult(TableView):
    """How a run went.

    Attributes:
        fit: Steps, seconds, folder.
        data: What it was trained on.
        test: Measured on the test split; None where there is none, or the run is not complete.
    """

    fit: FitResult
    data: Labelled = field(repr=False)
    test: Evaluation | None

    def table(self) -> dict[str, Any]:
        """Return the figures by name."""
        facts, rate = self.fit.table(), self.fit.tokens_per_second
        # A run that ends as its clock begins has no rate.
        rates = {f"{self.data.unit}s per second": rate} if rate else {}
        facts = {name: value for name, value in facts.items() if name != "tokens per second"}
        return {**({} if self.test is None else self.test.table()), **rates, **facts}

    def figure(self) -> Figure | None:
        """Draw the confusion matrix of the test."""
        return None if self.test is None else self.test.figure()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        facts = {"folder": str(self.fit.folder), "steps": self.fit.steps, "seconds": round(self.fit.seconds, 2)}
        facts |= {f"{self.data.unit}s_per_second": round(self.fit.tokens_per_second, 2)}
        facts |= {"finished": self.fit.reason == "finished", "metrics": self.fit.metrics}
        return facts | {"test": None if self.test is None else self.test.to_dict()}


def train(config: VisionTrainConfig) -> TrainResult:
    """Train a classifier, measure it on the test split, write the run folder.

    Args:
        config: The options.

    Returns:
        The result; of processes other than the first without the test.

    Raises:
        UserError: The data, an option or the run folder; one line says what to do.
        Interrupted: Ctrl-C; the state was saved.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    data = open_labelled(config)
    if data.train is None or not len(data.train):
        raise UserError(f"{config.source}: marks no {data.unit} to train on")
    config = planned(config, len(data.train))
    seed_everything(config.seed)
    model = make_model(config, data)
    note = begin_from(model, config.pretrained_from) if config.pretrained_from and not config.resume else ""
    task = ClassifyInputs(model, config, unit=data.unit)
    make_schedule(make_optimizer(model, config), config)  # refused here, while there is nothing yet to be lost
    for line in (data.describe(), *data.notes, note):
        if line:
            say(line)
    try:
        done = fit(
            task,
            TrainingItems(data.train, config.seed),
            ScoringItems(data.valid) if data.valid is not None and len(data.valid) else None,
            config,
            inputs={"data": data.fingerprint},
            callbacks=[Averaging()],
            export=config.export if data.valid is not None else "last",
        )
    except UserError as error:
        raise _one_line(error) from error
    test = None
    if done.reason == "finished" and process_rank() == 0:
        test = _measured(task, config, data, done)
    return TrainResult(done, data, test)


def planned(config: VisionTrainConfig, count: int) -> VisionTrainConfig:
    """Return the options with steps for epochs, and a batch that is no larger than the training set.

    Args:
        config: The options.
        count: Inputs to train on.
    """
    batch = config.batch_size
    if batch > count:
        parts = config.accumulate * (2 if config.mixes else 1)
        batch = max(parts, count - count % parts)
    steps = config.steps or max(1, round(config.epochs * math.ceil(count / batch)))
    return dataclasses.replace(config, batch_size=batch, steps=steps)


def _measured(task: ClassifyInputs, config: VisionTrainConfig, data: Labelled, done: FitResult) -> Evaluation | None:
    """Measure the exported weights on the test split; write summary.json and report.html."""
    test = None
    if data.test is not None and len(data.test):
        wanted = config.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
        model = task.result.to("cuda" if wanted else "cpu")
        test = measure_items(model, data, "test", batch=config.batch_size)
    folder = RunFolder(config.out)
    facts = {"model": config.model, "parameters": task.result.num_parameters(), "steps": done.steps}
    facts |= {"seconds": done.seconds, "metrics": done.metrics}
    write_json(folder.path / "summary.json", facts | {"test": None if test is None else test.to_dict()})
    _report(folder, config, data, test)
    return test


def _report(folder: RunFolder, config: VisionTrainConfig, data: Labelled, test: Evaluation | None) -> None:
    report = Report(f"{config.model} on {data.source}", subtitle=folder.path.name)
    if test is not None:
        with any_script():
            report.heading("Test").table(test.table()).figure(test.figure(), caption="classes as they were called")
        report.table(test.class_table(), caption="One row a class")
    report.heading("Data").text(data.describe())
    for line in data.notes:
        report.text(line)
    if len(data.classes) <= 100:
        report.table(data.counts(), caption=f"{data.unit.capitalize()}s of each class")
    if data.skipped:
        report.table([{"skipped": name, "why": why} for name, why in data.skipped])
    training_report(folder.path, into=report).write(folder.path / "report.html")


def _one_line(error: UserError) -> UserError:
    """Return an error of a process that reads data without its traceback."""
    text = str(error)
    if _IN_WORKER not in text:
        return error
    return UserError(text.strip().rsplit("UserError: ", 1)[-1].splitlines()[0])
