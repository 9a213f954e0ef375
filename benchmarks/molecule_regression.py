"""ESOL, FreeSolv and Lipophilicity by scaffold: Regression Transformers, forests, boosting, chemprop.

    python benchmarks/molecule_regression.py --pretrained runs/molecule_qed/pretrain --minutes 60
    python benchmarks/molecule_regression.py --only chemprop --chemprop_python venv/bin/python
    python benchmarks/molecule_regression.py --sets freesolv --seeds 1 --splits 1 --steps 5 --trial    # does it run

Splits: the largest scaffolds to training (one split, --seeds seeds), and --splits splits of scaffolds shuffled by a
seed each; 80 % training, 10 % validation, 10 % test, the same rows for every model:

- scratch, pretrained: examples/chem/regression.yaml, from random weights, from --pretrained (MOSES' molecules with
  their QED) and, as "labelled", from --labelled (the same, fine-tuned to predict QED and write molecules). The weights
  of the best validation are tested. The number format is that of the training rows: beyond their range nothing can be
  said;
- random forest and gradient boosting on RDKit's 2D descriptors, random forest on Morgan fingerprints, and the mean of
  the training rows: trained on the training rows alone;
- chemprop 2 with its own defaults, the best of its validations, for as many epochs as the CPU seconds of the scratch
  run of the same set, split and seed hold, 200 at most. It runs in a Python of its own, --chemprop_python.

Features come from the SMILES alone: other columns of the files (predictions and descriptors among them) are never read.
Ours are compared with the best of the others by its mean over the splits, on the differences split by split.

Each run's figures are kept under --work: call again after --minutes, Ctrl-C or a crash. What there is so far is written
as results/molecule_regression-<date>.json with "complete": false.
"""

from __future__ import annotations

import argparse
import csv
import functools
import os
import resource
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from _molecules import clock_of, measured, parsed, plain, recipe, spent, train, write_table
from _pieces import file_hash, finished, measure_all

SETS = {
    "esol": ("esol_delaney.csv.gz", "measured log solubility in mols per litre"),
    "freesolv": ("freesolv.csv.gz", "expt"),
    "lipophilicity": ("grover_lipo.csv.gz", "lipo"),
}
OURS = ("scratch", "pretrained", "labelled")
BASELINES = {
    "forest_descriptors": ("random forest", "descriptors"),
    "boosting_descriptors": ("gradient boosting", "descriptors"),
    "forest_morgan": ("random forest", "Morgan"),
}
KINDS = ("mean", *BASELINES, *OURS, "chemprop")
LARGEST, SHUFFLED = "largest", "shuffled"
EPOCHS = 200
SHORT = (3, 8)
"""Epochs of chemprop that say how long one takes; it wants more than its two of warm-up."""
STEPS = {"esol": 3000, "freesolv": 2400, "lipophilicity": 5000}


@dataclass(frozen=True)
class Piece:
    """One model on one split.

    Attributes:
        set: A name of SETS.
        kind: A name of KINDS.
        split: "largest" or "shuffled".
        seed: Of the model; of "shuffled" also of the split.
    """

    set: str
    kind: str
    split: str
    seed: int

    def folder(self, work: Path) -> Path:
        return work / self.set / f"{self.split}_{self.seed}" / self.kind

    def __str__(self) -> str:
        return f"{self.set}/{self.split}_{self.seed}/{self.kind}"


@functools.cache
def table_of(name: str, data: Path) -> Any:
    """Return a set: SMILES and the measured value, nothing else."""
    from seqchem.data import read_table

    file, column = SETS[name]
    if not (data / file).is_file():
        raise SystemExit(f"there is no {file}; name its folder with --data, or set SEQSUITE_DATA")
    return read_table(data / file, property_columns=[f"{name}={column}"])


def parts_of(piece: Piece, data: Path) -> dict[str, np.ndarray]:
    """Return the indices of a piece's train, valid and test rows."""
    from seqchem.data import split_table

    table = table_of(piece.set, data)
    if piece.split == LARGEST:
        return split_table(table, "scaffold")
    return split_table(table, "scaffold_balanced", seed=piece.seed)


def split_file(piece: Piece, arguments: argparse.Namespace) -> Path:
    """Return a CSV of smiles, value and split, written where it is missing."""
    path: Path = piece.folder(arguments.work).parent / "rows.csv"
    if not path.exists():
        table, parts = table_of(piece.set, arguments.data), parts_of(piece, arguments.data)
        order = [(int(row), part) for part, rows in parts.items() for row in rows]
        write_table(
            path,
            {
                "smiles": [table.sequences[row] for row, _ in order],
                "value": [float(table.values[piece.set][row]) for row, _ in order],
                "split": [part for _, part in order],
            },
        )
    return path


def rows_of(path: Path) -> dict[str, tuple[list[str], np.ndarray]]:
    """Return SMILES and values of each part of a `split_file`."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found = {}
    for part in ("train", "valid", "test"):
        mine = [row for row in rows if row["split"] == part]
        found[part] = ([row["smiles"] for row in mine], np.array([float(row["value"]) for row in mine]))
    return found


def options_of(piece: Piece, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options of one of our runs that decide about its result."""
    said = recipe("regression") | {"properties": ["value"], "split": "given", "seed": piece.seed}
    said["steps"] = arguments.steps or STEPS[piece.set]
    if arguments.steps:
        said["validate_every"] = 0
    if piece.kind != "scratch":  # size and language are those of the start
        said = {name: value for name, value in said.items() if name not in ("model", "language")}
        said["model_options"] = {"dropout": recipe("regression")["model_options"]["dropout"]}
    return said


def start_of(piece: Piece, arguments: argparse.Namespace) -> Path | None:
    """Return where one of our runs begins."""
    found: dict[str, Path | None] = {"pretrained": arguments.pretrained, "labelled": arguments.labelled}
    return found.get(piece.kind)


def ours(piece: Piece, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train a Regression Transformer; test the weights of its best validation."""
    folder = piece.folder(arguments.work)
    said = options_of(piece, arguments) | {"source": str(split_file(piece, arguments))}
    start = start_of(piece, arguments)
    if start is not None:
        said["start"] = str(start)
    result = train("finetune", said, folder, arguments.deadline)
    scores = {score.part: score for score in result.scores}
    return {
        "parameters": result.parameters,
        "steps": result.fit.steps,
        "valid": plain(scores["valid"].scores),
        "test": plain(scores["test"].scores),
        "coverage_90": scores["test"].coverage,
        "invalid_without_grammar": scores["test"].invalid,
        "cpu_seconds": round(spent(clock_of(folder)), 1),
    }


def baseline(piece: Piece, arguments: argparse.Namespace) -> dict[str, Any]:
    """Fit a forest or boosting on what is computed from the SMILES."""
    from seqchem.evaluation.baselines import features_of, fit_baseline
    from seqchem.evaluation.regression import regression_scores

    began = time.process_time()
    rows = rows_of(split_file(piece, arguments))
    if piece.kind == "mean":
        guess = np.full(len(rows["test"][1]), rows["train"][1].mean())
        return {"test": plain(regression_scores(rows["test"][1], guess)), "cpu_seconds": 0.0}
    kind, name = BASELINES[piece.kind]
    described = {
        part: next(each for each in features_of(rows[part][0], "smiles") if each.name == name)
        for part in ("train", "test")
    }
    fit = fit_baseline(kind, described["train"], rows["train"][1], described["test"], seeds=[piece.seed])
    return {
        "test": plain(regression_scores(rows["test"][1], fit.predictions[0])),
        "left_out": list(fit.left_out),
        "cpu_seconds": round(time.process_time() - began, 1),
    }


def run_chemprop(
    piece: Piece, arguments: argparse.Namespace, source: Path, epochs: int, folder: Path
) -> tuple[np.ndarray, float]:
    """Train chemprop; return its predictions of the test rows in their order, and the CPU seconds of the process."""
    started = "from chemprop.cli.main import main; main()"
    words = [str(arguments.chemprop_python), "-c", started, "train", "--data-path", str(source)]
    words += ["--task-type", "regression", "--smiles-columns", "smiles", "--target-columns", "value"]
    words += ["--splits-column", "split", "--epochs", str(epochs), "--output-dir", str(folder)]
    words += ["--accelerator", "cpu", "--devices", "1", "--num-workers", "0", "--pytorch-seed", str(piece.seed)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"chemprop failed: {' '.join(done.stderr.splitlines()[-1:])}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    [path] = folder.rglob("test_predictions.csv")
    with path.open(encoding="utf-8", newline="") as file:
        return np.array([float(row["value"]) for row in csv.DictReader(file)]), seconds


def chemprop(piece: Piece, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train chemprop for the CPU seconds of the scratch run."""
    from seqchem.evaluation.regression import regression_scores

    own = budget_of(piece, arguments)
    assert own is not None
    folder, rows = piece.folder(arguments.work), rows_of(split_file(piece, arguments))
    source = folder.parent / "chemprop_rows.csv"
    if not source.exists():
        parts = {"train": "train", "valid": "val", "test": "test"}
        write_table(
            source,
            {
                "smiles": [text for part in parts for text in rows[part][0]],
                "value": [float(value) for part in parts for value in rows[part][1]],
                "split": [name for part, name in parts.items() for _ in rows[part][0]],
            },
        )
    # Two short runs say what an epoch takes and what the start does.
    short = [
        run_chemprop(piece, arguments, source, epochs, folder.with_name(f"chemprop_{epochs}"))[1] for epochs in SHORT
    ]
    epoch = max((short[1] - short[0]) / (SHORT[1] - SHORT[0]), 1e-3)
    begun = short[0] - SHORT[0] * epoch
    epochs = int(np.clip((own - begun) / epoch, SHORT[0], SHORT[0] if arguments.steps else EPOCHS))
    predicted, seconds = run_chemprop(piece, arguments, source, epochs, folder)
    return {
        "test": plain(regression_scores(rows["test"][1], predicted)),
        "epochs": epochs,
        "cpu_seconds_an_epoch": round(epoch, 3),
        "budget_cpu_seconds": own,
        "cpu_seconds": round(seconds, 1),
    }


def budget_of(piece: Piece, arguments: argparse.Namespace) -> float | None:
    """Return the CPU seconds of the scratch run on the same rows; None where there is none yet."""
    twin = Piece(piece.set, "scratch", piece.split, piece.seed)
    found = finished(place_of(twin, arguments), key_of(twin, arguments))
    return None if found is None else float(found["cpu_seconds"])


def measure(piece: Piece, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run one piece.

    Raises:
        OutOfTime: It was stopped and goes on at the next call.
    """
    if arguments.deadline:
        arguments.deadline.left()
    work: dict[str, Callable[..., dict[str, Any]]] = {"chemprop": chemprop} | dict.fromkeys(OURS, ours)
    return work.get(piece.kind, baseline)(piece, arguments)


def wanted(piece: Piece, arguments: argparse.Namespace) -> bool:
    """Return whether this call can measure a piece and was asked to."""
    if arguments.only and piece.kind not in arguments.only:
        return False
    if piece.kind == "chemprop":
        return arguments.chemprop_python is not None and budget_of(piece, arguments) is not None
    return piece.kind not in ("pretrained", "labelled") or start_of(piece, arguments) is not None


def place_of(piece: Piece, arguments: argparse.Namespace) -> Path:
    """Return the file of a piece's figures."""
    folder = piece.folder(arguments.work)
    return folder.with_name(f"{folder.name}.json")


def key_of(piece: Piece, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what a piece's figures depend on."""
    key: dict[str, Any] = {"data": file_hash(arguments.data / SETS[piece.set][0])}
    if piece.kind in OURS or piece.kind == "chemprop":
        key["options"] = options_of(Piece(piece.set, "scratch", piece.split, piece.seed), arguments)
    start = start_of(piece, arguments)
    if start is not None:
        key["start"] = file_hash(start / "model" / "model.safetensors")
    return key


def pieces_of(arguments: argparse.Namespace) -> list[Piece]:
    """Return all pieces in the order of measuring: a split at a time, all models of it."""
    splits = [(LARGEST, seed) for seed in range(arguments.seeds)]
    splits += [(SHUFFLED, seed) for seed in range(arguments.splits)]
    kinds = [kind for kind in KINDS if kind != "labelled" or arguments.labelled]
    return [Piece(name, kind, *split) for split in splits for name in arguments.sets for kind in kinds]


def summarize(name: str, split: str, done: dict[Piece, dict[str, Any]]) -> dict[str, Any]:
    """Return each model's RMSE on the splits of one kind, and each of ours beside the best of the others.

    The best of the others is the one with the least mean over the splits that ours has been measured on.
    """
    rmse: dict[str, dict[int, float]] = {}
    for piece, found in done.items():
        if (piece.set, piece.split) == (name, split):
            rmse.setdefault(piece.kind, {})[piece.seed] = found["test"]["rmse"]
    entries = {
        kind: {"runs": runs, "mean": float(np.mean([*runs.values()])), "deviation": float(np.std([*runs.values()]))}
        for kind, runs in rmse.items()
    }
    compared = []
    for kind in (kind for kind in OURS if kind in rmse):
        others = [other for other in rmse if other not in OURS and set(rmse[other]) >= set(rmse[kind])]
        if not others:
            continue
        seeds = sorted(rmse[kind])
        best = min(others, key=lambda other: float(np.mean([rmse[other][seed] for seed in seeds])))
        differences = [rmse[kind][seed] - rmse[best][seed] for seed in seeds]
        compared.append(
            {
                "ours": kind,
                "best_other": best,
                "difference": float(np.mean(differences)),
                "ours_better_on": sum(value < 0 for value in differences),
                "of": len(differences),
            }
        )
    return {"rmse": entries, "compared": compared}


def show(summary: dict[str, dict[str, Any]]) -> None:
    """Print one table a set and kind of split."""
    from seqsuite.cli.output import print_table

    for name, splits in summary.items():
        for split, found in splits.items():
            rows = [
                (kind, f"{found['rmse'][kind]['mean']:.3f}", f"{found['rmse'][kind]['deviation']:.3f}",
                 " ".join(f"{value:.3f}" for value in found["rmse"][kind]["runs"].values()))
                for kind in KINDS
                if kind in found["rmse"]
            ]  # fmt: skip
            print_table(("model", "RMSE", "deviation", "runs"), rows, title=f"{name}, {split} scaffolds")
            for each in found["compared"]:
                print(
                    f"{each['ours']} minus {each['best_other']}, the best of the others: {each['difference']:+.3f}; "
                    f"ours is better on {each['ours_better_on']} of {each['of']}"
                )
            print()


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure, print, and return what the JSON file holds."""
    arguments.work.mkdir(parents=True, exist_ok=True)
    pieces = pieces_of(arguments)
    done = measure_all(
        pieces,
        place=lambda piece: place_of(piece, arguments),
        key=lambda piece: key_of(piece, arguments),
        measure=lambda piece: measure(piece, arguments),
        wanted=lambda piece: wanted(piece, arguments),
    )
    summary = {
        name: {split: summarize(name, split, done) for split in (LARGEST, SHUFFLED)} for name in arguments.sets
    }  # fmt: skip
    show(summary)
    missing = [str(piece) for piece in pieces if piece not in done]
    if missing:
        print(f"incomplete: {len(missing)} of {len(pieces)} are missing")
    runs = {str(piece): {key: value for key, value in found.items() if key != "key"} for piece, found in done.items()}
    said = {name: options_of(Piece(name, "scratch", LARGEST, 0), arguments) for name in arguments.sets}
    return {"complete": not missing, "missing": missing, "recipes": said, "summary": summary, "runs": runs}


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=tuple(SETS), default=tuple(SETS))
    parser.add_argument("--only", nargs="+", choices=KINDS, help="measure these in this call")
    parser.add_argument("--seeds", type=int, default=3, help="on the first split (default: %(default)s)")
    parser.add_argument("--splits", type=int, default=5, help="with shuffled scaffolds (default: %(default)s)")
    parser.add_argument("--pretrained", type=Path, help="run folder of `seqchem pretrain` on MOSES")
    parser.add_argument("--labelled", type=Path, help="run folder of `seqchem finetune` on MOSES")
    parser.add_argument("--chemprop_python", type=Path, help="a Python that has chemprop 2")
    parser.add_argument("--steps", type=int, default=0, help="of our trainings, for a trial; 0: those of STEPS")
    return parsed(parser, "molecule_regression", words)


def main() -> None:
    """Measure what is missing and write the result."""
    measured("molecule_regression", run, parse())


if __name__ == "__main__":
    main()
