"""Constrained optimisation of penalised logP: better molecules that stay like their seeds.

    python benchmarks/molecule_optimization.py --pretrained runs/molecule_qed/pretrain --minutes 60
    python benchmarks/molecule_optimization.py --pretrained RUN --rows 300 --steps 20 --seeds 3 --rounds 2 --trial

One after the other, each kept under --work:

- data: --rows molecules of moses_train_250k in a random order, RDKit says their penalised logP (logP - SA - atoms
  beyond six of the largest ring, each term standardised over ZINC250k, as tables of this task have it);
- finetune: examples/chem/qed.yaml, for that property, from --pretrained, FINETUNE_STEPS steps;
- search: `seqchem optimize` from the --seeds molecules of moses_test_20k that have the lowest penalised logP, at
  similarity 0.4 and 0.6 (Tanimoto, Morgan, radius 2, 2048 bits), --rounds rounds of --children candidates for each
  seed, shared by both similarities. RDKit measures every candidate. A seed without a better molecule counts 0;
- control: the same search, but each child is asked for the value that its parent has: what mutation and selection give
  without the model's knowledge of the property.

CPU seconds are the process's own, on one thread. Call again after --minutes, Ctrl-C or a crash. What there is so far is
written as results/molecule_optimization-<date>.json with "complete": false.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from _molecules import (
    TEST_FILE,
    TRAIN_FILE,
    clock_of,
    drawn_molecules,
    measured,
    parsed,
    recipe,
    spent,
    train,
    write_table,
)
from _pieces import file_hash, measure_all

PIECES = ("data", "finetune", "search", "control")
PROPERTY = "plogp"
SIMILARITIES = (0.4, 0.6)
FINETUNE_STEPS = 6000
HELD_OUT = 1000
SEED = 0
NOTHING = 1e-6
"""A wanted change that asks for the parent's own value; 0 is refused as no goal."""


def make_data(arguments: argparse.Namespace) -> dict[str, Any]:
    """Label the training molecules, and choose the seeds."""
    from seqchem.chemistry.properties import calculate

    began = time.process_time()
    held = min(HELD_OUT, arguments.rows // 10)
    smiles = drawn_molecules(arguments.data / TRAIN_FILE, arguments.rows, SEED)
    test = drawn_molecules(arguments.data / TEST_FILE, arguments.test_rows, SEED)
    values, others = (calculate([PROPERTY], texts)[PROPERTY] for texts in (smiles, test))
    split = ["valid"] * held + ["train"] * (len(smiles) - held)
    write_table(arguments.work / "molecules.csv", {"smiles": smiles, PROPERTY: values, "split": split})
    lowest = np.argsort(others, kind="stable")[: arguments.seeds]
    chosen = others[lowest]
    write_table(arguments.work / "seeds.csv", {"smiles": [test[row] for row in lowest], PROPERTY: chosen})
    return {
        "training_rows": len(smiles) - held,
        "training_range": [float(values.min()), float(values.max())],
        "seeds": len(lowest),
        "of_test_molecules": len(test),
        "seeds_mean": float(chosen.mean()),
        "seeds_range": [float(chosen.min()), float(chosen.max())],
        "cpu_seconds": round(time.process_time() - began, 1),
    }


def options_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options of the training that decide about its result."""
    said = recipe("qed") | {"properties": [PROPERTY], "split": "given", "seed": SEED, "steps": FINETUNE_STEPS}
    for name in ("model", "model_options", "language"):  # the start's
        said.pop(name, None)
    return said | ({"steps": arguments.steps, "validate_every": 0} if arguments.steps else {})


def finetune(arguments: argparse.Namespace) -> dict[str, Any]:
    """Train, or go on with it."""
    folder = arguments.work / "finetune"
    places = {"source": str(arguments.work / "molecules.csv"), "start": str(arguments.pretrained)}
    result = train("finetune", options_of(arguments) | places, folder, arguments.deadline)
    return {
        "steps": result.fit.steps,
        "validation": [score.row() for score in result.scores],
        "training_cpu_seconds": round(spent(clock_of(folder)), 1),
    }


def search(arguments: argparse.Namespace, wanted: float, name: str) -> dict[str, Any]:
    """Optimise all seeds."""
    import csv

    import seqchem
    from seqchem.generation import PropertyGoal

    with (arguments.work / "seeds.csv").open(encoding="utf-8", newline="") as file:
        seeds = [row["smiles"] for row in csv.DictReader(file)]
    began = time.process_time()
    found = seqchem.load(arguments.work / "finetune").optimize(
        seeds,
        [PropertyGoal(PROPERTY, wanted, relative=True)],
        similarity=SIMILARITIES,
        rounds=arguments.rounds,
        children=arguments.children,
        fraction=arguments.fraction,
        seed=SEED,
    )
    found.save(arguments.work / f"{name}.csv")
    return {
        "summary": found.summary(),
        "candidates": found.tried,
        "verified": found.verified,
        "cpu_seconds": round(time.process_time() - began, 1),
    }


def measure(piece: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run one piece.

    Raises:
        OutOfTime: It was stopped and goes on at the next call.
    """
    if arguments.deadline:
        arguments.deadline.left()
    work: dict[str, Callable[[], dict[str, Any]]] = {
        "data": lambda: make_data(arguments),
        "finetune": lambda: finetune(arguments),
        "search": lambda: search(arguments, arguments.wanted, "search"),
        "control": lambda: search(arguments, NOTHING, "control"),
    }
    return work[piece]()


def key_of(piece: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what a piece's figures depend on."""
    key: dict[str, Any] = {"data": [file_hash(arguments.data / name) for name in (TRAIN_FILE, TEST_FILE)]}
    key |= {name: getattr(arguments, name) for name in ("rows", "test_rows", "seeds")}
    if piece != "data":
        key |= {"options": options_of(arguments)}
        key |= {"start": file_hash(arguments.pretrained / "model" / "model.safetensors")}
    if piece in ("search", "control"):
        key |= {name: getattr(arguments, name) for name in ("rounds", "children", "fraction")}
        key |= {"wanted": arguments.wanted if piece == "search" else NOTHING}
    return key


def show(done: dict[str, dict[str, Any]]) -> None:
    """Print the figures that there are."""
    from seqsuite.cli.output import print_table

    rows = [
        (name, f"{row['delta']:g}", f"{row['improvement']:.2f} ({row['sd']:.2f})",
         "-" if row["similarity"] is None else f"{row['similarity']:.2f}", f"{row['success']:.1%}")
        for name in ("search", "control")
        if name in done
        for row in done[name]["summary"]
    ]  # fmt: skip
    if rows:
        heads = ("goal", "similarity", "improvement (deviation)", "mean similarity", "success")
        print_table(heads, rows, title=f"{PROPERTY}, {done['data']['seeds']} seeds")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure, print, and return what the JSON file holds."""
    arguments.work.mkdir(parents=True, exist_ok=True)
    done = measure_all(
        PIECES,
        place=lambda piece: arguments.work / f"{piece}.json",
        key=lambda piece: key_of(piece, arguments),
        measure=lambda piece: measure(piece, arguments),
    )
    show(done)
    missing = [piece for piece in PIECES if piece not in done]
    found = {piece: {name: value for name, value in each.items() if name != "key"} for piece, each in done.items()}
    said = {name: getattr(arguments, name) for name in ("rounds", "children", "fraction", "wanted")}
    result = {"complete": not missing, "missing": missing, "property": PROPERTY, "search_options": said}
    return json.loads(json.dumps(result | {"recipe": options_of(arguments)} | found))


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pretrained", type=Path, required=True, help="run folder of `seqchem pretrain` on MOSES")
    parser.add_argument("--rows", type=int, default=50_000, help="of moses_train_250k (default: %(default)s)")
    parser.add_argument(
        "--test_rows", type=int, default=20_000, help="with the seeds among them (default: %(default)s)"
    )
    parser.add_argument("--seeds", type=int, default=200, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=10, help="default: %(default)s")
    parser.add_argument("--children", type=int, default=10, help="candidates of a seed a round (default: %(default)s)")
    parser.add_argument("--fraction", type=float, default=0.3, help="of a parent that is masked (default: %(default)s)")
    parser.add_argument("--wanted", type=float, default=2.0, help="change asked of each child (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=0, help="of the training, for a trial; 0: FINETUNE_STEPS")
    return parsed(parser, "molecule_optimization", words)


def main() -> None:
    """Measure what is missing and write the result."""
    measured("molecule_optimization", run, parse())


if __name__ == "__main__":
    main()
