"""A whole benchmark folder with one call: what `seqdna benchmark` does, as a function.

    from seqdna.configs.benchmark import BenchmarkConfig
    from seqdna.finetuning.benchmark import benchmark
    benchmark(BenchmarkConfig("genomic_benchmarks", model="runs/mine"))

Every data set becomes a run folder of `finetune`, or, where nothing is trained, a folder with footprints.csv; the table
has the layout of the papers, with the published rows beside the new one.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqdna.api import load
from seqdna.configs.benchmark import BenchmarkConfig
from seqdna.configs.finetune import FinetuneConfig
from seqdna.finetuning.metrics import METRICS
from seqdna.finetuning.results import FinetuneResult
from seqdna.finetuning.run import finetune, open_inputs
from seqdna.finetuning.suites import SuiteTask, recognise
from seqdna.finetuning.zero_shot import check_zero_shot, judge
from seqsuite.errors import UserError
from seqsuite.reports import Report, TableView
from seqsuite.training.run_folder import process_rank, told, write_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

QUICK_ROWS, QUICK_BATCH = 64, 16


@dataclass(frozen=True)
class BenchmarkRow:
    """One data set of a benchmark.

    Attributes:
        task: The data set.
        metric: What is reported.
        values: The metric on the test rows, one value a run.
        baselines: Name -> the same of simple models.
    """

    task: SuiteTask
    metric: str
    values: tuple[float, ...]
    baselines: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class BenchmarkResult(TableView):
    """A benchmark, data set by data set, beside the published table.

    Attributes:
        folder: Where the runs are.
        title: What was trained.
        rows: The data sets.
        quick: Whether it was a trial run whose figures mean nothing.
    """

    folder: Path
    title: str
    rows: tuple[BenchmarkRow, ...]
    quick: bool

    @property
    def suites(self) -> list[str]:
        """Names of the suites that the data sets belong to."""
        return list(dict.fromkeys(row.task.suite.name for row in self.rows))

    def table(self, suite: str | None = None) -> list[dict[str, Any]]:
        """Return one row a data set: the metric, this run, simple models, and the published columns, marked [p].

        Args:
            suite: Of this suite only, whose published columns are the same for all rows.
        """
        shown = []
        for row in self.rows:
            if suite not in (None, row.task.suite.name):
                continue
            cells: dict[str, Any] = {"task": row.task.title, "metric": row.metric, self.title: _spread(row.values)}
            cells |= {name: _spread(values) for name, values in row.baselines.items()}
            if row.task.published:
                pairs = zip(row.task.suite.models, row.task.published.values, strict=True)
                cells |= {f"{name} [p]": _published(*value) for name, value in pairs}
            shown.append(cells)
        return shown

    def caption(self) -> str:
        """Say in words what the table shows."""
        text = "Mean of the runs +- the largest minus the smallest. Columns marked [p] are published, not run here."
        return f"A trial run on a few rows: its figures mean nothing. {text}" if self.quick else text

    def figure(self) -> Figure:
        """Draw this run's values and the published means, data set by data set."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7.0, 1.2 + 0.35 * len(self.rows)), layout="constrained")
        axes = figure.subplots()
        for height, row in enumerate(reversed(self.rows)):
            for mean, _ in row.task.published.values if row.task.published else ():
                axes.plot(mean, height, "|", color="#808080", markersize=12)
            axes.plot(row.values, [height] * len(row.values), "o", color="#0072B2", alpha=0.8)
        axes.set_yticks(range(len(self.rows)), [f"{row.task.title} ({row.metric})" for row in reversed(self.rows)])
        axes.set(xlabel="test metric: points of this run, lines as published")
        axes.grid(alpha=0.3, axis="x")
        axes.spines[["top", "right"]].set_visible(False)
        return figure

    def to_dict(self) -> dict[str, Any]:
        """Return what summary.json holds."""
        rows = [
            {"task": row.task.name, "suite": row.task.suite.name, "metric": row.metric, "values": list(row.values),
             "baselines": {name: list(values) for name, values in row.baselines.items()}}
            for row in self.rows
        ]  # fmt: skip
        return {"title": self.title, "quick": self.quick, "rows": rows}


def _spread(values: tuple[float, ...]) -> str:
    if not values:
        return ""
    mean = float(np.mean(values))
    return f"{mean:.3f}" if len(values) == 1 else f"{mean:.3f} +- {max(values) - min(values):.3f}"


def _published(mean: float, spread: float | None) -> str:
    return f"{mean:.3f}" if spread is None else f"{mean:.3f} +- {spread:.3f}"


def benchmark(config: BenchmarkConfig) -> BenchmarkResult | None:
    """Fine-tune on every data set of a folder.

    Args:
        config: The options.

    Returns:
        The result; None in the further processes of a distributed run.

    Raises:
        UserError: The folder, a data set or an option; one line says what to do.
        Interrupted: Ctrl-C; what was done is kept, --resume goes on.
    """
    tasks = recognise(config.folder, config.only)
    folder = Path(config.out).expanduser()
    _check_folder(folder, config)
    for task in tasks:  # a mistake in the last data set is not told after hours with the others
        if task.zero_shot:
            check_zero_shot(task, config)
        else:
            open_inputs(options_of(task, config))
    with told(folder):
        folder.mkdir(parents=True, exist_ok=True)
    rows, title = [], ""
    for number, task in enumerate(tasks, start=1):
        if process_rank() == 0:
            print(f"{number}/{len(tasks)} {task.suite.name}: {task.name}", file=sys.stderr, flush=True)
        if task.zero_shot:
            if process_rank() == 0:
                rows.append(BenchmarkRow(task, "accuracy, zero-shot", (judge(task, config),), {}))
            continue
        result = finetune(options_of(task, config))
        if result is None:
            continue
        title = result.title
        rows.append(_row(task, result))
    if process_rank() != 0 or not rows:
        return None
    title = title or f"{load(config.model).model.name}, zero-shot"
    done = BenchmarkResult(folder, title, tuple(rows), config.quick)
    write_json(folder / "summary.json", done.to_dict())
    report = Report(f"{title} on {Path(config.folder).name}", subtitle=folder.name)
    for suite in done.suites:
        report.heading(suite).table(done.table(suite))
    report.text(done.caption())
    report.figure(done.figure(), caption="This run and the published means").write(folder / "report.html")
    return done


def _check_folder(folder: Path, config: BenchmarkConfig) -> None:
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; choose another --out.")
    if (folder / "summary.json").exists() and not (config.resume or config.overwrite):
        raise UserError(f"{folder} already holds a benchmark; add --resume or --overwrite, or choose another --out.")


def options_of(task: SuiteTask, config: BenchmarkConfig) -> FinetuneConfig:
    """Return the options of one data set: the suite's published ones, where the user gave none.

    Its run folder may be there from an interrupted benchmark only where `--resume` is asked for.
    """
    out = Path(config.out).expanduser() / task.name
    published = task.numbers(config.mode)
    return FinetuneConfig(
        str(task.path),
        model=config.model,
        model_options=config.model_options,
        from_scratch=config.from_scratch,
        mode=config.mode,
        pooling=config.pooling,
        genome=config.genome,
        metric="auto" if task.metric == "auto" else task.metric,
        seeds=1 if config.quick else config.seeds or published.seeds,
        epochs=1.0 if config.quick else config.epochs or float(published.epochs),
        batch_size=QUICK_BATCH if config.quick else config.batch_size or published.batch_size,
        limit=QUICK_ROWS if config.quick else 0,
        parts=1 if config.quick else config.parts,
        lr=config.lr or published.lr,
        positive_weight=published.positive_weight,
        rc_augment=config.rc_augment,
        conjoin=config.conjoin,
        baselines=config.baselines,
        accelerator=config.accelerator,
        precision=config.precision,
        threads=config.threads,
        workers=config.workers,
        seed=config.seed,
        out=str(out),
        resume=config.resume and (out / "config.yaml").is_file(),
        overwrite=config.overwrite,
    )


def _row(task: SuiteTask, result: FinetuneResult) -> BenchmarkRow:
    metric = result.metric
    assert metric in METRICS[result.problem]  # type: ignore[index]
    simple = {name: tuple(each[metric] for each in found if metric in each) for name, found in result.baselines.items()}
    return BenchmarkRow(task, metric, tuple(result.values(metric)), simple)
