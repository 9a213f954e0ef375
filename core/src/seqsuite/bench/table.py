"""The proving ground: a table of mixers x tasks, from cells that are trained one by one and kept in a folder.

    from seqsuite.bench.table import run_tasks
    result = run_tasks(["parity"], ["mamba", "lstm"], seeds=3, preset="small", out="runs/tasks")
    result.table()                                 # rows: task and length; columns: mixers

A folder holds one JSON file a cell and can be gone on with: what is there with the same settings is not trained
again, other settings are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import seqsuite
from seqsuite.bench.kept import KeptCells
from seqsuite.bench.presets import Training, training_for
from seqsuite.bench.tasks import create_task
from seqsuite.bench.train import FACTORS, Cell, Row, check_lengths, row_of, train_cell
from seqsuite.errors import UserError, suggest
from seqsuite.mixers.create import parse_pattern
from seqsuite.reports import TableView

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from seqsuite.bench.tasks.base import Task


@dataclass(frozen=True)
class Spread:
    """Mean, least and greatest of the seeds' accuracies."""

    mean: float
    least: float
    greatest: float
    seeds: int

    def __str__(self) -> str:
        if self.seeds == 1:
            return f"{self.mean:.2f}"
        return f"{self.mean:.2f} ({self.least:.2f}..{self.greatest:.2f})"


class TaskTable(TableView):
    """Results of the proving ground.

    Attributes:
        cells: Every cell, in the order of tasks, rows and seeds.
        settings: What they were trained with, by task.
    """

    def __init__(self, cells: Sequence[Cell], settings: Mapping[str, Any]) -> None:
        self.cells = list(cells)
        self.settings = dict(settings)

    def spread(self, task: str, label: str, factor: int) -> Spread | None:
        """Return the accuracies of one row on one task at one multiple of the training length; None: not trained."""
        found = [c.accuracy[factor] for c in self.cells if (c.task, c.label) == (task, label) and factor in c.accuracy]
        return Spread(sum(found) / len(found), min(found), max(found), len(found)) if found else None

    def table(self) -> list[dict[str, Any]]:
        """Return a row a task and length, a column a stack of mixers: "mean (least..greatest)" over the seeds."""
        rows = []
        for task, factor, chance in dict.fromkeys((c.task, f, c.chance) for c in self.cells for f in c.accuracy):
            length = self.settings[task]["task"]["length"] * factor
            spreads = {label: self.spread(task, label, factor) for label in self._labels()}
            shown = {label: "" if spread is None else str(spread) for label, spread in spreads.items()}
            rows.append({"task": task, "length": length, "x": factor, "chance": f"{chance:.2f}", **shown})
        return rows

    def figure(self) -> Figure | None:
        """Return one panel a task: mean accuracy against the multiple of the training length."""
        from matplotlib.figure import Figure

        from seqsuite.reports.figures import COLOURS

        tasks = list(dict.fromkeys(cell.task for cell in self.cells))
        if not tasks:
            return None
        figure = Figure(figsize=(2.6 * min(4, len(tasks)) + 1.6, 2.4 * -(-len(tasks) // 4) + 0.6), layout="constrained")
        panels = figure.subplots(-(-len(tasks) // 4), min(4, len(tasks)), squeeze=False, sharey=True).ravel()
        for panel, task in zip(panels, tasks, strict=False):
            chances = [cell.chance for cell in self.cells if cell.task == task]
            panel.axhline(chances[0], color="#808080", ls=":", lw=1)
            for number, label in enumerate(self._labels()):
                spreads = {factor: self.spread(task, label, factor) for factor in FACTORS}
                points = {factor: spread.mean for factor, spread in spreads.items() if spread is not None}
                colour = COLOURS[number % len(COLOURS)]
                panel.plot(list(points), list(points.values()), "o-", label=label, color=colour, ms=3, lw=1.2)
            panel.set(title=task, ylim=(-0.02, 1.02), xscale="log", xticks=FACTORS)
            panel.set_xticks(FACTORS, [f"x{factor}" for factor in FACTORS])
            panel.minorticks_off()
        for panel in panels[len(tasks) :]:
            panel.set_axis_off()
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", frameon=False)
        return figure

    def as_json(self) -> dict[str, Any]:
        """Return settings, cells and the table as plain values."""
        return {
            "seqsuite_version": seqsuite.__version__,
            "settings": self.settings,
            "cells": [asdict(cell) for cell in self.cells],
            "table": self.table(),
        }

    def _labels(self) -> list[str]:
        return list(dict.fromkeys(cell.label for cell in self.cells))


def run_tasks(
    tasks: Sequence[str],
    mixers: Sequence[str],
    *,
    seeds: int = 1,
    preset: str = "debug",
    training: Mapping[str, Any] | None = None,
    task_options: Mapping[str, Mapping[str, Any]] | None = None,
    mixer_options: Mapping[str, Mapping[str, Any]] | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    tell: Callable[[str], None] = lambda line: None,
) -> TaskTable:
    """Train every stack of mixers on every task with every seed.

    Args:
        tasks: Names of `seqsuite.bench.tasks.TASKS`.
        mixers: Mixers, patterns, or ``label=mixer``; see `seqsuite.bench.train.row_of`.
        seeds: How many seeds, from 0.
        preset: A name of `seqsuite.bench.presets.PRESETS`.
        training: Fields of `Training` that replace the preset's, for all tasks.
        task_options: Options by task.
        mixer_options: Options by mixer or label.
        out: Folder of results: cells found there are taken, new ones written.
        overwrite: Train cells anew that are there with other settings.
        tell: Called with a line a cell.

    Raises:
        UserError: A name or value that does not exist or fit, a mixer that cannot run the longest test, or a folder
            with other results. Nothing is trained before everything is checked.
    """
    if seeds < 1:
        raise UserError(f"--seeds is {seeds}; it must be at least 1.")
    plans = _plans(tasks, preset, training or {}, task_options or {})
    rows = _rows(mixers, mixer_options or {})
    jobs = [(task, row, plan, seed) for task, plan in plans for row in rows for seed in range(seeds)]
    kept = KeptCells(out, overwrite=overwrite)
    for task, row, plan, seed in jobs:
        if kept.find(task, row, plan, seed) is None and seed == 0:
            check_lengths(task, row, plan)
    cells = []
    for task, row, plan, seed in jobs:
        cell = kept.find(task, row, plan, seed)
        if cell is None:
            cell = train_cell(task, row, plan, seed)
            kept.write(cell, task, row, plan, seed)
        tell(_line(cell))
        cells.append(cell)
    return TaskTable(cells, {task.name: {**asdict(plan), "task": asdict(task)} for task, plan in plans})


def _plans(
    names: Sequence[str], preset: str, training: Mapping[str, Any], options: Mapping[str, Any]
) -> list[tuple[Task, Training]]:
    """Return each task and how it is trained on."""
    _once("--tasks", names)
    for name in names:
        create_task(name)
    _used("task_options", options, names)
    plans = [training_for(preset, name, training, options.get(name, {})) for name in names]
    return [(create_task(name, plan.task), plan) for name, plan in zip(names, plans, strict=True)]


def _rows(mixers: Sequence[str], options: Mapping[str, Any]) -> list[Row]:
    for name, given in options.items():
        _is_option("mixer_options", name, given)
    rows = [row_of(text, options) for text in mixers]
    _once("--mixers", [row.label for row in rows])
    named = {part for row in rows for part, _ in parse_pattern(row.mixer)}
    _used("mixer_options", options, named | {row.label for row in rows})
    return rows


def _line(cell: Cell) -> str:
    found = "  ".join(f"x{factor} {share:.3f}" for factor, share in cell.accuracy.items())
    astray = "" if cell.loss is not None else "  (the loss was not finite)"
    return f"{cell.task}  {cell.label}  seed {cell.seed}:  {found}  ({cell.seconds:.0f} s){astray}"


def _once(flag: str, names: Iterable[str]) -> None:
    names = list(names)
    if not names:
        raise UserError(f"{flag}: nothing is named.")
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{flag}: {name!r} is named twice; give one of them another label, as in 'other={name}'.")


def _used(flag: str, options: Mapping[str, Any], known: Iterable[str]) -> None:
    for name, given in options.items():
        if name not in known:
            raise UserError(f"--{flag}.{name}: nothing of that name is run.{suggest(name, known)}")
        _is_option(flag, name, given)


def _is_option(flag: str, name: str, given: Any) -> None:
    if not isinstance(given, Mapping):
        raise UserError(f"--{flag}.{name} is {given!r}; name an option, as in --{flag}.{name}.OPTION.")
