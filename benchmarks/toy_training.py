"""A training run of a second or two, for the kill tests: dropout, so that the generators matter.

    python benchmarks/toy_training.py --out runs/toy --steps 40 [--resume] [--workers 2]

Every step takes `--nap` milliseconds more than it needs, so that there is time to be killed in.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset

from seqsuite.data import ShuffledOrder, item_rng
from seqsuite.errors import UserError
from seqsuite.training import Interrupted, Scores, Task, TrainConfig, fit, seed_everything

ITEMS = 37


class Points(Dataset[dict[str, torch.Tensor]]):
    """Noisy points on a curve; 37 of them, so that epochs end in the middle of a batch."""

    def __init__(self, seed: int, length: int | None = None) -> None:
        self.order = ShuffledOrder(ITEMS, seed)
        self.seed = seed
        self.length = length

    def __len__(self) -> int:
        if self.length is None:
            raise TypeError("positions have no end")
        return self.length

    def __getitem__(self, position: int) -> dict[str, torch.Tensor]:
        epoch, index = self.order.locate(position)
        noise = item_rng(self.seed, epoch, index).normal(size=4)
        x = torch.linspace(-1, 1, 4, dtype=torch.float32) + index / ITEMS
        return {"x": x + 0.1 * torch.as_tensor(noise, dtype=torch.float32), "y": torch.sin(3 * x).sum()[None]}


class ToyTask(Task):
    """Least squares with dropout."""

    nap = 0.0

    def training_scores(self, batch: Any) -> Scores:
        if self.training:
            time.sleep(self.nap)
        errors = (self.model(batch["x"]) - batch["y"]).square()
        return Scores(errors.mean(), {"loss": (errors.sum(), errors.numel())}, tokens=batch["x"].numel())


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    for flag in ("--resume", "--overwrite"):
        parser.add_argument(flag, action="store_true")
    for name, default in (("steps", 40), ("workers", 0), ("seed", 0), ("checkpoint_every", 3), ("accumulate", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--nap", type=float, default=0.0, help="milliseconds more for every step")
    options = vars(parser.parse_args())
    ToyTask.nap = options.pop("nap") / 1000
    config = TrainConfig(
        **options, batch_size=4, lr=1e-2, validate_every=7, log_every=5, accelerator="cpu", devices=1, threads=1
    )
    seed_everything(config.seed)
    model = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Dropout(0.2), nn.Linear(16, 1))
    try:
        fit(ToyTask(model, config), Points(config.seed), Points(config.seed + 1, 10), config, report=False)
    except Interrupted as stop:
        print(stop, file=sys.stderr)
        return 130
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
