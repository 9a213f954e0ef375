"""What the benchmarks of molecules share: their files, seqchem's recipes, runs that go on, and CPU clocks."""

from __future__ import annotations

import argparse
import csv
import dataclasses
import gzip
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import yaml
from _deadline import Deadline, OutOfTime
from _machine import write_result

from seqsuite.errors import UserError

if TYPE_CHECKING:
    from seqchem.configs.data import SequenceTrainConfig

EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "chem"
TRAIN_FILE, TEST_FILE = "moses_train_250k.csv.gz", "moses_test_20k.csv.gz"


def default_data() -> Path:
    """Return the folder of the molecules: chem in `SEQSUITE_DATA`, or beside the checkout."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("SEQSUITE_DATA", beside)) / "chem"


def read_smiles(path: Path) -> list[str]:
    """Return the first column of a gzipped CSV file with a header."""
    if not path.is_file():
        raise SystemExit(f"there is no {path.name}; name its folder with --data, or set SEQSUITE_DATA")
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        next(rows)
        return [row[0] for row in rows if row]


def drawn_molecules(path: Path, count: int, seed: int) -> list[str]:
    """Return molecules of a file in a random order that only the file and the seed decide; 0: all of them."""
    smiles = read_smiles(path)
    order = np.random.default_rng(seed).permutation(len(smiles))
    return [smiles[number] for number in order[: count or len(smiles)]]


def write_table(path: Path, columns: dict[str, Any]) -> None:
    """Write a CSV file of columns of one length, aside first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.name}.part")
    with aside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    aside.replace(path)


def recipe(name: str) -> dict[str, Any]:
    """Return a file of examples/chem, without where its run goes."""
    found: dict[str, Any] = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text(encoding="utf-8"))
    found.pop("out", None)
    return found


@contextmanager
def cpu_seconds(path: Path) -> Iterator[None]:
    """Add the CPU seconds of what is done within to a file, also where it is stopped."""
    began = time.process_time()
    try:
        yield
    finally:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(spent(path) + time.process_time() - began), encoding="utf-8")


def spent(path: Path) -> float:
    """Return the CPU seconds that a file of `cpu_seconds` holds."""
    return float(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else 0.0


def clock_of(folder: Path, what: str = "training") -> Path:
    """Return the file of CPU seconds beside a run folder."""
    return folder.with_name(f"{folder.name}.{what}.cpu_seconds.json")


def train(
    verb: Literal["pretrain", "finetune"], options: dict[str, Any], folder: Path, deadline: Deadline | None
) -> Any:
    """Run `seqchem pretrain` or `finetune` on one CPU thread, or go on with it; its CPU seconds lie beside the folder.

    Args:
        verb: Which.
        options: Of its config, without where the run goes.
        folder: Where it goes.
        deadline: When to stop.

    Returns:
        The verb's result; that of a finished run is read again, at the cost of its last validation.

    Raises:
        OutOfTime: It was stopped and goes on at the next call.
    """
    from seqchem.configs.finetune import RTFinetuneConfig
    from seqchem.configs.pretrain import RTPretrainConfig
    from seqchem.training import finetune, pretrain
    from seqsuite.mixers.options import build_config
    from seqsuite.training import RunFolder

    kind: type[SequenceTrainConfig] = RTPretrainConfig if verb == "pretrain" else RTFinetuneConfig
    said = options | {"out": str(folder), "threads": 1, "accelerator": "cpu", "resume": RunFolder(folder).holds_run}
    config = build_config(kind, said | {"max_minutes": deadline.left() if deadline else 0.0})
    with cpu_seconds(clock_of(folder)):
        result: Any = pretrain(config) if verb == "pretrain" else finetune(config)  # type: ignore[arg-type]
    if not result.finished:
        raise OutOfTime
    return result


def plain(score: Any) -> dict[str, float]:
    """Return the numbers of a result's dataclass."""
    return {name: float(value) for name, value in dataclasses.asdict(score).items() if isinstance(value, (int, float))}


def parsed(parser: argparse.ArgumentParser, name: str, words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read a command line with the flags that these benchmarks share."""
    parser.add_argument("--data", type=Path, default=default_data(), help="default: chem in SEQSUITE_DATA")
    parser.add_argument("--work", type=Path, default=Path("runs") / name, help="default: %(default)s")
    parser.add_argument("--minutes", type=float, default=0.0, help="stop after so many, to be called again")
    parser.add_argument("--trial", action="store_true", help="write nothing outside --work")
    arguments = parser.parse_args(words)
    arguments.deadline = Deadline(arguments.minutes) if arguments.minutes else None
    return arguments


def measured(name: str, run: Callable[[argparse.Namespace], dict[str, Any]], arguments: argparse.Namespace) -> None:
    """Measure what is missing and write the result."""
    try:
        result = run(arguments)
    except UserError as error:
        raise SystemExit(str(error)) from None
    print(f"in {arguments.work.name}" if arguments.trial else write_result(name, result).name)
