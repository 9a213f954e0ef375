"""Monthly winds one month ahead: a small network beside climatology, persistence and regressions in each cell.

    python benchmarks/weather.py
    python benchmarks/weather.py --steps 20 --networks vit        # a trial, nothing is written

Data: monthly_navy_winds.cdf of Debian's package ferret-datasets, 132 months of U and V on 73 x 144 cells. The last
twelve months are the test and are scored once. Before that, without them:

1. the history and the penalty of the regression are chosen on months 85-96, 97-108 and 109-120, each from what lies
   before it;
2. each network is trained on the first 108 months, and network and number of steps are chosen on the next twelve.

Then the chosen network is trained on all 120 months. RMSE is as in WeatherBench 2; intervals are of a paired bootstrap
over blocks of three months. Two to three minutes of one CPU.
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from _machine import write_result

FILE = "/usr/share/ferret-vis/data/monthly_navy_winds.cdf"
VARIABLES = ("UWND", "VWND")
KNOWN = 120
YEARS = (84, 96, 108)
HISTORIES = (0, 3, 6, 12, 24)
PENALTIES = (0.03, 0.1, 0.3, 1.0)
STEPS, EVERY = 100, 10
NETWORKS: dict[str, dict[str, Any]] = {
    "mamba_nd": {"backbone": "test_mamba_nd"},
    "vit": {"backbone": "test_vit", "backbone_options": {"patch_size": 8, "depth": 2}},
    "convnext": {"backbone": "test_convnext", "backbone_options": {}, "level": 2},
}


def rolling_loss(grid: Any, history: int, penalty: float) -> float:
    """Return the mean squared error of the regression over three years, in units of the anomalies' variance."""
    from seqvision.weather.baselines import anomaly_terms, cell_regression, climatology_of
    from seqvision.weather.scores import area_weights, mean_square

    phases, area, losses = grid.phases("month"), area_weights(grid.latitude), []
    for known in YEARS:
        climatology = climatology_of(grid.values[:known], phases[:known], "month")
        anomalies = grid.values[: known + 12] - climatology[phases[: known + 12]]
        variance = (anomalies[:known] ** 2 * area[:, None]).mean((0, 2, 3))
        train, valid = np.arange(max(history, 1), known), np.arange(known, known + 12)
        found = cell_regression(anomaly_terms(anomalies, train - 1, history), anomalies[train], area, penalty)
        forecast = (found * anomaly_terms(anomalies, valid - 1, history)).sum(1)
        losses.append((mean_square(forecast, anomalies[valid], grid.latitude).mean(0) / variance).mean())
    return float(np.mean(losses))


def choose_regression(grid: Any) -> dict[str, Any]:
    """Return the history and the penalty with the least error before the test, and all errors."""
    losses = {(h, p): rolling_loss(grid, h, p) for h, p in itertools.product(HISTORIES, PENALTIES)}
    history, penalty = min(losses, key=lambda pair: losses[pair])
    tried = [{"mean_history": h, "penalty": p, "loss": loss} for (h, p), loss in losses.items()]
    return {"mean_history": history, "penalty": penalty, "tried": tried}


def config_of(arguments: argparse.Namespace, regression: dict[str, Any], network: str, **changes: Any) -> Any:
    """Return the options of a run; the learning rate does not depend on the number of steps."""
    from seqvision.configs.weather_train import WeatherTrainConfig

    options = {"history": 1, "mean_history": regression["mean_history"], "head_drop": 0.5, **NETWORKS[network]}
    given: dict[str, Any] = {
        **{"variables": VARIABLES, "model_options": options, "penalty": regression["penalty"]},
        **{"steps": arguments.steps, "batch_size": 8, "lr": 1e-3, "min_lr": 1e-3, "warmup": 10, "weight_decay": 1.0},
        **{"validate_every": EVERY, "log_every": EVERY, "checkpoint_every": 1000, "threads": 1, "accelerator": "cpu"},
        "seed": arguments.seed,
    }
    return WeatherTrainConfig(arguments.file, **{**given, **changes})


def choose_network(arguments: argparse.Namespace, regression: dict[str, Any], work: Path) -> dict[str, Any]:
    """Train every network on 108 months; return the best on the next twelve, its steps, and all scores."""
    from seqsuite.reports import read_metrics
    from seqvision.weather import weather_train

    tried = {}
    for name in arguments.networks:
        began = time.process_time()
        run = weather_train(config_of(arguments, regression, name, out=str(work / name)))
        assert run is not None
        steps, losses = read_metrics(work / name)["valid_loss"]
        scores = {item.name: item.to_dict() for item in run.valid_scores}
        tried[name] = {
            "parameters": run.parameters,
            "best_step": steps[int(np.argmin(losses))],
            "best_loss": min(losses),
            "valid": scores,
            "cpu_seconds": time.process_time() - began,
        }
    best = min(tried, key=lambda name: tried[name]["best_loss"])
    return {"network": best, "steps": tried[best]["best_step"], "tried": tried}


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Choose, train on 120 months, score the test once; return what the JSON file holds."""
    from seqsuite.cli.output import print_rows
    from seqvision.data.gridded import open_grid
    from seqvision.weather import weather_train

    began = time.process_time()
    regression = choose_regression(open_grid(arguments.file, VARIABLES))
    print(f"regression: mean of {regression['mean_history']} months, penalty {regression['penalty']}")
    with tempfile.TemporaryDirectory() as folder:
        chosen = choose_network(arguments, regression, Path(folder))
        print(f"network: {chosen['network']}, {chosen['steps']} steps")
        options = {"valid": 0, "steps": chosen["steps"], "out": str(Path(folder) / "final")}
        final = weather_train(config_of(arguments, regression, chosen["network"], **options))
    assert final is not None
    print_rows(final.table(), title="\nThe last twelve months, one month ahead")
    print_rows(final.comparison(), title="\nModel less the others")
    return {
        "seed": arguments.seed,
        "regression": regression,
        "choice": chosen,
        "final": final.to_dict(),
        "cpu_seconds": time.process_time() - began,
    }


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", default=FILE, help="default: %(default)s")
    parser.add_argument("--networks", nargs="+", choices=tuple(NETWORKS), default=tuple(NETWORKS))
    parser.add_argument("--steps", type=int, default=STEPS, help="of each network; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> None:
    arguments = parse(words)
    result = run(arguments)
    if arguments.steps != STEPS or set(arguments.networks) != set(NETWORKS):
        print("a trial: nothing is written")
        return
    print(f"wrote {write_result('weather', result)}")


if __name__ == "__main__":
    main()
