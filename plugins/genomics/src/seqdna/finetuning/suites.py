"""Benchmark suites by their layout: which data sets a folder holds, how each is trained and what was published.

    for task in recognise("genomic_benchmarks/"): ...

Genomic Benchmarks: DATASET/{train,test}/CLASS/*.txt, or DATASET/{train,test}/CLASS.csv.gz with coordinates.
Nucleotide Transformer tasks: TASK/{train,test}.fna with headers '>name|label', or .parquet or .csv.
BEND: TASK.bed with the columns chromosome, start, end, split and label.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from seqdna.finetuning.intervals import is_interval_table
from seqdna.finetuning.published import (
    GENOMIC_BENCHMARKS,
    GENOMIC_BENCHMARKS_MODELS,
    NUCLEOTIDE_TRANSFORMER,
    NUCLEOTIDE_TRANSFORMER_MODELS,
    Published,
)
from seqdna.finetuning.readers import class_folders, kind_of, split_files
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
        models: Columns of the published table.
        tasks: The published table.
    """

    name: str
    epochs: int
    batch_size: int
    seeds: int
    metric: str
    models: tuple[str, ...] = ()
    tasks: Mapping[str, Published] = field(default_factory=dict, repr=False)


SUITES = {
    "genomic_benchmarks": Suite(
        "Genomic Benchmarks", 10, 256, 5, "accuracy", GENOMIC_BENCHMARKS_MODELS, GENOMIC_BENCHMARKS
    ),
    "nucleotide_transformer": Suite(
        "Nucleotide Transformer tasks", 20, 128, 10, "mcc", NUCLEOTIDE_TRANSFORMER_MODELS, NUCLEOTIDE_TRANSFORMER
    ),
    "bend": Suite("BEND", 10, 64, 1, "auto"),
}
"""Known suites; BEND publishes no recipe for fine-tuning whole models, so its numbers are only a start."""


@dataclass(frozen=True)
class SuiteTask:
    """One data set.

    Attributes:
        suite: Which suite's layout it has.
        name: Of its folder or file.
        path: Where it lies.
        metric: What is reported.
        published: Its row of the published table, if it has one.
    """

    suite: Suite
    name: str
    path: Path
    metric: str
    published: Published | None

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
            "train.csv (Nucleotide Transformer tasks) nor NAME.bed with a header (BEND)."
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
        return None
    if kind_of(path) == ".bed" and is_interval_table(path):
        return _made("bend", path, path.name.partition(".")[0])
    return None


def _made(suite_name: str, path: Path, name: str) -> SuiteTask:
    suite = SUITES[suite_name]
    published = suite.tasks.get(name)
    return SuiteTask(suite, name, path, published.metric if published else suite.metric, published)
