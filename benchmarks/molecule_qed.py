"""QED of MOSES' molecules: a Regression Transformer predicts it and writes molecules for it; a random forest beside it.

    python benchmarks/molecule_qed.py --minutes 60
    python benchmarks/molecule_qed.py --rows 300 --steps 20 --test_rows 50 --each 3 --trees 5 --trial    # does it run

One after the other, each kept under --work:

- data: --rows molecules of moses_train_250k in a random order, 2,000 of them held out for validation and the
  calibration of intervals, and --test_rows of moses_test_20k; RDKit says their QED;
- pretrain: permutation language modelling on the training rows with their QED (examples/chem/pretrain.yaml, but for
  PRETRAIN below);
- finetune: examples/chem/qed.yaml, from there;
- predict: the test rows. RMSE, coverage of calibrated intervals, and how often the likeliest tokens would have been no
  number without the grammar; that they always are one with it is checked, not measured;
- generate: molecules from nothing for ten equidistant goals over the range of QED of the training rows, all of them
  counted, and --each molecules for each goal from seeds of the test rows, 40 % of a seed masked. RDKit says what QED a
  molecule has. Every first candidate counts: none is made again because it failed;
- forest: a random forest on Morgan fingerprints (radius 2, 2048 bits) of the same training rows, on the same test rows.

The test rows are looked at by nothing but the last three. CPU seconds are the process's own, on one thread. Call again
after --minutes, Ctrl-C or a crash. What there is so far is written as results/molecule_qed-<date>.json with
"complete": false.
"""

from __future__ import annotations

import argparse
import csv
import functools
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
    plain,
    recipe,
    spent,
    train,
    write_table,
)
from _pieces import file_hash, measure_all

PIECES = ("data", "pretrain", "finetune", "predict", "generate", "forest")
PRETRAIN: dict[str, Any] = {
    "properties": ["qed"],
    "model_options": {"mixer": "attention", "mixer_options": {"num_heads": 8}, "dropout": 0.0},
    "decimals": 2,
    "mask_probability": 0.3,
    "steps": 5000,
    "batch_size": 16,
    "lr": 7e-4,
    "validate_every": 0,
}
HELD_OUT = 2000
SEED = 0
GOALS = 10


def work_file(arguments: argparse.Namespace, name: str) -> Path:
    """Return a file or folder under --work."""
    found: Path = arguments.work / name
    return found


def labels(path: Path) -> tuple[list[str], np.ndarray, list[str]]:
    """Return SMILES, QED and parts of a labelled file."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return (
        [row["smiles"] for row in rows],
        np.array([float(row["qed"]) for row in rows]),
        [row.get("split", "") for row in rows],
    )


def make_data(arguments: argparse.Namespace) -> dict[str, Any]:
    """Draw molecules and label them."""
    from seqchem.chemistry.properties import calculate

    began = time.process_time()
    held = min(HELD_OUT, arguments.rows // 10)
    smiles = drawn_molecules(arguments.data / TRAIN_FILE, arguments.rows, SEED)
    test = drawn_molecules(arguments.data / TEST_FILE, arguments.test_rows, SEED)
    values = {name: calculate(["qed"], texts)["qed"] for name, texts in (("train", smiles), ("test", test))}
    split = ["valid"] * held + ["train"] * (len(smiles) - held)
    write_table(work_file(arguments, "molecules.csv"), {"smiles": smiles, "qed": values["train"], "split": split})
    write_table(work_file(arguments, "test.csv"), {"smiles": test, "qed": values["test"]})
    return {
        "training_rows": len(smiles) - held,
        "validation_rows": held,
        "test_rows": len(test),
        "test_rows_in_training": len(set(test) & set(smiles)),
        "qed_mean": float(values["test"].mean()),
        "qed_deviation": float(values["test"].std()),
        "cpu_seconds": round(time.process_time() - began, 1),
    }


def options_of(arguments: argparse.Namespace, verb: str) -> dict[str, Any]:
    """Return the options of a training run that decide about its result."""
    said = recipe("pretrain") | PRETRAIN if verb == "pretrain" else recipe("qed")
    said |= {"split": "given", "seed": SEED}
    if arguments.steps:
        said |= {"steps": arguments.steps, "validate_every": 0}
    return said


def make_run(arguments: argparse.Namespace, verb: Any) -> dict[str, Any]:
    """Train, or go on with it."""
    folder = work_file(arguments, verb)
    said = options_of(arguments, verb) | {"source": str(work_file(arguments, "molecules.csv"))}
    if verb == "finetune":
        said["start"] = str(work_file(arguments, "pretrain"))
    result = train(verb, said, folder, arguments.deadline)
    found = {"parameters": result.parameters, "steps": result.fit.steps}
    found["training_cpu_seconds"] = round(spent(clock_of(folder)), 1)
    if verb == "finetune":
        found["validation"] = [score.row() for score in result.scores]
        calibration = json.loads((folder / "calibration.json").read_text(encoding="utf-8"))["qed"]
        found["calibration"] = calibration["levels"]
    return found


def predict(arguments: argparse.Namespace) -> dict[str, Any]:
    """Predict the test rows."""
    import seqchem
    from seqchem.evaluation.regression import regression_scores

    smiles, truth, _ = labels(work_file(arguments, "test.csv"))
    model = seqchem.load(work_file(arguments, "finetune"))
    found: dict[str, Any] = {}
    for name, options in (("mean", {}), ("mode", {"point": "mode"}), ("digit by digit", {"decode": "sequential"})):
        began = time.process_time()
        predicted = model.predict(smiles, ["qed"], **options)
        entry = predicted["qed"]
        if not bool(predicted.ok.all()):
            raise SystemExit("some test rows cannot be predicted")
        # By construction of the grammar; what the likeliest tokens would have been without it is `invalid`.
        assert np.isfinite(entry.values).all()
        found[name] = plain(regression_scores(truth, entry.values)) | {
            "cpu_seconds": round(time.process_time() - began, 2)
        }
        if name == "mean":
            assert entry.invalid is not None
            found["invalid_without_grammar"] = float(entry.invalid.mean())
            found["coverage"] = coverages(model, entry, truth)
            found["deviation_correlates_with_error"] = spearman(entry.std, np.abs(entry.values - truth))
        if name == "mode":
            written = [model.model.tokenizer.number_tokens("qed", float(value)) for value in entry.values]
            slots = model.model.tokenizer.number_formats["qed"].slots()
            assert all(token in slot for tokens in written for token, slot in zip(tokens, slots, strict=True))
    found["mean of the training rows"] = {"rmse": float(np.sqrt(np.mean((truth - training_mean(arguments)) ** 2)))}
    return found


def training_mean(arguments: argparse.Namespace) -> float:
    """Return the mean QED of the training rows."""
    _, values, split = labels(work_file(arguments, "molecules.csv"))
    return float(values[np.array(split) == "train"].mean())


def coverages(model: Any, entry: Any, truth: np.ndarray) -> dict[str, float]:
    """Return the share of test rows within the interval of every calibrated level."""
    from seqchem.prediction.calibration import LEVELS, interval_scale

    form = model.model.tokenizer.number_formats["qed"]
    width, error = entry.std + form.resolution, np.abs(entry.values - truth)
    scales = {level: interval_scale(model.calibration["qed"], level, "mean", "independent")[0] for level in LEVELS}
    return {f"{level:g}": float(np.mean(error <= scale * width)) for level, scale in scales.items()}


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(first, second).statistic)


def forest(arguments: argparse.Namespace) -> dict[str, Any]:
    """Fit the forest and predict the test rows; sparse, for a hundred thousand fingerprints are large."""
    from scipy.sparse import csc_matrix, csr_matrix, vstack
    from sklearn.ensemble import RandomForestRegressor

    from seqchem.chemistry.fingerprints import morgan
    from seqchem.evaluation.regression import regression_scores

    def bits(texts: list[str]) -> Any:
        starts = range(0, len(texts), 5000)
        return vstack([csr_matrix(morgan(texts[start : start + 5000]), dtype=np.float32) for start in starts])

    began = time.process_time()
    smiles, values, split = labels(work_file(arguments, "molecules.csv"))
    chosen = np.flatnonzero(np.array(split) == "train")
    test, truth, _ = labels(work_file(arguments, "test.csv"))
    options = {"n_estimators": arguments.trees, "max_features": 0.1, "random_state": SEED, "n_jobs": 1}
    fitted = RandomForestRegressor(**options).fit(csc_matrix(bits([smiles[row] for row in chosen])), values[chosen])
    scores = plain(regression_scores(truth, fitted.predict(bits(test))))
    return scores | {"options": options, "rows": len(chosen), "cpu_seconds": round(time.process_time() - began, 1)}


def generate(arguments: argparse.Namespace) -> dict[str, Any]:
    """Make molecules for equidistant goals, from nothing and from seeds."""
    import torch

    import seqchem
    from seqchem.evaluation.generation import evaluate_generated
    from seqchem.generation import FillOptions, MoleculeLimits
    from seqchem.generation import generate as make

    model = seqchem.load(work_file(arguments, "finetune")).model
    smiles, _, split = labels(work_file(arguments, "molecules.csv"))
    known = [text for text, part in zip(smiles, split, strict=True) if part == "train"]
    test, _, _ = labels(work_file(arguments, "test.csv"))
    form = model.tokenizer.number_formats["qed"]
    goals = np.linspace(form.minimum, form.maximum, GOALS)
    seeds = test[: arguments.each]
    found: dict[str, Any] = {"goals": goals.tolist()}
    for name, source in (("from nothing", None), ("from seeds", seeds)):
        began = time.process_time()
        candidates: list[Any] = []
        for number, goal in enumerate(goals):
            made = make(
                model,
                {"qed": float(goal)},
                seed_sequences=source,
                n=arguments.each if source is None else 1,
                tries=1,
                fraction=0.4,
                limits=MoleculeLimits(tolerance=float("inf")),
                fill=FillOptions(),
                generator=torch.Generator().manual_seed(1000 * SEED + number),
            )
            candidates += made.candidates
        texts = [candidate.sequence for candidate in candidates]
        asked = {"qed": np.array([candidate.asked["qed"] for candidate in candidates])}
        got = {"qed": np.array([candidate.obtained.get("qed", np.nan) for candidate in candidates])}
        scores = evaluate_generated(texts, train=known, reference=test, asked=asked, obtained=got)
        by_goal = [float(np.nanmean(got["qed"][asked["qed"] == goal])) for goal in np.unique(asked["qed"])]
        found[name] = scores.to_dict() | {
            "valid_by_model": float(np.mean([candidate.valid for candidate in candidates])),
            "mean_obtained_by_goal": by_goal,
            "cpu_seconds": round(time.process_time() - began, 1),
        }
        write_table(
            work_file(arguments, f"generated_{name.split()[-1]}.csv"),
            {"smiles": texts, "asked": asked["qed"], "obtained": got["qed"]},
        )
    return found


def measure(piece: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run one piece.

    Raises:
        OutOfTime: It was stopped and goes on at the next call.
    """
    if arguments.deadline:
        arguments.deadline.left()
    work: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
        "data": make_data,
        "pretrain": functools.partial(make_run, verb="pretrain"),
        "finetune": functools.partial(make_run, verb="finetune"),
        "predict": predict,
        "forest": forest,
        "generate": generate,
    }
    return work[piece](arguments)


def key_of(piece: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what a piece's figures depend on."""
    files = [arguments.data / name for name in (TRAIN_FILE, TEST_FILE)]
    key: dict[str, Any] = {"data": [file_hash(path) if path.is_file() else None for path in files], "seed": SEED}
    key |= {"rows": arguments.rows, "test_rows": arguments.test_rows}
    if piece in ("pretrain", "finetune", "predict", "generate"):
        key["pretrain"] = options_of(arguments, "pretrain")
    if piece in ("finetune", "predict", "generate"):
        key["finetune"] = options_of(arguments, "finetune")
    return key | {"forest": {"trees": arguments.trees}, "generate": {"each": arguments.each}}.get(piece, {})


def show(done: dict[str, dict[str, Any]]) -> None:
    """Print the figures that there are."""
    from seqsuite.cli.output import print_table

    rows = []
    if "predict" in done:
        found = done["predict"]
        for name in ("mean", "mode", "digit by digit"):
            rows.append((f"Regression Transformer, {name}", f"{found[name]['rmse']:.4f}", f"{found[name]['r2']:.3f}"))
        rows.append(("mean of the training rows", f"{found['mean of the training rows']['rmse']:.4f}", "0"))
    if "forest" in done:
        rows.append(("random forest, Morgan", f"{done['forest']['rmse']:.4f}", f"{done['forest']['r2']:.3f}"))
    if rows:
        print_table(("model", "RMSE", "R2"), rows, title="QED of the test rows")
    if "predict" in done:
        print(f"no number without the grammar: {done['predict']['invalid_without_grammar']:.2%} of the rows")
        print(f"coverage of intervals: {done['predict']['coverage']}")
    for name in ("from nothing", "from seeds") if "generate" in done else ():
        each = done["generate"][name]
        print(
            f"{name}: Spearman {each['asked']['qed']['spearman']:.3f}, valid {each['valid']:.3f}, unique "
            f"{each['unique']:.3f}, novel {each['novel']:.3f} of {each['count']:,}"
        )


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure, print, and return what the JSON file holds."""
    arguments.work.mkdir(parents=True, exist_ok=True)
    done = measure_all(
        PIECES,
        place=lambda piece: work_file(arguments, f"{piece}.json"),
        key=lambda piece: key_of(piece, arguments),
        measure=lambda piece: measure(piece, arguments),
        wanted=lambda piece: not arguments.only or piece in arguments.only,
    )
    show(done)
    missing = [piece for piece in PIECES if piece not in done]
    found = {piece: {name: value for name, value in each.items() if name != "key"} for piece, each in done.items()}
    recipes = {verb: options_of(arguments, verb) for verb in ("pretrain", "finetune")}
    return {"complete": not missing, "missing": missing, "recipes": recipes, **found}


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PIECES, help="do these in this call; each needs those before it")
    parser.add_argument("--rows", type=int, default=100_000, help="of moses_train_250k (default: %(default)s)")
    parser.add_argument("--test_rows", type=int, default=5000, help="of moses_test_20k (default: %(default)s)")
    parser.add_argument("--each", type=int, default=100, help="molecules for each goal (default: %(default)s)")
    parser.add_argument("--trees", type=int, default=100, help="of the forest (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=0, help="of both trainings, for a trial; 0: as in the recipes")
    return parsed(parser, "molecule_qed", words)


def main() -> None:
    """Measure what is missing and write the result."""
    measured("molecule_qed", run, parse())


if __name__ == "__main__":
    main()
