"""Trajectory Transformer planning: seconds of CPU per action with a cache, sliding, and recomputing everything.

    python benchmarks/rl_planning.py
    python benchmarks/rl_planning.py --cases hopper_context --repeats 5 --full

Sizes and search are the published ones; the weights are random, which changes what is planned and not how much is
computed, but for one thing: equal beginnings of plans are read once, and how many there are depends on the weights
(`distinct_parents` tells it). The plain planner recomputes the whole window of every candidate for every token, as the
published one does. It takes minutes per action, so unless --full is given some of its calls are timed, spread over the
plan, and the rest is interpolated by the tokens of each call.

One thread; the engines take turns; a figure is the median of the turns. Write nothing else to the core meanwhile.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from _machine import write_result

from seqrl.configs.trajectory import TrajectoryTransformerConfig
from seqrl.data.discretizers import Discretizer
from seqrl.models.trajectory_transformer import TrajectoryTransformer
from seqrl.planning import Plan, PlanOptions, RandomDraws, Replay, beam_plan, make_engine

HOPPER, HALFCHEETAH = (11, 3), (17, 6)
HALFCHEETAH_SEARCH = {"horizon": 5, "beam_width": 32}
CASES: dict[str, dict[str, Any]] = {
    # Published search; a full context, so that every transition crops.
    "hopper_context": {"sizes": HOPPER, "rows": 5},
    "halfcheetah_context": {"sizes": HALFCHEETAH, "rows": 5, "search": HALFCHEETAH_SEARCH},
    # Published search at the first step of an episode; halfcheetah's never crops, hopper's does from its fifth row on.
    "hopper_empty": {"sizes": HOPPER, "rows": 0},
    "halfcheetah_empty": {"sizes": HALFCHEETAH, "rows": 0, "search": HALFCHEETAH_SEARCH},
    # Nothing is cropped: hopper's window as wide as the published block, and the plan as long as fits.
    "hopper_uncropped": {"sizes": HOPPER, "rows": 0, "search": {"horizon": 9, "max_context": 10}},
    # The published horizon within a wider block.
    "hopper_wide": {"sizes": HOPPER, "rows": 0, "search": {"max_context": 16}, "transitions": 16},
}


def build(case: dict[str, Any]) -> tuple[TrajectoryTransformer, Discretizer, torch.Tensor, PlanOptions]:
    """Return a model with random weights, its discretiser, a prefix of random tokens, and the search."""
    torch.manual_seed(0)
    observations, actions = case["sizes"]
    config = TrajectoryTransformerConfig(
        observation_dim=observations, action_dim=actions, transitions=case.get("transitions", 10)
    )
    model = TrajectoryTransformer(config).eval()
    rng = np.random.default_rng(0)
    edges = np.sort(rng.normal(size=(config.vocab_size + 1, config.transition_dim)), 0)
    tokens = rng.integers(0, config.vocab_size, (1, case["rows"] * config.transition_dim + observations))
    return model, Discretizer(edges), torch.from_numpy(tokens), PlanOptions(**case.get("search", {}))


def timed(engine: Any, built: tuple[Any, ...], draws: Any) -> tuple[float, Plan]:
    """Return the CPU seconds of one plan, and the plan."""
    model, discretizer, prefix, options = built
    started = time.process_time()
    plan = beam_plan(model, discretizer, prefix, options, draws=draws, engine=engine)
    return time.process_time() - started, plan


def calls_of(built: tuple[Any, ...]) -> list[tuple[int, int]]:
    """Return rows and tokens of every call of the model in the plain planner, in order."""
    model, _, prefix, options = built
    config, found = model.config, []
    window = min(config.block_size, options.max_context * config.transition_dim - 1)
    engine, length = make_engine(model, "plain", window=window), prefix.shape[1]
    for row in range(options.horizon):
        counts = [options.n_expand * options.beam_width] * (config.action_dim + 2)
        counts += [options.beam_width] * (config.observation_dim * (row < options.horizon - 1))
        for rows in counts:
            found.append((rows, length - engine.dropped(length)))
            length += 1
    return found


class PlainCost:
    """Times calls of the plain planner and sums up a whole plan.

    Args:
        built: What `build` returned.
        points: Lengths to time for each number of rows.
    """

    def __init__(self, built: tuple[Any, ...], points: int) -> None:
        self.model, self.calls = built[0], calls_of(built)
        self.lengths: dict[int, list[int]] = {}
        for rows in sorted({rows for rows, _ in self.calls}):
            lengths = sorted({length for count, length in self.calls if count == rows})
            chosen = np.linspace(0, len(lengths) - 1, min(points, len(lengths))).round().astype(int)
            self.lengths[rows] = [lengths[place] for place in sorted(set(chosen.tolist()))]

    @torch.inference_mode()
    def measure(self) -> float:
        """Return CPU seconds of a whole plan, interpolated between the calls that are timed."""
        total = 0.0
        for rows, lengths in self.lengths.items():
            seconds = []
            for length in lengths:
                tokens = torch.randint(0, self.model.config.vocab_size, (rows, length))
                started = time.process_time()
                self.model(tokens)
                seconds.append(time.process_time() - started)
            total += sum(np.interp(length, lengths, seconds) for count, length in self.calls if count == rows)
        return total


def distinct(plan: Plan, built: tuple[Any, ...]) -> float:
    """Return how many different parents the plans kept after a row have, by their number; averaged over rows."""
    width = built[3].beam_width
    shares = [len(set((kept[0] % width).tolist())) / kept.shape[1] for kept in plan.kept[1:]]
    return sum(shares) / len(shares) if shares else 1.0


def measure(case: dict[str, Any], repeats: int, points: int, full: bool) -> dict[str, Any]:
    """Time the engines of one case, one after the other, several times."""
    built = build(case)
    options = built[3]
    draws = RandomDraws([np.random.default_rng(1)])
    _, exact = timed("cached", built, draws)
    _, sliding = timed("sliding", built, Replay(draws.drawn))
    plain_cost = PlainCost(built, points)
    times: dict[str, list[float]] = {"plain": [], "cached": [], "sliding": []}
    for turn in range(repeats):
        for engine in ("cached", "sliding"):
            times[engine].append(timed(engine, built, RandomDraws([np.random.default_rng(turn)]))[0])
        if full:
            times["plain"].append(timed("plain", built, RandomDraws([np.random.default_rng(turn)]))[0])
        else:
            times["plain"].append(plain_cost.measure())
    medians = {engine: statistics.median(seconds) for engine, seconds in times.items()}
    return {
        "search": {"horizon": options.horizon, "beam_width": options.beam_width, "max_context": options.max_context},
        "context_rows": case["rows"],
        "block": built[0].config.block_size,
        "plain_is": "measured in full"
        if full
        else f"interpolated from {sum(map(len, plain_cost.lengths.values()))} of {len(plain_cost.calls)} calls",
        "cpu_seconds_per_action": medians,
        "all": times,
        "gain": {engine: medians["plain"] / medians[engine] for engine in ("cached", "sliding")},
        "distinct_parents": distinct(exact, built),
        "sliding_value_difference": relative_difference(exact, sliding),
    }


def relative_difference(exact: Plan, sliding: Plan) -> list[float]:
    """Return after each row how far the kept values of both lie apart, under the same draws, in standard deviations."""
    found = []
    for ours, theirs in zip(exact.kept_values, sliding.kept_values, strict=True):
        spread = max(float(ours.std()), 1e-12)
        found.append(float((ours - theirs).abs().mean()) / spread)
    return found


def main() -> None:
    """Measure the cases and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--points", type=int, default=4, help="calls of the plain planner to time, of each width")
    parser.add_argument("--full", action="store_true", help="run the plain planner in full: minutes per action")
    parser.add_argument("--dry", action="store_true", help="print, and write no file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = {}
    for name in arguments.cases:
        found[name] = measure(CASES[name], arguments.repeats, arguments.points, arguments.full)
        seconds, gain = found[name]["cpu_seconds_per_action"], found[name]["gain"]
        told = ", ".join(f"{engine} {value:.2f} s" for engine, value in seconds.items())
        print(f"{name}: {told}; cached {gain['cached']:.0f}x, sliding {gain['sliding']:.0f}x", flush=True)
    if not arguments.dry:
        print(write_result("rl_planning", {"weights": "random", "threads": 1, "cases": found}))


if __name__ == "__main__":
    main()
