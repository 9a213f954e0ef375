"""Benchmark suites by their layout: which data sets a folder holds, how each is trained and what was published.

    for task in recognise("genomic_benchmarks/"): ...

Genomic Benchmarks: DATASET/{train,test}/CLASS/*.txt, or DATASET/{train,test}/CLASS.csv.gz with coordinates.
Nucleotide Transformer tasks: TASK/{train,test}.fna with headers '>name|label', or .parquet or .csv.
BEND: TASK.bed, alone or as TASK/TASK.bed, with the columns chromosome, start, end, split and label, or with the labels
in TASK.hdf5 beside it.
DART-Eval: a .tsv of elements (task 1) or of peaks (task 3); a .txt of footprints (task 2), judged without training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from seqdna.finetuning.bend import WINDOW_TASKS, bend_labels, task_name
from seqdna.finetuning.dart_eval import dart_eval_task
from seqdna.finetuning.footprints import is_footprints
from seqdna.finetuning.intervals import is_interval_table
from seqdna.finetuning.published import (
    GENOMIC_BENCHMARKS,
    GENOMIC_BENCHMARKS_MODELS,
    NUCLEOTIDE_TRANSFORMER,
    NUCLEOTIDE_TRANSFORMER_MODELS,
    Published,
)
from seqdna.finetuning.readers import class_folders, kind_of, split_files
from seqdna.finetuning.tables import first_cells
from seqsuite.errors import UserError, unknown_name


@dataclass(frozen=True)
class Suite:
    """How a suite is trained and measured.

    Attributes:
        name: Its name.
        epochs: Published number of passes.
        batch_size: Published rows of a step.
        seeds: Published number of training runs, each with another draw of validation rows.
        metric: Of data sets that are not in the table.
        lr: Published peak learning rate.
        mode: The only way of training that the published numbers are for; "" for any.
        positive_weight: Published weight of what is there in the loss of yes/no labels.
        models: Columns of the published table.
        tasks: The published table.
    """

    name: str
    epochs: int
    batch_size: int
    seeds: int
    metric: str
    lr: float = 1e-3
    mode: str = ""
    positive_weight: float = 1.0
    models: tuple[str, ...] = ()
    tasks: Mapping[str, Published] = field(default_factory=dict, repr=False)


SUITES = {
    "genomic_benchmarks": Suite(
        "Genomic Benchmarks", 10, 256, 5, "accuracy", models=GENOMIC_BENCHMARKS_MODELS, tasks=GENOMIC_BENCHMARKS
    ),
    "nucleotide_transformer": Suite(
        "Nucleotide Transformer tasks",
        20,
        128,
        10,
        "mcc",
        models=NUCLEOTIDE_TRANSFORMER_MODELS,
        tasks=NUCLEOTIDE_TRANSFORMER,
    ),
    "bend": Suite("BEND", 10, 64, 1, "auto"),
    "dart_eval": Suite("DART-Eval", 20, 128, 1, "accuracy", lr=1e-4),
}
"""Known suites; BEND publishes no recipe for fine-tuning whole models, so its numbers are only a start.

DART-Eval's are those of its scripts for Caduceus; they train low-rank changes (rank 8, alpha 16: --mode lora).
"""

FOOTPRINTS = "footprints"
_BEND_WINDOWS = Suite("BEND", 100, 256, 1, "auroc", lr=3e-3, mode="frozen")
RECIPES = {
    "gene_finding": Suite("BEND", 100, 64, 1, "mcc", lr=3e-3, mode="frozen"),
    "enhancer_annotation": Suite("BEND", 100, 8, 1, "auprc", lr=1e-3, mode="frozen", positive_weight=82.86),
    **dict.fromkeys(WINDOW_TASKS, _BEND_WINDOWS),
    "cell_types": Suite("DART-Eval", 40, 128, 1, "accuracy", lr=1e-4),
    FOOTPRINTS: Suite("DART-Eval", 0, 0, 1, "accuracy", mode="zero_shot"),
}
"""Data sets with numbers of their own: BEND's conf/supervised_tasks, for a small network on unchanged features, and
task 3 of DART-Eval."""


@dataclass(frozen=True)
class SuiteTask:
    """One data set.

    Attributes:
        suite: Which suite's layout it has.
        name: Of its folder or file.
        path: Where it lies.
        metric: What is reported.
        published: Its row of the published table, if it has one.
        recipe: Numbers of its own, or its suite's.
    """

    suite: Suite
    name: str
    path: Path
    metric: str
    published: Published | None
    recipe: Suite

    def numbers(self, mode: str) -> Suite:
        """Return the published numbers for one way of training: its own where they are for it, else the suite's."""
        return self.recipe if self.recipe.mode in ("", mode) else self.suite

    @property
    def zero_shot(self) -> bool:
        """Whether the model is judged as it is, without training."""
        return self.recipe.mode == "zero_shot"

    @property
    def title(self) -> str:
        """Its name in the published table, else its own."""
        return self.published.title if self.published else self.name


def recognise(folder: str | Path, only: tuple[str, ...] = ()) -> list[SuiteTask]:
    """Find the data sets of a folder, or the folder itself as one.

    Args:
        folder: Where to look.
        only: Names to keep; none keeps all.

    Raises:
        UserError: There is no such folder, nothing in it has a known layout, or a name is not there.
    """
    source = Path(folder).expanduser()
    if not source.is_dir():
        raise UserError(f"{source}: there is no such folder; give a folder of benchmark data sets.")
    whole = _task(source)
    entries = [whole] if whole else [_task(entry) for entry in sorted(source.iterdir())]
    found = [task for task in entries if task is not None]
    if not found:
        raise UserError(
            f"{source}: holds no data set: neither NAME/train/CLASS/*.txt (Genomic Benchmarks) nor NAME/train.fna or "
            "train.csv (Nucleotide Transformer tasks) nor NAME.bed with a header (BEND) nor DART-Eval's "
            ".tsv or .txt; for labelled variants there is `seqdna benchmark-variants`."
        )
    names = {task.name for task in found}
    for name in only:
        if name not in names:
            raise UserError(f"--only: {unknown_name('data set', name, names)}")
    chosen = [task for task in found if not only or task.name in only]
    order = [name for suite in SUITES.values() for name in suite.tasks]
    return sorted(chosen, key=lambda task: (order.index(task.name) if task.name in order else len(order), task.name))


def _task(path: Path) -> SuiteTask | None:
    if path.is_dir():
        if "train" in split_files(path):
            return _made("nucleotide_transformer", path, path.name)
        if "train" in class_folders(path):
            return _made("genomic_benchmarks", path, path.name)
        inside = (path / f"{path.name}{end}" for end in (".bed", ".bed.gz"))
        return next((_task(file) for file in inside if file.is_file()), None)
    kind = kind_of(path)
    if kind == ".bed" and is_interval_table(path) and not {"ref", "alt"} <= set(first_cells(path)):
        return _made("bend", path, task_name(path))
    if kind == ".txt" and path.is_file() and is_footprints(path):
        return _made("dart_eval", path, path.name.removesuffix(".txt"), FOOTPRINTS)
    if kind == ".tsv" and (task := dart_eval_task(path)):
        return _made("dart_eval", path, path.name.removesuffix(".gz").removesuffix(".tsv"), task)
    return None


def _made(suite_name: str, path: Path, name: str, kind: str = "") -> SuiteTask:
    """Return a data set; `kind` stands for its name in `RECIPES` where the name is free."""
    suite = SUITES[suite_name]
    published = suite.tasks.get(name)
    own = bool(kind) or (suite_name == "bend" and bool(bend_labels(path)))
    recipe = RECIPES.get(kind or name, suite) if own else suite
    return SuiteTask(suite, name, path, published.metric if published else recipe.metric, published, recipe)
