"""Playing in the environment while a policy trains: returns by step, the best weights kept beside the last ones.

An evaluation lays the random generators and the clock aside and gives both back, so that a run with evaluations ends
with the bits of one without. What was measured is part of every checkpoint: a resumed run repeats no evaluation that
its checkpoint holds.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from seqsuite.errors import UserError
from seqsuite.models.base import Model
from seqsuite.reports.csv_files import write_csv
from seqsuite.training import Task, say
from seqsuite.training.callbacks import Meter, ends_step
from seqsuite.training.generators import capture, restore
from seqsuite.training.run_folder import told

BEST = "best"
"""Folder of a run with the weights of the best evaluation, by mean return; `model` holds the last ones."""
TABLE = "evaluations.csv"


@dataclass(frozen=True)
class Played:
    """Episodes that a policy played for one target.

    Attributes:
        step: Training steps before it.
        target: Raw return that was asked for; None of a policy that takes none.
        return_mean: Raw return, mean over episodes.
        return_std: Their deviation.
        length_mean: Steps of an episode.
        normalized: Normalised score as a fraction; None without reference.
        episodes: How many.
    """

    step: int
    target: float | None
    return_mean: float
    return_std: float
    length_mean: float
    normalized: float | None
    episodes: int


Play = Callable[[Model, int], Sequence[Played]]
"""From a model and the step to what it reached, one entry a target."""


class Playing(Callback):
    """Evaluates every so many steps and at the end; keeps the best weights.

    A run without evaluations has one as well: it removes what an earlier run left in the folder, and carries on what
    was measured before an interruption.

    Args:
        play: Plays the episodes; None where `every` is 0.
        every: Steps between evaluations; 0: none.
        steps: Of the whole run; the last one is evaluated as well.
        folder: The run folder.

    Attributes:
        rows: What was measured, in the order of steps.
    """

    def __init__(self, play: Play | None, *, every: int, steps: int, folder: Path) -> None:
        self.play, self.every, self.steps, self.folder = play, every, steps, folder
        self.rows: list[Played] = []

    @property
    def best(self) -> Played | None:
        """The highest mean return over all steps and targets; the earliest of equals."""
        return max(self.rows, key=lambda row: row.return_mean, default=None)

    @property
    def last(self) -> list[Played]:
        """What the latest evaluation found, one entry a target."""
        return [row for row in self.rows if row.step == self.rows[-1].step]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the files in the state of the step that the run starts from."""
        if trainer.is_global_zero:
            if not self.rows:
                shutil.rmtree(self.folder / BEST, ignore_errors=True)
                (self.folder / TABLE).unlink(missing_ok=True)
            else:
                self._write()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Play where a step ends that is due; the keeper saves after it."""
        step = trainer.global_step
        if not self.every or not ends_step(trainer, batch_idx) or (step % self.every and step < self.steps):
            return
        assert isinstance(pl_module, Task)
        meter = next(part for part in trainer.callbacks if isinstance(part, Meter))  # type: ignore[attr-defined]
        meter.clock.pause()
        if trainer.is_global_zero:
            self._evaluate(pl_module, step)
        if trainer.world_size > 1:
            # Every rank saves the callback's state; the measurements are the first one's.
            self.rows = trainer.strategy.broadcast(self.rows)
        meter.clock.go()

    def _evaluate(self, task: Task, step: int) -> None:
        model = task.model
        assert isinstance(model, Model)
        assert self.play is not None
        generators, training = capture(), model.training
        before = None if self.best is None else self.best.return_mean
        model.eval()
        try:
            found = list(self.play(model, step))
        finally:
            model.train(training)
            restore(generators)
        self.rows += found
        for row in found:
            target = "" if row.target is None else f" for target {row.target:g}"
            score = "" if row.normalized is None else f", normalised {100 * row.normalized:.1f}"
            say(f"step {step}/{self.steps}  return {row.return_mean:.1f} +- {row.return_std:.1f}{target}{score}")
        if before is None or max(row.return_mean for row in found) > before:
            export_aside(task, self.folder / BEST)
        self._write()

    def _write(self) -> None:
        names = tuple(asdict(self.rows[0]))
        cells = [["" if value is None else value for value in asdict(row).values()] for row in self.rows]
        write_csv(self.folder / TABLE, names, cells)

    def state_dict(self) -> dict[str, Any]:
        """Return what was measured."""
        return {"rows": [asdict(row) for row in self.rows]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what a checkpoint's run had measured."""
        self.rows = [Played(**row) for row in state_dict["rows"]]


def export_aside(task: Task, folder: Path) -> None:
    """Write a model folder whole or not at all, over the one that is there.

    Args:
        task: Exports the model.
        folder: Where to.

    Raises:
        UserError: The disk is full or the place is not writable.
    """
    aside = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        with told(folder):
            aside.mkdir()
            task.export(aside)
            if folder.exists():
                shutil.rmtree(folder)
            os.replace(aside, folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def check_playable(config: Any) -> None:
    """Refuse a strategy whose weights lie in pieces on several devices, where no episode can be played.

    Raises:
        UserError: The strategy is one.
    """
    if config.eval_every and not str(config.strategy).startswith(("auto", "ddp", "single")):
        raise UserError(f"--eval_every does not work with --strategy {config.strategy}; use ddp")
