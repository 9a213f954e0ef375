"""Synthetic motion: a small Mamba-3D beside the same model without the order of frames, and a 2-D model of frames.

    python benchmarks/motion.py
    python benchmarks/motion.py --only video frames_2d --minutes 20

Kinds: video (examples/vision/motion.yaml as it is), shuffled (its frames in a random order, in training and test),
single (one of its frames, at random, repeated), frames_2d (timm's test_resnet on every frame, features averaged over
time). All see the same clips in the same order, with the same optimiser, batch and steps. No model can do better than
0.5 without the order of frames, as each class is another one backwards, nor than 0.1 from one frame
(`seqvision.data.motion`).

What is done lies under --work and is not done again: call it again after --minutes, Ctrl-C or a crash. With --steps
(a trial) nothing is written outside --work.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import timm
import torch
import yaml
from _deadline import Deadline, OutOfTime
from _machine import write_result
from timm.models import register_model
from torch import Tensor, nn

from seqsuite.data.order import item_rng
from seqvision.configs.train import VisionTrainConfig
from seqvision.data.labelled import Items, Labelled

KINDS = {
    "video": "Mamba-3D, frames in order",
    "shuffled": "Mamba-3D, frames shuffled",
    "single": "Mamba-3D, one frame",
    "frames_2d": "test_resnet, averaged over frames",
}
CEILING = {"video": 1.0, "shuffled": 0.5, "single": 0.1, "frames_2d": 0.5}
RECIPE = Path(__file__).resolve().parents[1] / "examples" / "vision" / "motion.yaml"
_ORDER, _FRAME = 11, 12


class FrameAverage(nn.Module):
    """A 2-D model on each frame of a clip; the mean of their features is mapped to classes.

    Args:
        name: timm's name of the 2-D model.
        in_chans: Channels.
        num_classes: Classes.
    """

    def __init__(self, name: str, *, in_chans: int, num_classes: int) -> None:
        super().__init__()
        self.frames = timm.create_model(name, in_chans=in_chans, num_classes=0)
        self.head = nn.Linear(self.frames.num_features, num_classes)
        self.pretrained_cfg = {"architecture": f"frame_average_{name}", "classifier": "head"}

    def forward(self, clips: Tensor) -> Tensor:
        """Return the logits (B, classes) of clips (B, C, T, H, W)."""
        batch, _, frames = clips.shape[:3]
        features = self.frames(clips.transpose(1, 2).flatten(0, 1)).view(batch, frames, -1)
        return self.head(features.mean(1))


@register_model
def frame_average_test_resnet(
    pretrained: bool = False,
    pretrained_cfg: Any = None,
    pretrained_cfg_overlay: Any = None,
    cache_dir: Any = None,
    in_chans: int = 3,
    num_classes: int = 1000,
) -> FrameAverage:
    """timm's test_resnet on every frame; timm passes the first four, of which this has no use."""
    return FrameAverage("test_resnet", in_chans=in_chans, num_classes=num_classes)


class Reordered(Items):
    """Clips whose frames are chosen anew.

    Args:
        items: The clips.
        choose: (T, generator) -> which frames.
    """

    def __init__(self, items: Items, choose: Callable[[int, Any], Any]) -> None:
        self.items, self.choose = items, choose
        self.labels, self.names = items.labels, items.names

    def scoring(self, index: int) -> Tensor:
        return self._chosen(self.items.scoring(index), index)

    def training(self, index: int, seed: int) -> Tensor:
        return self._chosen(self.items.training(index, seed), seed)

    def _chosen(self, clip: Tensor, seed: int) -> Tensor:
        return clip[:, torch.as_tensor(self.choose(clip.shape[1], item_rng(seed, _ORDER)))]


CHOICES: dict[str, Callable[[int, Any], Any]] = {
    "shuffled": lambda count, rng: rng.permutation(count),
    "single": lambda count, rng: [int(rng.integers(count))] * count,
}


def config_of(arguments: argparse.Namespace, kind: str, seed: int) -> VisionTrainConfig:
    """Return the recipe for one kind and seed."""
    from seqsuite.training import RunFolder

    out = arguments.work / kind / f"seed_{seed}"
    said = yaml.safe_load(RECIPE.read_text(encoding="utf-8")) | {"seed": seed, "out": str(out), "accelerator": "cpu"}
    if arguments.steps:
        said |= {"steps": arguments.steps, "validate_every": arguments.steps, "checkpoint_every": arguments.steps}
    if kind == "frames_2d":
        said |= {"model": "frame_average_test_resnet", "model_options": {}}
    left = arguments.deadline.left() if arguments.deadline else 0.0
    return VisionTrainConfig("motion", **said, max_minutes=left, resume=RunFolder(out).holds_run)


def data_of(config: VisionTrainConfig, kind: str) -> Labelled:
    """Return the clips, with their frames chosen as the kind wants."""
    from seqvision.data.opening import open_labelled

    data = open_labelled(config)
    if kind not in CHOICES:
        return data
    parts = {name: Reordered(getattr(data, name), CHOICES[kind]) for name in ("train", "valid", "test")}
    return dataclasses.replace(data, **parts)


def measure_one(arguments: argparse.Namespace, kind: str, seed: int) -> dict[str, Any]:
    """Train one model and measure it on the test clips.

    Raises:
        OutOfTime: It was stopped and goes on at the next call.
    """
    from seqsuite.training import fit, seed_everything
    from seqvision.data.labelled import ScoringItems, TrainingItems
    from seqvision.evaluation.run import measure_items
    from seqvision.training.models import make_model
    from seqvision.training.task import Averaging, ClassifyInputs

    config = config_of(arguments, kind, seed)
    torch.set_num_threads(1)
    data = data_of(config, kind)
    seed_everything(seed)
    task = ClassifyInputs(make_model(config, data), config, unit="clip")
    began = time.process_time()
    done = fit(
        task,
        TrainingItems(data.train, seed),
        ScoringItems(data.valid),
        config,
        inputs={"data": data.fingerprint + kind},
        callbacks=[Averaging()],
        export=config.export,
    )
    seconds = time.process_time() - began
    if done.reason != "finished":
        raise OutOfTime
    found = measure_items(task.result, data, "test")
    return {
        "top1": found.top1,
        "test_clips": len(data.test),
        "steps": done.steps,
        "parameters": task.result.num_parameters(),
        "cpu_seconds_of_last_call": round(seconds, 1),
        "source": data.notes[0],
    }


def measure_all(arguments: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Measure what is missing; return all that there is."""
    from seqsuite.training.run_folder import write_json

    done: dict[str, dict[str, Any]] = {}
    for seed in range(arguments.seeds):
        for kind in KINDS:
            path = arguments.work / kind / f"seed_{seed}.json"
            if path.exists():
                done[f"{kind}/seed_{seed}"] = json.loads(path.read_text(encoding="utf-8"))
            elif kind in arguments.only:
                print(f"{kind}, seed {seed}", file=sys.stderr, flush=True)
                try:
                    found = measure_one(arguments, kind, seed)
                except (OutOfTime, KeyboardInterrupt):
                    print("stopped; call again to go on", file=sys.stderr)
                    return done
                done[f"{kind}/seed_{seed}"] = found
                write_json(path, found)
    return done


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure, print, and return what the JSON file holds."""
    from seqsuite.cli.output import print_table

    arguments.work.mkdir(parents=True, exist_ok=True)
    done = measure_all(arguments)
    if not done:
        raise OutOfTime
    rows = []
    for kind, name in KINDS.items():
        found = [done[key] for key in done if key.startswith(f"{kind}/")]
        if found:
            top1 = sum(row["top1"] for row in found) / len(found)
            rows.append((name, f"{found[0]['parameters']:,}", f"{top1:.3f}", f"{CEILING[kind]:.1f}"))
    print_table(("model", "parameters", "test accuracy", "best possible"), rows, title="synthetic motion, 10 classes")
    wanted = [f"{kind}/seed_{seed}" for kind in KINDS for seed in range(arguments.seeds)]
    missing = [key for key in wanted if key not in done]
    if missing:
        print(f"incomplete: {', '.join(missing)} missing")
    return {"complete": not missing, "missing": missing, "ceilings": CEILING, "runs": done}


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS), help="measure these in this call")
    parser.add_argument("--seeds", type=int, default=1, help="seeds 0, 1, ... (default: %(default)s)")
    parser.add_argument("--work", type=Path, default=Path("runs/motion_benchmark"), help="default: %(default)s")
    parser.add_argument("--minutes", type=float, default=0.0, help="stop after so many, to be called again")
    parser.add_argument("--steps", type=int, default=0, help="other steps than the recipe's, for a trial")
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
    except (UserError, OutOfTime) as error:
        raise SystemExit(str(error) or "the time is over; call again to go on") from None
    print(f"in {arguments.work}" if arguments.steps else write_result("motion", result))


if __name__ == "__main__":
    main()
