"""Returns of policies learnt from logged episodes: CartPole by target, T-Maze beyond the context, Hopper beside BC.

    python benchmarks/rl_returns.py --sets cartpole tmaze
    python benchmarks/rl_returns.py --sets hopper --minutes 60 --hopper runs/hopper_replay
    python benchmarks/rl_returns.py --sets cartpole --seeds 1 --steps 20 --trial   # does it run

cartpole: Decision Transformer, behaviour cloning (an MLP over the last states) and cloning of the best 10, 25 and 50 %
of the steps, on a mixture of good and bad episodes, collected anew for each seed. All have examples/rl/cartpole.yaml's
data, steps and optimiser; all play with drawn actions, and once more with the likeliest ones.
tmaze: RATE, a Decision Transformer that sees the same steps at once as RATE is trained over, and cloning, on corridors
of 5 to 25 steps; the success rate in corridors up to 400.
hopper: the same five as in cartpole, and a Trajectory Transformer that plans, on one data set that was collected by

    seqrl collect Hopper-v5 --policy ppo --train_steps 100000 --checkpoints 5 --steps 150000 --out runs/hopper_replay

Returns are those of episodes that neither training nor the choice of weights has seen. last: the weights at the end;
best: those of the best evaluation during training. A run's score is the mean of its episodes; over seeds follow the
interquartile mean and its stratified bootstrap interval (rliable). A difference whose interval holds zero is a tie.

What is done lies under --work and is not done again: call it again after --minutes, Ctrl-C or a crash. What there is so
far is written as results/rl_returns-<date>.json with "complete": false.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import yaml
from _deadline import Deadline, OutOfTime
from _machine import write_result
from _pieces import measure_all

if TYPE_CHECKING:
    from seqrl.configs.train import PolicyTrainConfig
    from seqrl.data.episodes import Episodes

EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "rl"
RESAMPLES = 2_000
FRACTIONS = {"bc_10": 0.1, "bc_25": 0.25, "bc_50": 0.5}
CLONES = ("bc", *FRACTIONS)
NAMES = {
    "dt": "Decision Transformer",
    "bc": "BC",
    "bc_10": "10 %BC",
    "bc_25": "25 %BC",
    "bc_50": "50 %BC",
    "rate": "RATE",
    "tt": "Trajectory Transformer",
}
PLAYED_FROM = 100_000
"""Evaluations during training have the seeds of the runs; what is reported begins here."""
MIXTURE = {"policy": "scripted", "epsilon": (0.0, 0.3, 0.5, 0.7, 1.0), "steps": 50_000}
CORRIDORS = range(5, 26)
CORRIDOR_EPISODES = 60
LONGER = (20, 50, 100, 200, 400)


@dataclass(frozen=True)
class Play:
    """How a trained policy plays.

    Attributes:
        name: Of this way, in the results.
        targets: Raw returns to ask for.
        episodes: For each.
        agent: Options of the agent.
        env: Options of the environment.
    """

    name: str
    targets: tuple[float, ...]
    episodes: int
    agent: tuple[tuple[str, Any], ...] = ()
    env: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Set:
    """A part of the benchmark.

    Attributes:
        kinds: Of policies, in the order of measuring.
        recipe: File of examples/rl that all of them follow in what is not the model's.
        weights: Which are played.
        plays: How.
    """

    kinds: tuple[str, ...]
    recipe: str
    weights: tuple[str, ...]
    plays: tuple[Play, ...]


SETS = {
    "cartpole": Set(
        ("dt", *CLONES),
        "cartpole.yaml",
        ("last", "best"),
        (
            Play("drawn", (500.0, 200.0, 50.0), 20, agent=(("temperature", 1.0),)),
            Play("likeliest", (500.0, 50.0), 20),
        ),
    ),
    "tmaze": Set(
        ("rate", "dt", "bc"),
        "tmaze_rate.yaml",
        ("last",),
        tuple(Play(str(n), (1.0,), 50, env=(("corridor_length", n),)) for n in LONGER),
    ),
    "hopper": Set(
        ("bc", *FRACTIONS, "dt", "tt"), "hopper_small.yaml", ("last", "best"), (Play("played", (1450.0, 700.0), 20),)
    ),
}
MODELS: dict[tuple[str, str], dict[str, Any]] = {
    ("cartpole", "bc"): {"model": "behavior_cloning", "model_options": {"d_model": 64, "context": 10}},
    ("tmaze", "dt"): {
        "model": "decision_transformer",
        "model_options": {"context": 30, "d_model": 64, "n_layer": 2, "n_head": 2, "position": "window"},
    },
    ("tmaze", "bc"): {"model": "behavior_cloning", "model_options": {"d_model": 64, "context": 30}},
    ("hopper", "bc"): {"model": "behavior_cloning", "model_options": {"d_model": 128, "context": 20}},
}
"""What is not in a set's own recipe."""


@dataclass(frozen=True)
class Piece:
    """One policy to train and to play with.

    Attributes:
        set: A name of SETS.
        kind: A name of NAMES.
        seed: Of its training and, in cartpole and tmaze, of its data.
    """

    set: str
    kind: str
    seed: int

    def folder(self, work: Path) -> Path:
        return work / self.set / self.kind / f"seed_{self.seed}"

    def __str__(self) -> str:
        return f"{self.set}/{self.kind}/seed_{self.seed}"


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


def data_options(piece: Piece, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what a piece's episodes depend on; its plain values."""
    if piece.set == "hopper":
        return {"fingerprint": open_source(str(arguments.hopper)).fingerprint}
    if piece.set == "cartpole":
        return {**MIXTURE, "seed": piece.seed}
    return {"corridors": list(CORRIDORS), "episodes": CORRIDOR_EPISODES, "seed": piece.seed}


@functools.cache
def open_source(source: str) -> Episodes:
    """Return logged episodes."""
    from seqrl.data.opening import open_episodes

    return open_episodes(source)


def source_of(piece: Piece, arguments: argparse.Namespace) -> Path:
    """Return a piece's data, collected here where that is missing."""
    if piece.set == "hopper":
        return Path(arguments.hopper)
    source = arguments.work / piece.set / f"data_{piece.seed}"
    if not source.exists():
        with cpu_seconds(source.with_name(f"{source.name}.cpu_seconds.json")):
            (collect_mixture if piece.set == "cartpole" else collect_corridors)(source, piece.seed)
    return source


def collect_mixture(target: Path, seed: int) -> None:
    """Write CartPole's episodes: an expert whose actions are random now and then, as many steps of each share."""
    from seqrl.collection.run import collect
    from seqrl.configs.collect import CollectConfig

    collect(CollectConfig("CartPole-v1", **MIXTURE, seed=seed, out=str(target), resume=parts_of(target)))


def collect_corridors(target: Path, seed: int) -> None:
    """Write T-Maze's episodes: the expert in corridors of all the lengths."""
    from seqrl.collection.run import collect
    from seqrl.configs.collect import CollectConfig
    from seqrl.data.episodes import join_episodes
    from seqrl.data.minari_sets import write_minari
    from seqrl.data.opening import open_episodes

    parts = []
    for length in CORRIDORS:
        part = target.with_name(f"{target.name}_parts") / str(length)
        if not part.exists():
            options = {"policy": "scripted", "env_options": {"corridor_length": length}}
            options |= {"episodes": CORRIDOR_EPISODES, "seed": 1000 * seed + length, "reference_episodes": 0}
            collect(CollectConfig("seqrl/TMaze-v0", **options, out=str(part), resume=parts_of(part)))
        parts.append(open_episodes(part))
    write_minari(join_episodes(parts), target.absolute())


def parts_of(target: Path) -> bool:
    """Return whether a collection was interrupted."""
    return target.with_name(f"{target.name}.parts").exists()


def recipe_of(name: str) -> dict[str, Any]:
    """Return a file of examples/rl."""
    found: dict[str, Any] = yaml.safe_load((EXAMPLES / name).read_text(encoding="utf-8"))
    return found


def options_of(piece: Piece, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options of a piece's run that decide about its result."""
    said = recipe_of("hopper_tt.yaml" if piece.kind == "tt" else SETS[piece.set].recipe)
    kind = "bc" if piece.kind in FRACTIONS else piece.kind
    said |= MODELS.get((piece.set, kind), {})
    said |= {"seed": piece.seed, "accelerator": "cpu", "threads": 1, "top_fraction": FRACTIONS.get(piece.kind, 1.0)}
    if piece.set == "tmaze":
        # Windows lie within episodes where they can, for all kinds alike; there is one set of weights.
        said |= {"valid_fraction": 0.0, "eval_every": 0, "windows": "inside", "max_ep_len": 500}
    if arguments.steps:
        said |= {"steps": arguments.steps, "eval_every": arguments.steps if said["eval_every"] else 0, "warmup": 0}
    said.pop("out", None)
    return said


def config_of(piece: Piece, arguments: argparse.Namespace) -> PolicyTrainConfig:
    """Return the options of a piece's run."""
    from seqrl.configs.train import PolicyTrainConfig
    from seqsuite.mixers.options import build_config
    from seqsuite.training import RunFolder

    out = piece.folder(arguments.work)
    left = arguments.deadline.left() if arguments.deadline else 0.0
    values = options_of(piece, arguments) | {"source": str(source_of(piece, arguments)), "out": str(out)}
    return build_config(PolicyTrainConfig, {**values, "max_minutes": left, "resume": RunFolder(out).holds_run})


def plays_of(piece: Piece, arguments: argparse.Namespace) -> list[Play]:
    """Return how a piece's policy is played with."""
    plays = list(SETS[piece.set].plays)
    if piece.kind == "tt":
        agent = tuple(sorted(recipe_of("hopper_tt.yaml")["agent_options"].items()))
        plays = [Play("played", (), arguments.plan_episodes, agent=agent)]
    if arguments.steps:
        plays = [Play(play.name, play.targets, 2, play.agent, play.env) for play in plays]
    return plays


def measure(piece: Piece, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train one policy and play with it.

    Raises:
        OutOfTime: It was stopped and goes on at the next call.
    """
    from seqrl.training import train

    folder = piece.folder(arguments.work)
    clocks = {name: folder.with_name(f"{folder.name}.{name}.cpu_seconds.json") for name in ("training", "playing")}
    config = config_of(piece, arguments)
    with cpu_seconds(clocks["training"]):
        result = train(config)
    if not result.finished:
        raise OutOfTime
    played: dict[str, dict[str, dict[str, list[float]]]] = {}
    for weights in ("last",) if piece.kind == "tt" else SETS[piece.set].weights:
        for play in plays_of(piece, arguments):
            if arguments.deadline:
                arguments.deadline.left()
            with cpu_seconds(clocks["playing"]):
                played.setdefault(weights, {})[play.name] = returns_of(piece, folder, weights, play)
    clock = source_of(piece, arguments).with_name(f"data_{piece.seed}.cpu_seconds.json")
    return {
        "parameters": result.parameters,
        "steps": result.fit.steps,
        "data": dict(result.data),
        "during_training": [[row.step, row.target, row.return_mean] for row in result.played],
        "best_step": result.best.step if result.best else None,
        "played": played,
        "training_cpu_seconds": round(spent(clocks["training"]), 1),
        "playing_cpu_seconds": round(spent(clocks["playing"]), 1),
        "collecting_cpu_seconds": round(spent(clock), 1),
    }


def returns_of(piece: Piece, folder: Path, weights: Any, play: Play) -> dict[str, list[float]]:
    """Play; return the returns of the episodes by target, "-" for policies that take none.

    What was played is kept beside the run: planning takes long.
    """
    import seqrl
    from seqsuite.training.run_folder import write_json

    kept = folder.with_name(f"{folder.name}.{weights}.{play.name}.json")
    key = json.loads(json.dumps(play.__dict__))
    if kept.exists():
        found = json.loads(kept.read_text(encoding="utf-8"))
        if found["key"] == key:
            return dict(found["returns"])
    result = seqrl.load(folder, checkpoint=weights).evaluate(
        targets=play.targets or "auto",
        episodes=play.episodes,
        num_envs=min(play.episodes, 50),
        seed=PLAYED_FROM + piece.seed,
        env_options=dict(play.env) or None,
        **dict(play.agent),
    )
    returns = {label(entry.target): entry.rollouts.returns.tolist() for entry in result.targets}
    write_json(kept, {"key": key, "returns": returns})
    return returns


def label(target: float | None) -> str:
    """Return a target as it stands in the results."""
    return "-" if target is None else f"{target:g}"


def key_of(piece: Piece, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what a piece's figures depend on."""
    plays = [play.__dict__ for play in plays_of(piece, arguments)]
    return {"options": options_of(piece, arguments), "data": data_options(piece, arguments), "plays": plays}


def rliable() -> tuple[Any, Any]:
    """Return rliable's library and metrics.

    rliable wants arch below 8, whose models break with pandas 3. Only arch's bootstrap is needed: the package is put
    in place without running what imports the models.
    """
    if "arch" not in sys.modules and (spec := importlib.util.find_spec("arch")) is not None:
        sys.modules["arch"] = importlib.util.module_from_spec(spec)
    from rliable import library, metrics

    return library, metrics


def interval(function: Any, *scores: np.ndarray) -> tuple[float, list[float]]:
    """Return a statistic of runs' scores and its stratified bootstrap interval, by rliable."""
    library, _ = rliable()
    matrices = [np.asarray(each, dtype=np.float64)[:, None] for each in scores]
    np.random.seed(0)  # noqa: NPY002  # rliable draws from numpy's global generator
    given = {"": matrices[0] if len(matrices) == 1 else matrices}
    points, ranges = library.get_interval_estimates(given, lambda *x: np.array([function(*x)]), reps=RESAMPLES)
    return float(points[""][0]), [float(each) for each in ranges[""][:, 0]]


def summarize(name: str, done: dict[Piece, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one entry a kind, weights, way of playing and target of a set."""
    _, metrics = rliable()
    entries: list[dict[str, Any]] = []
    for kind in SETS[name].kinds:
        mine = {piece.seed: found for piece, found in done.items() if (piece.set, piece.kind) == (name, kind)}
        if not mine:
            continue
        seeds, first = sorted(mine), next(iter(mine.values()))["played"]
        for weights, play, target in ((w, p, t) for w in first for p in first[w] for t in first[w][p]):
            runs = [float(np.mean(mine[seed]["played"][weights][play][target])) for seed in seeds]
            iqm, limits = interval(metrics.aggregate_iqm, np.array(runs))
            entries.append(
                {"kind": kind, "weights": weights, "play": play, "target": target, "seeds": seeds, "runs": runs}
                | {"iqm": iqm, "interval": limits, "mean": float(np.mean(runs))}
            )
    return entries


def compare(entries: Sequence[dict[str, Any]], ours: str, others: Sequence[str]) -> list[dict[str, Any]]:
    """Return, of each way of playing, ours minus the best of the others; ours at its first target."""
    _, metrics = rliable()

    def difference(x: np.ndarray, y: np.ndarray) -> float:
        return float(metrics.aggregate_iqm(x) - metrics.aggregate_iqm(y))

    found = []
    for weights, play in dict.fromkeys((entry["weights"], entry["play"]) for entry in entries):
        here = [entry for entry in entries if (entry["weights"], entry["play"]) == (weights, play)]
        mine = next((entry for entry in here if entry["kind"] == ours), None)
        rivals = [entry for entry in here if entry["kind"] in others]
        if mine is None or not rivals:
            continue
        rival = max(rivals, key=lambda entry: float(entry["iqm"]))
        value, (low, high) = interval(difference, np.array(mine["runs"]), np.array(rival["runs"]))
        verdict = "tie" if low <= 0 <= high else "higher" if value > 0 else "lower"
        said = {"weights": weights, "play": play, "ours": ours, "target": mine["target"], "best_other": rival["kind"]}
        found.append({**said, "difference": value, "interval": [low, high], "verdict": verdict})
    return found


def cpu_minutes(name: str, done: dict[Piece, dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return the mean CPU minutes of a run of each kind."""
    found: dict[str, dict[str, float]] = {}
    for kind in SETS[name].kinds:
        runs = [each for piece, each in done.items() if (piece.set, piece.kind) == (name, kind)]
        for part in ("training", "playing") if runs else ():
            seconds = [each[f"{part}_cpu_seconds"] for each in runs]
            found.setdefault(kind, {})[part] = round(float(np.mean(seconds)) / 60, 2)
    return found


def show(summary: dict[str, Any]) -> None:
    """Print a table a set, and what was compared."""
    from seqsuite.cli.output import print_table

    for name, found in summary.items():
        digits = 2 if name == "tmaze" else 1
        rows = []
        for entry in found["entries"]:
            low, high = (f"{value:.{digits}f}" for value in entry["interval"])
            shown = " ".join(f"{value:.{digits}f}" for value in entry["runs"])
            minutes = sum(found["cpu_minutes"][entry["kind"]].values())
            what = [NAMES[entry["kind"]], entry["weights"], entry["play"], entry["target"]]
            rows.append((*what, f"{entry['iqm']:.{digits}f}", f"{low} to {high}", shown, f"{minutes:.1f}"))
        heads = ("policy", "weights", "corridor" if name == "tmaze" else "actions", "target", "IQM", "95 % interval")
        print_table((*heads, "runs", "CPU minutes a run"), rows, title=name)
        for each in found["compared"]:
            print(
                f"{NAMES[each['ours']]} minus {NAMES[each['best_other']]}, the best of the others, {each['weights']} "
                f"weights, {each['play']}: {each['difference']:+.{digits}f} ({each['interval'][0]:+.{digits}f} to "
                f"{each['interval'][1]:+.{digits}f}): {each['verdict']}"
            )
        print()


def compared_in(name: str, entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the comparisons of a set."""
    if name == "tmaze":
        return compare(entries, "rate", ("dt", "bc"))
    found = compare(entries, "dt", CLONES)
    return found + (compare(entries, "tt", ("bc",)) if name == "hopper" else [])


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure, print, and return what the JSON file holds."""
    from seqsuite.training.run_folder import write_json

    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    pieces = [Piece(name, kind, seed) for name in arguments.sets for kind in SETS[name].kinds for seed in seeds]
    done = measure_all(
        pieces,
        place=lambda piece: piece.folder(arguments.work).with_suffix(".json"),
        key=lambda piece: key_of(piece, arguments),
        measure=lambda piece: measure(piece, arguments),
        wanted=lambda piece: not arguments.only or piece.kind in arguments.only,
    )
    summary: dict[str, Any] = {}
    for name in arguments.sets:
        entries = summarize(name, done)
        compared = compared_in(name, entries)
        summary[name] = {"entries": entries, "compared": compared, "cpu_minutes": cpu_minutes(name, done)}
    show(summary)
    missing = [str(piece) for piece in pieces if piece not in done]
    if missing:
        print(f"incomplete: {len(missing)} of {len(pieces)} are missing")
    result = {"complete": not missing, "missing": missing, "seeds": list(seeds), "summary": summary}
    result["runs"] = {str(piece): found for piece, found in done.items()}
    arguments.work.mkdir(parents=True, exist_ok=True)
    write_json(arguments.work / "rl_returns.json", result)
    return result


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=tuple(SETS), default=tuple(SETS))
    parser.add_argument("--only", nargs="+", choices=tuple(NAMES), help="measure these kinds in this call")
    parser.add_argument("--seeds", type=int, default=5, help="how many (default: %(default)s)")
    parser.add_argument("--first_seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--plan_episodes", type=int, default=5, help="of the planner (default: %(default)s)")
    parser.add_argument("--hopper", type=Path, default=Path("runs/hopper_replay"), help="default: %(default)s")
    parser.add_argument("--work", type=Path, default=Path("runs/rl_returns"), help="default: %(default)s")
    parser.add_argument("--minutes", type=float, default=0.0, help="stop after so many, to be called again")
    parser.add_argument("--steps", type=int, default=0, help="steps of every training, and two episodes: a trial")
    parser.add_argument("--trial", action="store_true", help="write nothing outside --work")
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
    # The returns of all episodes lie under --work.
    result["runs"] = {
        name: {key: value for key, value in found.items() if key not in ("key", "played")}
        for name, found in result["runs"].items()
    }
    trial = arguments.trial or arguments.steps
    print(arguments.work / "rl_returns.json" if trial else write_result("rl_returns", result))


if __name__ == "__main__":
    main()
