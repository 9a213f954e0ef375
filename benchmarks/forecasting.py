"""Long-horizon forecasting: SimbaSeries beside the last value, the last season, NLinear by ridge, DLinear, NLinear.

    python benchmarks/forecasting.py
    python benchmarks/forecasting.py --sets ETTh1 --horizons 96 --minutes 20
    python benchmarks/forecasting.py --only baselines

Sets: ETTh1 and ETTh2 (12, 4 and 4 months) and chicago_ridership (daily entries at 20 stations, 70/10/20), look-back 96
rows. Options are those of examples/vision/etth1.yaml and etth2.yaml, which were chosen on the validation rows of
horizon 96; chicago_ridership has those of etth1.yaml, at the two horizons that its validation rows hold. Networks are
trained once a seed and horizon and keep the weights of their best validation; the test rows are scored once. Squared
errors are compared with the ridge's and with DLinear's window by window, means over seeds, by a block bootstrap.

What is done lies under --work and is not done again: call it again after --minutes, Ctrl-C or a crash. What there is
so far is printed and written as results/forecasting-<date>.json with "complete": false and a list of what is missing.
With --steps (a trial) nothing is written outside --work.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from _deadline import Deadline, OutOfTime
from _machine import write_result
from _pieces import file_hash, measure_all

HORIZONS = (96, 192, 336, 720)
RECIPES = Path(__file__).resolve().parents[1] / "examples" / "vision"
SETS = {"ETTh1": "etth1.yaml", "ETTh2": "etth2.yaml", "chicago_ridership": "etth1.yaml"}
LONGEST = {"chicago_ridership": 192}
"""A validation split of 571 days holds no window of horizon 720, and hardly one of 336."""
STATIONS = (
    "Austin", "Quincy_Wells", "Belmont", "Archer_35th", "Oak_Park", "Western", "Clark_Lake", "Clinton",
    "Merchandise_Mart", "Irving_Park", "Washington_Wells", "Harlem", "Monroe", "Polk", "Ashland", "Kedzie", "Addison",
    "Jefferson_Park", "Montrose", "California",
)  # fmt: skip
COLUMNS = {"chicago_ridership": STATIONS}
NETWORK_KINDS = ("DLinear", "NLinear")
OURS = "simba"


@dataclass(frozen=True)
class Piece:
    """One thing to measure: a forecaster on a set at a horizon, with a seed.

    Attributes:
        set: A name of SETS.
        kind: A simple forecaster, or simba.
        horizon: Rows ahead.
        seed: Of its random numbers.
    """

    set: str
    kind: str
    horizon: int
    seed: int

    def folder(self, work: Path) -> Path:
        return work / self.set / f"h{self.horizon}" / self.kind.replace(", ", "_").replace(" ", "_") / str(self.seed)

    def __str__(self) -> str:
        return f"{self.set}/h{self.horizon}/{self.kind}/seed_{self.seed}"


def data_file(name: str, given: str | None) -> Path:
    """Return a set's file: in the folder given, or in `SEQSUITE_DATA`, or beside the checkout."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(given).expanduser() if given else Path(os.environ.get("SEQSUITE_DATA", beside)) / "timeseries"
    return folder / f"{name}.csv.gz"


def config_of(name: str, arguments: argparse.Namespace, **changes: Any) -> Any:
    """Return the options of a set's runs: those of its recipe."""
    import yaml

    from seqsuite.mixers.options import build_config
    from seqvision.configs.forecast_train import ForecastTrainConfig

    recipe = yaml.safe_load((RECIPES / SETS[name]).read_text(encoding="utf-8"))
    values = {**recipe, "source": str(data_file(name, arguments.data)), "split": "auto", "accelerator": "cpu"}
    values |= {"threads": 1, "columns": COLUMNS.get(name, ()), "steps": arguments.steps, "checkpoint_every": 200}
    return build_config(ForecastTrainConfig, {**values, **changes})


def pieces_of(arguments: argparse.Namespace) -> list[Piece]:
    """Return all pieces, the cheap kinds of a set first; what has no random numbers has one seed."""
    from seqvision.forecasting.one_run import FIXED

    def some(name: str, kinds: Sequence[str], seeds: Sequence[int]) -> list[Piece]:
        horizons = [horizon for horizon in arguments.horizons if horizon <= LONGEST.get(name, horizon)]
        return [Piece(name, kind, horizon, seed) for horizon in horizons for seed in seeds for kind in kinds]

    seeds = range(arguments.seeds)
    simple = [piece for name in arguments.sets for piece in some(name, FIXED, (0,)) + some(name, NETWORK_KINDS, seeds)]
    return simple + [piece for name in arguments.sets for piece in some(name, (OURS,), seeds)]


def job_of(piece: Piece, data: Any, arguments: argparse.Namespace) -> Any:
    """Return a piece as a run of `seqvision forecast-train`."""
    from seqsuite.training import RunFolder
    from seqvision.forecasting.one_run import Job

    folder = piece.folder(arguments.work)
    left = arguments.deadline.left() if arguments.deadline else 0.0
    resume = RunFolder(folder).holds_run
    changes = {"max_minutes": left, "resume": resume, "out": str(folder), "horizons": (piece.horizon,)}
    return Job(folder, config_of(piece.set, arguments, **changes), data, piece.horizon, piece.seed)


def measure_piece(piece: Piece, data: Any, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train or fit one forecaster and return its scores.

    Raises:
        OutOfTime: It was stopped and goes on at the next call.
    """
    from seqvision.forecasting.one_run import FIXED, run_fixed, run_linear, run_model

    job = job_of(piece, data, arguments)
    if piece.kind in FIXED:
        scores = run_fixed(job, piece.kind)
    else:
        scores = run_model(job) if piece.kind == OURS else run_linear(job, piece.kind)
    if scores is None:
        raise OutOfTime
    return dataclasses.asdict(scores)


def key_of(piece: Piece, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what a finished piece depends on."""
    options = config_of(piece.set, arguments).to_dict()
    others = {"source", "out", "max_minutes", "horizons", "seeds", "seed", "checkpoint_every", "log_every", "resamples"}
    others |= {"json", "baselines", "keep_checkpoints", "threads"}
    ours, linear = {"model", "model_options", "loss", "epochs", "lr", "weight_decay"}, {"linear_epochs", "linear_lr"}
    if piece.kind == OURS:
        kept = set(options) - others - linear
    elif piece.kind in NETWORK_KINDS:
        kept = set(options) - others - ours | linear
    else:
        kept = {"look_back", "split", "columns", "drop", "date_column", "season"}
    key = {name: options[name] for name in sorted(kept)}
    return {**key, "data_sha256": file_hash(data_file(piece.set, arguments.data))}


def errors_of(pieces: Sequence[Piece], work: Path) -> np.ndarray:
    """Return the squared error of each test window, mean over pieces: (W,)."""
    return np.mean([np.load(piece.folder(work) / "windows.npz")["mse"] for piece in pieces], axis=0, dtype=np.float64)


def summarize(name: str, done: dict[Piece, dict[str, Any]], arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Return one entry a horizon and kind of a set: means, seeds, and differences to what it is compared with."""
    from seqvision.forecasting.bootstrap import paired_difference
    from seqvision.forecasting.results import COMPARED

    groups: dict[tuple[int, str], list[Piece]] = {}
    for piece in done:
        if piece.set == name:
            groups.setdefault((piece.horizon, piece.kind), []).append(piece)
    entries = []
    for (horizon, kind), mine in sorted(groups.items(), key=lambda group: group[0][0]):
        metrics = {m: [done[piece][m] for piece in mine] for m in ("mse", "mae", "valid_mse")}
        entry = {"horizon": horizon, "kind": kind, **{m: float(np.mean(values)) for m, values in metrics.items()}}
        entry |= {f"{m}_seeds": values for m, values in metrics.items()}
        entry |= {name: done[mine[0]][name] for name in ("parameters", "detail", "windows")}
        for other in COMPARED if kind == OURS else ():
            if (horizon, other) in groups:
                pair = (errors_of(each, arguments.work) for each in (mine, groups[horizon, other]))
                span = config_of(name, arguments).look_back + horizon
                entry[f"minus {other}"] = dataclasses.asdict(paired_difference(*pair, span=span))
        entries.append(entry)
    return entries


def show(summary: dict[str, list[dict[str, Any]]]) -> None:
    """Print one table a set."""
    from seqsuite.cli.output import print_table
    from seqvision.forecasting.results import COMPARED, spread

    for name, entries in summary.items():
        rows = []
        for entry in entries:
            cells = [spread(entry[f"{metric}_seeds"]) for metric in ("mse", "mae", "valid_mse")]
            for other in COMPARED:
                found = entry.get(f"minus {other}")
                cells.append(f"{found['mean']:+.4f} ({found['low']:+.4f} to {found['high']:+.4f})" if found else "")
            rows.append((entry["horizon"], entry["kind"], *cells))
        heads = ("horizon", "model", "MSE", "MAE", "validation MSE", *(f"MSE minus {other}" for other in COMPARED))
        print_table(heads, rows, title=f"{name}: test windows, mean (least to most) over seeds")
        print()


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure, print, and return what the JSON file holds."""
    from seqsuite.training.run_folder import write_json
    from seqvision.forecasting.run import open_data

    data = {name: open_data(config_of(name, arguments, horizons=[min(arguments.horizons)])) for name in arguments.sets}
    pieces = pieces_of(arguments)
    done = measure_all(
        pieces,
        place=lambda piece: piece.folder(arguments.work).with_suffix(".json"),
        key=lambda piece: key_of(piece, arguments),
        measure=lambda piece: measure_piece(piece, data[piece.set], arguments),
        wanted=lambda piece: (OURS if piece.kind == OURS else "baselines") in arguments.only,
    )
    summary = {name: summarize(name, done, arguments) for name in arguments.sets}
    show(summary)
    missing = [str(piece) for piece in pieces if piece not in done]
    if missing:
        print(f"incomplete: {len(missing)} of {len(pieces)} are missing")
    result = {
        "complete": not missing,
        "missing": missing,
        "seeds": arguments.seeds,
        "options": {name: key_of(Piece(name, OURS, 96, 0), arguments) for name in arguments.sets},
        "summary": summary,
        "runs": {str(piece): {k: v for k, v in found.items() if k != "key"} for piece, found in done.items()},
    }
    arguments.work.mkdir(parents=True, exist_ok=True)
    write_json(arguments.work / "forecasting.json", result)
    return result


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=tuple(SETS), default=tuple(SETS))
    parser.add_argument("--horizons", nargs="+", type=int, default=HORIZONS, help="default: 96 192 336 720")
    parser.add_argument("--seeds", type=int, default=3, help="seeds 0, 1, ... (default: %(default)s)")
    kinds = ("baselines", OURS)
    parser.add_argument("--only", nargs="+", choices=kinds, default=kinds, help="measure these in this call")
    parser.add_argument("--data", help="the folder of the .csv.gz files (default: timeseries in SEQSUITE_DATA)")
    parser.add_argument("--work", type=Path, default=Path("runs/forecasting"), help="default: %(default)s")
    parser.add_argument("--minutes", type=float, default=0.0, help="stop after so many, to be called again")
    parser.add_argument("--steps", type=int, default=0, help="steps of every network, for a trial")
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
    print(arguments.work / "forecasting.json" if arguments.steps else write_result("forecasting", result))


if __name__ == "__main__":
    main()
