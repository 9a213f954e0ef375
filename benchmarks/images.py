"""Fashion-MNIST after equal CPU time: SiMBA beside timm's ResNet and ViT of as many parameters, and Mamba-ND; digits.

    python benchmarks/images.py
    python benchmarks/images.py --only simba resnet --minutes 60
    python benchmarks/images.py --cpu_minutes 0.2 --trial       # does it run; nothing is written outside --work

All networks have examples/vision/fashion.yaml's data, changes of images, optimiser and schedule. The Mamba-ND has a
third of the others' parameters: one of as many would see an epoch or two in that time. For each of them

1. its CPU seconds a step are measured, on some steps behind the first;
2. the learning rate is chosen on a tenth of the training images, held out, after a minute each (--probe_minutes);
3. it is trained on all 60,000 for as many steps as --cpu_minutes hold, and the last averaged weights are tested, once.

CPU seconds are the process's own, of reading and changing images and of the network; other work on the machine slows a
run down but does not change its steps. The digits are trained by examples/vision/digits.yaml with seeds 0, 1 and 2,
which also decide about the test images.

What is done lies under --work and is not done again: call it again after --minutes, Ctrl-C or a crash. What there is so
far is written as results/images-<date>.json with "complete": false.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
import yaml
from _deadline import Deadline, OutOfTime
from _machine import write_result
from _pieces import measure_all
from lightning.pytorch import Callback

from seqvision.configs.train import VisionTrainConfig

EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "vision"
RECIPES: dict[str, dict[str, Any]] = {
    name: yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text(encoding="utf-8")) for name in ("fashion", "digits")
}
NETWORKS: dict[str, dict[str, Any]] = {
    "simba": {name: RECIPES["fashion"][name] for name in ("model", "model_options")},
    "resnet": {"model": "resnet18", "model_options": {"channels": [16, 32, 64, 120]}},
    "vit": {
        "model": "vit_tiny_patch16_224",
        "model_options": {"patch_size": 4, "embed_dim": 92, "depth": 6, "num_heads": 4},
    },
    "mamba_nd": {
        "model": "test_mamba_nd",
        "model_options": {
            "patch_size": 4,
            "embed_dim": 96,
            "depth": 6,
            "merge_after": [],
            "mixer_options": {"d_state": 4, "expand": 1},
        },
    },
}
OWN = ("model", "model_options", "epochs", "lr", "out")  # what a network has of its own, not from the recipe
RATES = (1e-3, 3e-3)
SEEDS = (0, 1, 2)
WARM, COUNTED = 10, 40


@dataclass(frozen=True)
class Piece:
    """One measurement.

    Attributes:
        kind: "step" (CPU seconds of one), "rate" (a learning rate), "fashion" or "digits".
        network: A name of NETWORKS.
        lr: Of a "rate".
        seed: Of order, changes, first weights and the split of the digits.
    """

    kind: str
    network: str = ""
    lr: float = 0.0
    seed: int = 0

    def __str__(self) -> str:
        return "_".join(str(part) for part in (self.kind, self.network, self.lr or "", self.seed) if part != "")


class Clock(Callback):
    """CPU seconds behind every training step, and of all calls of a run together.

    Args:
        kept: A file that has the seconds of earlier calls.
    """

    def __init__(self, kept: Path) -> None:
        self.kept = kept
        self.earlier: list[float] = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else []
        self.began = time.process_time()
        self.times: list[float] = []

    def on_train_start(self, *given: Any) -> None:
        """Begin to count: reading the data set is not training."""
        self.began = time.process_time()

    def on_train_batch_end(self, *given: Any) -> None:
        """Note the time behind a step."""
        self.times.append(time.process_time())

    def keep(self) -> float:
        """Write the seconds of this call beside those of earlier ones; return their sum."""
        seconds = [*self.earlier, (self.times[-1] if self.times else self.began) - self.began]
        self.kept.write_text(json.dumps(seconds), encoding="utf-8")
        return sum(seconds)


def result_of(arguments: argparse.Namespace, piece: Piece) -> dict[str, Any]:
    """Return what an earlier piece found."""
    found: dict[str, Any] = json.loads((arguments.work / f"{piece}.json").read_text(encoding="utf-8"))
    return found


def steps_in(arguments: argparse.Namespace, network: str, minutes: float) -> int:
    """Return the steps of a network that fit into CPU minutes."""
    return max(WARM, round(60 * minutes / result_of(arguments, Piece("step", network))["cpu_seconds_a_step"]))


def chosen_rate(arguments: argparse.Namespace, network: str) -> float:
    """Return the learning rate that was best on the images held out for it."""
    return max(RATES, key=lambda lr: float(result_of(arguments, Piece("rate", network, lr))["valid_top1"]))


def wants(arguments: argparse.Namespace, piece: Piece) -> dict[str, Any]:
    """Return the options in which a piece differs from its recipe."""
    if piece.kind == "digits":
        return {"seed": piece.seed}
    options = {**NETWORKS[piece.network], "epochs": 0.0}
    if piece.kind == "step":
        return options | {"steps": WARM + COUNTED}
    if piece.kind == "rate":
        steps = steps_in(arguments, piece.network, arguments.probe_minutes)
        return options | {"steps": steps, "lr": piece.lr, "valid_fraction": 0.1, "validate_every": 0}
    steps = steps_in(arguments, piece.network, arguments.cpu_minutes)
    return options | {"steps": steps, "lr": chosen_rate(arguments, piece.network)}


def config_of(arguments: argparse.Namespace, piece: Piece) -> VisionTrainConfig:
    """Return the options of a piece's run."""
    from seqsuite.training import RunFolder
    from seqvision.data.opening import open_labelled
    from seqvision.training.run import planned

    out = arguments.work / str(piece)
    recipe = RECIPES["digits" if piece.kind == "digits" else "fashion"]
    said = recipe | wants(arguments, piece) | {"out": str(out), "accelerator": "cpu"}
    source = "digits" if piece.kind == "digits" else "fashion_mnist"
    left = arguments.deadline.left()
    config = VisionTrainConfig(source, **said, max_minutes=left, resume=RunFolder(out).holds_run)
    train = open_labelled(config).train
    assert train is not None
    return planned(config, len(train))


def measure(arguments: argparse.Namespace, piece: Piece) -> dict[str, Any]:
    """Run one piece.

    Raises:
        OutOfTime: It was stopped and goes on at the next call.
    """
    from seqsuite.training import fit, seed_everything
    from seqvision.data.labelled import ScoringItems, TrainingItems
    from seqvision.data.opening import open_labelled
    from seqvision.evaluation.run import measure_items
    from seqvision.training.models import make_model
    from seqvision.training.task import Averaging, ClassifyInputs

    torch.set_num_threads(1)
    began = time.process_time()
    config = config_of(arguments, piece)
    data = open_labelled(config)
    assert data.train is not None
    seed_everything(config.seed)
    task = ClassifyInputs(make_model(config, data), config)
    clock = Clock(arguments.work / f"{piece}.cpu_seconds.json")
    valid = None if data.valid is None else ScoringItems(data.valid)
    try:
        done = fit(
            task,
            TrainingItems(data.train, config.seed),
            valid,
            config,
            inputs={"data": data.fingerprint},
            callbacks=[Averaging(), clock],
        )
    finally:
        seconds = clock.keep()
    if done.reason != "finished":
        raise OutOfTime
    found: dict[str, Any] = {"parameters": task.result.num_parameters(), "steps": done.steps, "lr": config.lr}
    found |= {"training_cpu_seconds": round(seconds, 1), "epochs": done.steps * config.batch_size / len(data.train)}
    if piece.kind == "step":
        return found | {"cpu_seconds_a_step": (clock.times[-1] - clock.times[WARM - 1]) / COUNTED}
    if piece.kind == "rate":
        return found | {"valid_top1": measure_items(task.result, data, "valid").top1}
    test = measure_items(task.result, data, "test")
    found |= {"top1": test.top1, "interval": list(test.interval), "test_images": test.count}
    return found | {"cpu_seconds_of_last_call": round(time.process_time() - began, 1)}


def pieces_of(networks: Sequence[str]) -> list[Piece]:
    """Return all pieces in the order of measuring: each network's need the ones before it."""
    fashion = [
        piece
        for name in networks
        for piece in (Piece("step", name), *(Piece("rate", name, lr) for lr in RATES), Piece("fashion", name))
    ]
    return [*fashion, *(Piece("digits", seed=seed) for seed in SEEDS)]


def key_of(arguments: argparse.Namespace, piece: Piece) -> dict[str, Any]:
    """Return what a piece's figures depend on."""
    if piece.kind == "digits":
        return {"recipe": RECIPES["digits"]}
    minutes = {"rate": arguments.probe_minutes, "fashion": arguments.cpu_minutes}.get(piece.kind, 0)
    recipe = {name: value for name, value in RECIPES["fashion"].items() if name not in OWN}
    return {"recipe": recipe, "network": NETWORKS[piece.network], "cpu_minutes": minutes}


def show(done: dict[Piece, dict[str, Any]]) -> None:
    """Print the tests."""
    from seqsuite.cli.output import print_table

    rows = [
        (
            piece.network or f"digits, seed {piece.seed}",
            f"{found['parameters']:,}",
            f"{found['top1']:.4f}",
            f"{found['interval'][0]:.4f} to {found['interval'][1]:.4f}",
            f"{found['training_cpu_seconds']:.0f}",
            f"{found['epochs']:.1f}",
            f"{found['lr']:g}",
        )
        for piece, found in done.items()
        if "top1" in found
    ]
    heads = ("network", "parameters", "test accuracy", "95% interval", "CPU seconds", "epochs", "lr")
    print_table(heads, rows, title="Fashion-MNIST, and digits")


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=(*NETWORKS, "digits"), help="measure these in this call")
    parser.add_argument("--cpu_minutes", type=float, default=15.0, help="of each network's training (%(default)s)")
    parser.add_argument("--probe_minutes", type=float, default=1.0, help="of each learning rate's (%(default)s)")
    parser.add_argument("--work", type=Path, default=Path("runs/images_benchmark"), help="default: %(default)s")
    parser.add_argument("--minutes", type=float, default=600.0, help="stop after this time; call again to go on")
    parser.add_argument("--trial", action="store_true", help="write no result")
    arguments = parser.parse_args(words)
    arguments.deadline = Deadline(arguments.minutes)
    return arguments


def main() -> None:
    """Measure what is missing and write the result."""
    arguments = parse()
    arguments.work.mkdir(parents=True, exist_ok=True)
    pieces = pieces_of(list(NETWORKS))
    wanted = arguments.only or [*NETWORKS, "digits"]
    done = measure_all(
        pieces,
        place=lambda piece: arguments.work / f"{piece}.json",
        key=functools.partial(key_of, arguments),
        measure=functools.partial(measure, arguments),
        wanted=lambda piece: (piece.network or piece.kind) in wanted,
    )
    show(done)
    missing = [str(piece) for piece in pieces if piece not in done]
    found = {str(piece): {name: value for name, value in each.items() if name != "key"} for piece, each in done.items()}
    result = {"complete": not missing, "missing": missing, "recipes": RECIPES, "networks": NETWORKS, "pieces": found}
    print(f"in {arguments.work}" if arguments.trial else write_result("images", result))


if __name__ == "__main__":
    main()
