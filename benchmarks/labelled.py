"""Labelled sets: a pretrained model against the same one from scratch, simple models and a small CNN.

    python benchmarks/labelled.py --pretrained runs/arabidopsis
    python benchmarks/labelled.py --pretrained runs/arabidopsis --sets splice --seeds 3 --minutes 50

Sets: splice and promoter (Arabidopsis, split by position as given in their files) and uci (primate splice junctions,
80/10/10 at random, stratified, another split for every seed; all models of a seed share it). Linear models are
fitted once a split, on the cropped sequences and on whole ones; networks once a seed, the weights chosen by the
validation accuracy. The pretrained model and the same one from scratch have the same options, a convolutional head
that tells the strands apart among them; the CNN, which is that head on the bases alone, has its own learning rate
and number of epochs.

What is done lies under --work and is not done again: call it again after --minutes, Ctrl-C or a crash. What there
is so far is printed and written as results/labelled-<date>.json with "complete": false and a list of what is
missing. With --limit (a trial) nothing is written outside --work.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import hashlib
import io
import json
import math
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

METRICS = ("accuracy", "mcc", "auroc")
NETWORKS = ("cnn", "scratch", "pretrained")
LINEAR = "linear"


@dataclass(frozen=True)
class Setting:
    """A set and its hyper-parameters.

    Attributes:
        file: Name in the data folder.
        given_split: The file has a split column; else every seed draws 80/10/10.
        classifier: The model's head.
        crop: The middle bases that the networks see; 0 for all.
        batch_size: Rows of a step.
        epochs: Of the model.
        lr: Of the model.
        mutate: Share of mutated bases in training, of all networks.
        cnn_epochs: Of the CNN.
        cnn_lr: Of the CNN.
    """

    file: str
    given_split: bool
    classifier: str = "conv"
    crop: int = 0
    batch_size: int = 64
    epochs: float = 4.0
    lr: float = 2e-3
    mutate: float = 0.0
    cnn_epochs: float = 12.0
    cnn_lr: float = 1e-3


SETS = {
    "splice": Setting(
        "arabidopsis_chr1_splice_400bp.csv.gz", True, crop=200, batch_size=32, epochs=3.0
    ),
    "promoter": Setting("arabidopsis_chr1_promoter_300bp.csv.gz", True, epochs=2.0),
    "uci": Setting("uci_splice_junctions_60bp.csv.gz", False, batch_size=32, epochs=10.0, cnn_epochs=30.0),
}  # fmt: skip


@dataclass(frozen=True)
class Piece:
    """One thing to measure: a kind of model on a set, with a seed."""

    set: str
    kind: str
    seed: int

    def folder(self, work: Path) -> Path:
        return work / self.set / self.kind / f"seed_{self.seed}"

    def __str__(self) -> str:
        return f"{self.set}/{self.kind}/seed_{self.seed}"


# Data


def data_folder(given: str | None) -> Path:
    """Return the folder of the genomics data sets: given, or `SEQSUITE_DATA`, or beside the checkout."""
    if given:
        return Path(given).expanduser()
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("SEQSUITE_DATA", beside)) / "genomics"


def file_hash(*paths: Path) -> str:
    """Return the SHA-256 over the contents of files."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def model_folder(run: str | Path) -> Path:
    """Return the folder of a run's exported model.

    Raises:
        SystemExit: The run holds none.
    """
    folder = Path(run).expanduser()
    folder = folder / "model" if (folder / "model").is_dir() else folder
    if not (folder / "config.json").is_file() or not list(folder.glob("*.safetensors")):
        raise SystemExit(f"{run}: holds no model; give a run folder of `seqdna pretrain`.")
    return folder


def weights_hash(run: str | Path) -> str:
    """Return the SHA-256 over a run's exported weights."""
    return file_hash(*sorted(model_folder(run).glob("*.safetensors")))


def table_of(piece: Piece, setting: Setting, data: Path, work: Path) -> Path:
    """Return the table of a piece: the file itself, or a copy with the split that its seed draws."""
    source = data / setting.file
    if setting.given_split:
        return source
    target = work / piece.set / f"split_{piece.seed}.csv"
    target.parent.mkdir(parents=True, exist_ok=True)
    text = with_split(source, piece.seed)
    if not target.exists() or target.read_text(encoding="utf-8") != text:
        target.write_text(text, encoding="utf-8")
    return target


def with_split(source: Path, seed: int) -> str:
    """Return a table's rows with a split column: 80/10/10, stratified by label and seeded."""
    from seqdna.finetuning.labelled import decide
    from seqdna.finetuning.splits import plan_runs
    from seqdna.finetuning.tables import read_table

    rows = read_table(source)
    plan = plan_runs(decide(rows), seed=seed, test_fraction=0.1, valid_fraction=1 / 9)[0]
    marks = np.empty(len(rows), dtype=object)
    for name in ("train", "valid", "test"):
        marks[getattr(plan, name)] = name
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("split", "label", "sequence"))
    writer.writerows(
        (mark, label, text) for mark, (label,), text in zip(marks, rows.labels, rows.sequences, strict=True)
    )
    return out.getvalue()


# Measuring one piece


def options_of(piece: Piece, setting: Setting, table: Path, arguments: argparse.Namespace) -> Any:
    """Return the FinetuneConfig of a piece."""
    from seqdna.configs.finetune import FinetuneConfig
    from seqsuite.training import RunFolder

    out = piece.folder(arguments.work)
    cnn = piece.kind == "cnn"
    return FinetuneConfig(
        str(table),
        model=arguments.pretrained,
        from_scratch=piece.kind != "pretrained",
        classifier="linear" if piece.kind == LINEAR else setting.classifier,
        strand_specific=piece.kind in ("scratch", "pretrained"),
        crop=setting.crop,
        batch_size=setting.batch_size,
        epochs=setting.cnn_epochs if cnn else setting.epochs,
        lr=setting.cnn_lr if cnn else setting.lr,
        mutate=setting.mutate if piece.kind != LINEAR else 0.0,
        limit=arguments.limit,
        seed=piece.seed,
        baselines=False,
        threads=1,
        checkpoint_every=100,
        max_minutes=arguments.deadline.left() if arguments.deadline else 0.0,
        resume=RunFolder(out).holds_run,
        out=str(out),
    )


def measure_piece(piece: Piece, setting: Setting, table: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train or fit one model and return its figures.

    Raises:
        OutOfTime: It was stopped and goes on at the next call.
    """
    began = time.monotonic()
    options = options_of(piece, setting, table, arguments)
    if piece.kind == LINEAR:
        found = linear(options)
    else:
        run = cnn(options) if piece.kind == "cnn" else network(options)
        if run is None:
            raise OutOfTime
        found = {name: run[name] for name in ("test", "valid", "steps", "rows", "trainable")}
        found |= {"shared": run["shared"]} if "shared" in run else {}
    return {**found, "seconds": time.monotonic() - began}


def network(options: Any) -> dict[str, Any] | None:
    """Fine-tune, or train from scratch."""
    from seqdna.finetuning import finetune

    result = finetune(options)
    return None if result is None else {**dataclasses.asdict(result.runs[0]), "shared": result.shared}


def job_of(options: Any) -> Any:
    """Return the rows and options of a run that `finetune` itself does not do."""
    from seqdna.finetuning.labelled import decide
    from seqdna.finetuning.one_run import Job
    from seqdna.finetuning.readers import read_all
    from seqdna.finetuning.splits import plan_runs
    from seqdna.finetuning.start import open_start

    data = decide(read_all(options))
    plan = plan_runs(data, seed=options.seed, limit=options.limit)[0]
    train, valid, test = (data.take(rows) for rows in (plan.train, plan.valid, plan.test))
    epoch = math.ceil(len(train) / min(options.batch_size, len(train)))
    options = dataclasses.replace(
        options,
        steps=max(1, round(options.epochs * epoch)),
        batch_size=min(options.batch_size, len(train)),
        validate_every=epoch,
    )
    return Job(plan.name, Path(options.out), options, train, valid, test, "accuracy", open_start(options))


def cnn(options: Any) -> dict[str, Any] | None:
    """Train the small convolutional network by the same trainer."""
    from seqdna.finetuning.baselines import SmallCNN
    from seqdna.finetuning.one_run import run_network

    job = job_of(options)
    tokenizer = job.start.tokenizer
    run = run_network(job, build=lambda: SmallCNN(tokenizer.base_ids.tolist(), tokenizer.pad_id, job.train.outputs))
    return None if run is None else dataclasses.asdict(run)


def linear(options: Any) -> dict[str, Any]:
    """Fit the linear models on whole sequences, and on cropped ones where there is a crop."""
    from seqdna.finetuning.baselines import linear_baselines, majority

    job = job_of(options)
    found = {"majority class": majority(job.train, job.test)}
    for crop in sorted({0, options.crop}):
        models = linear_baselines(job.train, job.valid, job.test, metric="accuracy", crop=crop)
        found |= {f"{name}{f', middle {crop}' if crop else ''}": each for name, each in models.items()}
    return {"models": found, "rows": [len(job.train), len(job.valid), len(job.test)]}


# What is done and what is not


def key_of(piece: Piece, setting: Setting, data: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what a finished piece depends on; another key means another measurement."""
    used = dataclasses.asdict(setting)
    mine = {"cnn": ("cnn_epochs", "cnn_lr"), LINEAR: ()}.get(piece.kind, ("classifier", "epochs", "lr"))
    wanted = (*mine, "file", "crop", *(("batch_size", "mutate") if piece.kind != LINEAR else ()))
    key = {name: used[name] for name in wanted} | {"seed": piece.seed, "limit": arguments.limit}
    key["data_sha256"] = file_hash(data / setting.file)
    if piece.kind in ("scratch", "pretrained"):
        key["config_sha256"] = file_hash(model_folder(arguments.pretrained) / "config.json")
    if piece.kind == "pretrained":
        key["weights_sha256"] = weights_hash(arguments.pretrained)
    return key


def finished(piece: Piece, key: dict[str, Any], work: Path) -> dict[str, Any] | None:
    """Return the figures of a piece that an earlier call measured.

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


def keep(piece: Piece, key: dict[str, Any], figures: dict[str, Any], work: Path) -> dict[str, Any]:
    """Write a piece's figures, whole or not at all."""
    from seqsuite.training.run_folder import write_json

    path = piece.folder(work).with_suffix(".json")
    path.parent.mkdir(parents=True, exist_ok=True)
    found = {"key": key, **figures}
    write_json(path, found)
    return found


def plan_of(names: Sequence[str], sets: dict[str, Setting], seeds: Sequence[int]) -> list[Piece]:
    """Return all pieces, the cheap ones of a set first and the two models of a seed together.

    Several calls on one --work may share them out: --only takes the kinds that a call measures.
    """
    pieces = []
    for name in names:
        # The linear models have no seed of their own: one fit a split.
        pieces += [Piece(name, LINEAR, seed) for seed in (seeds[:1] if sets[name].given_split else seeds)]
        pieces += [Piece(name, kind, seed) for seed in seeds for kind in NETWORKS]
    return pieces


def measure_all(
    pieces: Sequence[Piece], sets: dict[str, Setting], arguments: argparse.Namespace
) -> dict[Piece, dict[str, Any]]:
    """Measure what is missing; return everything that there is, early when the time is over or on Ctrl-C."""
    data = data_folder(arguments.data)
    keys = {piece: key_of(piece, sets[piece.set], data, arguments) for piece in pieces}
    before = {piece: finished(piece, keys[piece], arguments.work) for piece in pieces}
    done = {piece: found for piece, found in before.items() if found is not None}
    try:
        for number, piece in enumerate(pieces, start=1):
            if piece in done or piece.kind not in arguments.only:
                continue
            print(f"[{number} of {len(pieces)}] {piece}", file=sys.stderr, flush=True)
            table = table_of(piece, sets[piece.set], data, arguments.work)
            figures = measure_piece(piece, sets[piece.set], table, arguments)
            done[piece] = keep(piece, keys[piece], figures, arguments.work)
    except OutOfTime:
        print("the time is over; call again to go on", file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted; call again to go on", file=sys.stderr)
    return done


# Tables


def summarize(name: str, done: dict[Piece, dict[str, Any]], metric: str) -> dict[str, Any]:
    """Return the test figures of one set and metric: the best linear model, the networks, pretraining's gain.

    The best linear model is the one with the best mean on the test rows, so that it is not put too low.
    """
    mine = {piece: found for piece, found in done.items() if piece.set == name}
    linear: dict[str, list[float]] = {}
    for piece, found in mine.items():
        for model, figures in found["models"].items() if piece.kind == LINEAR else ():
            if metric in figures:
                linear.setdefault(model, []).append(figures[metric])
    seeds = {
        kind: {p.seed: found["test"][metric] for p, found in mine.items() if p.kind == kind} for kind in NETWORKS
    }  # fmt: skip
    best = max(linear, key=lambda model: np.mean(linear[model])) if linear else None
    paired = sorted(set(seeds["scratch"]) & set(seeds["pretrained"]))
    return {
        "linear": linear,
        "best_linear": best,
        **{kind: list(values.values()) for kind, values in seeds.items()},
        "gain": [seeds["pretrained"][seed] - seeds["scratch"][seed] for seed in paired],
    }


def spread(values: Sequence[float], sign: str = "") -> str:
    """Return "0.912 (0.905..0.921)": mean, least and most."""
    if not values:
        return "-"
    text = f"{np.mean(values):{sign}.3f}"
    return text if len(values) == 1 else f"{text} ({min(values):{sign}.3f}..{max(values):{sign}.3f})"


def show(names: Sequence[str], summary: dict[str, dict[str, Any]]) -> None:
    """Print one table a metric."""
    from seqsuite.cli.output import print_table

    for metric in METRICS:
        rows = []
        for name in names:
            one = summary[name][metric]
            best = one["best_linear"]
            cells = [spread(one["linear"][best]), best] if best else ["-", ""]
            cells += [spread(one[kind]) for kind in NETWORKS]
            rows.append((name, *cells, spread(one["gain"], "+")))
        heads = ("set", "best linear", "which", "small CNN", "from scratch", "pretrained", "gain of pretraining")
        print_table(heads, rows, title=f"test {metric}: mean (least..most) over seeds")
        print()


def pretraining_of(run: str | Path) -> dict[str, Any]:
    """Return what is known of the pretraining: architecture, steps, held-out bits; no paths."""
    folder = Path(run).expanduser()
    result: dict[str, Any] = {"run": folder.name, "weights_sha256": weights_hash(run)}
    result["config"] = json.loads((model_folder(run) / "config.json").read_text(encoding="utf-8"))
    if (folder / "summary.json").is_file():
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        result |= {name: summary[name] for name in ("objective", "length", "steps", "bits_per_base") if name in summary}
    return result


def result_of(
    pieces: Sequence[Piece], sets: dict[str, Setting], done: dict[Piece, dict[str, Any]], arguments: argparse.Namespace
) -> dict[str, Any]:
    """Return what the JSON file holds."""
    names = list(dict.fromkeys(piece.set for piece in pieces))
    missing = [str(piece) for piece in pieces if piece not in done]
    return {
        "complete": not missing,
        "missing": missing,
        "seeds": arguments.seeds,
        "limit": arguments.limit,
        "pretraining": pretraining_of(arguments.pretrained),
        "settings": {name: dataclasses.asdict(sets[name]) for name in names},
        "summary": {name: {metric: summarize(name, done, metric) for metric in METRICS} for name in names},
        "runs": {str(piece): found for piece, found in done.items()},
    }


def settings_of(arguments: argparse.Namespace) -> dict[str, Setting]:
    """Return the chosen sets with what the flags change."""
    fields = ("classifier", "crop", "batch_size", "epochs", "lr", "mutate", "cnn_epochs", "cnn_lr")
    changed = {name: value for name in fields if (value := getattr(arguments, name)) is not None}
    names = [name.strip() for name in arguments.sets.split(",") if name.strip()]
    unknown = [name for name in names if name not in SETS]
    if unknown or not names:
        raise SystemExit(f"--sets {arguments.sets}: choose from {', '.join(SETS)}.")
    return {name: dataclasses.replace(SETS[name], **changed) for name in names}


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pretrained", required=True, help="run folder of `seqdna pretrain`")
    parser.add_argument("--sets", default=",".join(SETS), help="with commas between them (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="seeds 0, 1, ... (default: %(default)s)")
    parser.add_argument("--data", help="folder of the data files (default: genomics in SEQSUITE_DATA)")
    parser.add_argument("--work", type=Path, default=Path("runs/labelled"), help="default: %(default)s")
    parser.add_argument("--minutes", type=float, default=0.0, help="stop after so many, to be called again")
    parser.add_argument("--limit", type=int, default=0, help="rows of each split, for a trial")
    kinds = (LINEAR, *NETWORKS)
    parser.add_argument("--only", nargs="+", choices=kinds, default=kinds, help="measure these kinds in this call")
    own = parser.add_argument_group("hyper-parameters of all chosen sets (default: as in SETS)")
    own.add_argument("--classifier", choices=("linear", "conv"))
    for name in ("crop", "batch_size"):
        own.add_argument(f"--{name}", type=int)
    for name in ("epochs", "lr", "mutate", "cnn_epochs", "cnn_lr"):
        own.add_argument(f"--{name}", type=float)
    arguments = parser.parse_args(words)
    if arguments.seeds < 1:
        parser.error("--seeds must be at least 1.")
    arguments.deadline = Deadline(arguments.minutes) if arguments.minutes else None
    return arguments


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure, print, and return what the JSON file holds."""
    from seqsuite.training.run_folder import write_json

    sets = settings_of(arguments)
    pieces = plan_of(list(sets), sets, range(arguments.seeds))
    done = measure_all(pieces, sets, arguments)
    result = result_of(pieces, sets, done, arguments)
    show(list(sets), result["summary"])
    if result["missing"]:
        print(f"incomplete: {len(result['missing'])} of {len(pieces)} are missing")
    arguments.work.mkdir(parents=True, exist_ok=True)
    write_json(arguments.work / "labelled.json", result)
    return result


def main() -> None:
    from seqsuite.errors import UserError

    arguments = parse()
    try:
        result = run(arguments)
    except UserError as error:
        raise SystemExit(str(error)) from None
    print(arguments.work / "labelled.json" if arguments.limit else write_result("labelled", result))


if __name__ == "__main__":
    main()
