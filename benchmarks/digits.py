"""Spoken digits: the classifier of raw waveforms beside log mel with logistic regression and a small log-mel CNN.

    python benchmarks/digits.py
    python benchmarks/digits.py --sets official --minutes 20
    python benchmarks/digits.py --sets speakers --only linear cnn

Sets: official (the test recordings that the data set names, of speakers who are in training too) and speakers (six
folds, each without one speaker, who is its test set). The logistic regression is fitted once a split; networks are
trained once a seed and split, all with the same changes of training clips, no validation clips, and the last weights.

What is done lies under --work and is not done again: call it again after --minutes, Ctrl-C or a crash. What there is
so far is printed and written as results/digits-<date>.json with "complete": false and a list of what is missing.
With --epochs (a trial) nothing is written outside --work.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from _deadline import Deadline, OutOfTime
from _machine import write_result

SETS = ("official", "speakers")
KINDS = ("linear", "cnn", "wave")
NAMES = {"linear": "log mel, logistic regression", "cnn": "log-mel CNN", "wave": "raw waveform"}
METRICS = ("accuracy", "macro_f1")
FILE = "fsdd_digits_8khz.npz"
RATE = 8000


@dataclass(frozen=True)
class Piece:
    """One thing to measure: a kind of model on a split, with a seed.

    Attributes:
        set: official or speakers.
        split: official, or the speaker who is held out.
        kind: Of model.
        seed: Of its random numbers.
    """

    set: str
    split: str
    kind: str
    seed: int

    def folder(self, work: Path) -> Path:
        return work / self.set / self.split / self.kind / f"seed_{self.seed}"

    def __str__(self) -> str:
        return f"{self.set}/{self.split}/{self.kind}/seed_{self.seed}"


def data_file(given: str | None) -> Path:
    """Return the data file: given, or in `SEQSUITE_DATA`, or beside the checkout."""
    if given:
        return Path(given).expanduser()
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("SEQSUITE_DATA", beside)) / "audio" / FILE


def config_of(arguments: argparse.Namespace, *, hold_out: str = "", seed: int = 0, out: str = "unused") -> Any:
    """Return the options of a run: the command's defaults."""
    from seqaudio.configs.classify import ClassifyConfig
    from seqsuite.training import RunFolder

    config = ClassifyConfig(
        str(data_file(arguments.data)),
        model=arguments.model,
        npz_rate=RATE,
        hold_out=hold_out,
        seed=seed,
        threads=1,
        accelerator="cpu",
        checkpoint_every=200,
        max_minutes=arguments.deadline.left() if arguments.deadline else 0.0,
        resume=RunFolder(out).holds_run,
        out=out,
    )
    short = {"epochs": arguments.epochs, "cnn_epochs": arguments.epochs} if arguments.epochs else {}
    return dataclasses.replace(config, **short)


def plans_of(data: Any, arguments: argparse.Namespace) -> dict[tuple[str, str], Any]:
    """Return (set, split) -> plan of the chosen sets."""
    from seqaudio.classification.splits import plan_runs

    plans = {}
    if "official" in arguments.sets:
        plans["official", "official"] = plan_runs(data, config_of(arguments))[0]
    if "speakers" in arguments.sets:
        for plan in plan_runs(data, config_of(arguments, hold_out="speaker")):
            plans["speakers", plan.held_out] = plan
    return plans


def pieces_of(splits: Sequence[tuple[str, str]], seeds: Sequence[int]) -> list[Piece]:
    """Return all pieces, the cheap kinds first; logistic regression has no seed of its own."""
    return [
        Piece(*split, kind, seed)
        for kind in KINDS
        for split in splits
        for seed in (seeds[:1] if kind == "linear" else seeds)
    ]


def measure_piece(piece: Piece, data: Any, plan: Any, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train or fit one model and return its scores.

    Raises:
        OutOfTime: It was stopped and goes on at the next call.
    """
    from seqaudio.classification.one_run import Job, run_classifier, run_cnn, run_linear

    folder = piece.folder(arguments.work)
    config = config_of(arguments, seed=piece.seed, out=str(folder))
    run = {"linear": run_linear, "cnn": run_cnn, "wave": run_classifier}[piece.kind]
    began = time.process_time()
    scores = run(Job(folder, config, data, dataclasses.replace(plan, seed=piece.seed)))
    if scores is None:
        raise OutOfTime
    return {**dataclasses.asdict(scores), "cpu_seconds_of_last_call": time.process_time() - began}


def key_of(piece: Piece, data: Any, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what a finished piece depends on; another key means another measurement."""
    key = {"clips": data.fingerprint(), "sound": file_hash(data_file(arguments.data))}
    if piece.kind == "linear":
        return key
    options = config_of(arguments, seed=piece.seed).to_dict()
    others = ("source", "out", "max_minutes", "checkpoint_every", "hold_out", "epochs", "lr", "cnn_epochs", "cnn_lr")
    mine = ("cnn_epochs", "cnn_lr") if piece.kind == "cnn" else ("epochs", "lr", "model", "model_options")
    if piece.kind == "wave":
        from seqaudio.classification.networks import network_config

        config = network_config(arguments.model, {}, classes=len(data.classes))
        key["network"] = json.loads(json.dumps(dataclasses.asdict(config)))
    names = {*(set(options) - set(others) - {"model", "model_options"}), *mine}
    return key | {name: options[name] for name in sorted(names)}


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def finished(piece: Piece, key: dict[str, Any], work: Path) -> dict[str, Any] | None:
    """Return the scores of a piece that an earlier call measured.

    Raises:
        SystemExit: They were measured with other options.
    """
    path = piece.folder(work).with_suffix(".json")
    if not path.exists():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    other = sorted(name for name in {*key, *found["key"]} if key.get(name) != found["key"].get(name))
    if other:
        raise SystemExit(f"{path} was measured with another {', '.join(other)}; choose another --work, or remove it.")
    return found


def measure_all(
    pieces: Sequence[Piece], data: Any, plans: dict[tuple[str, str], Any], arguments: argparse.Namespace
) -> dict[Piece, dict[str, Any]]:
    """Measure what is missing; return everything that there is, early when the time is over or on Ctrl-C."""
    from seqsuite.training.run_folder import write_json

    keys = {piece: key_of(piece, data, arguments) for piece in pieces}
    before = {piece: finished(piece, keys[piece], arguments.work) for piece in pieces}
    done = {piece: found for piece, found in before.items() if found is not None}
    try:
        for number, piece in enumerate(pieces, start=1):
            if piece in done or piece.kind not in arguments.only:
                continue
            print(f"[{number} of {len(pieces)}] {piece}", file=sys.stderr, flush=True)
            scores = measure_piece(piece, data, plans[piece.set, piece.split], arguments)
            done[piece] = {"key": keys[piece], **scores}
            write_json(piece.folder(arguments.work).with_suffix(".json"), done[piece])
    except OutOfTime:
        print("the time is over; call again to go on", file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted; call again to go on", file=sys.stderr)
    return done


def summarize(done: dict[Piece, dict[str, Any]], name: str, metric: str) -> dict[str, Any]:
    """Return kind -> split -> mean over seeds, and kind -> mean over splits, of one set and metric."""
    result: dict[str, Any] = {}
    for kind in KINDS:
        splits: dict[str, list[float]] = {}
        for piece, found in done.items():
            if (piece.set, piece.kind) == (name, kind):
                splits.setdefault(piece.split, []).append(found[metric])
        if splits:
            means = {split: float(np.mean(values)) for split, values in splits.items()}
            result[kind] = {"splits": splits, "mean": float(np.mean(list(means.values()))), "split_means": means}
    return result


def show(summary: dict[str, Any]) -> None:
    """Print one table a set."""
    from seqsuite.cli.output import print_table

    for name, metrics in summary.items():
        found = metrics["accuracy"]
        splits = list(dict.fromkeys(split for kind in found.values() for split in kind["split_means"]))
        rows = []
        for kind, values in found.items():
            cells = [f"{values['split_means'][s]:.3f}" if s in values["split_means"] else "-" for s in splits]
            whole = len(values["split_means"]) == len(splits)
            rows.append((NAMES[kind], *cells, f"{values['mean']:.3f}" if whole else "-"))
        print_table(("model", *splits, "mean"), rows, title=f"{name}: test accuracy")
        print()


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure, print, and return what the JSON file holds."""
    from seqaudio.classification.run import open_data
    from seqsuite.training.run_folder import write_json

    data = open_data(config_of(arguments))
    plans = plans_of(data, arguments)
    pieces = pieces_of(list(plans), range(arguments.seeds))
    done = measure_all(pieces, data, plans, arguments)
    summary = {name: {metric: summarize(done, name, metric) for metric in METRICS} for name in arguments.sets}
    show(summary)
    missing = [str(piece) for piece in pieces if piece not in done]
    if missing:
        print(f"incomplete: {len(missing)} of {len(pieces)} are missing")
    result = {
        "complete": not missing,
        "missing": missing,
        "seeds": arguments.seeds,
        "clips": len(data),
        "summary": summary,
        "runs": {str(piece): found for piece, found in done.items()},
    }
    arguments.work.mkdir(parents=True, exist_ok=True)
    write_json(arguments.work / "digits.json", result)
    return result


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--only", nargs="+", choices=KINDS, default=KINDS, help="measure these kinds in this call")
    parser.add_argument("--model", default="wave_classifier", help="default: %(default)s")
    parser.add_argument("--seeds", type=int, default=1, help="seeds 0, 1, ... (default: %(default)s)")
    parser.add_argument("--data", help=f"the data file (default: audio/{FILE} in SEQSUITE_DATA)")
    parser.add_argument("--work", type=Path, default=Path("runs/digits"), help="default: %(default)s")
    parser.add_argument("--minutes", type=float, default=0.0, help="stop after so many, to be called again")
    parser.add_argument("--epochs", type=float, default=0.0, help="epochs of all networks, for a trial")
    arguments = parser.parse_args(words)
    if arguments.seeds < 1:
        parser.error("--seeds must be at least 1.")
    arguments.deadline = Deadline(arguments.minutes) if arguments.minutes else None
    return arguments


def main() -> None:
    from seqsuite.errors import UserError

    arguments = parse()
    try:
        result = run(arguments)
    except UserError as error:
        raise SystemExit(str(error)) from None
    print(arguments.work / "digits.json" if arguments.epochs else write_result("digits", result))


if __name__ == "__main__":
    main()
