"""A toy run whose result depends on every random generator, and a kill that needs no new process."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn
from torch.utils.data import Dataset

from seqsuite.data import ShuffledOrder, item_rng
from seqsuite.training import Scores, Task, TrainConfig, fit, seed_everything

ITEMS = 13


class Points(Dataset[dict[str, torch.Tensor]]):
    """13 items, batches of 4: epochs end inside a batch."""

    def __init__(self, seed: int, length: int = 0) -> None:
        self.order, self.seed, self.length = ShuffledOrder(ITEMS, seed), seed, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, position: int) -> dict[str, torch.Tensor]:
        epoch, index = self.order.locate(position)
        noise = torch.as_tensor(item_rng(self.seed, epoch, index).normal(size=4), dtype=torch.float32)
        return {"x": noise + index / ITEMS, "y": noise.sum()[None], "index": torch.tensor(index)}


class Noisy(Task):
    """Draws from PyTorch (dropout), NumPy and Python in every training step, and in validation too."""

    def training_scores(self, batch: Any) -> Scores:
        noise = np.random.rand() + random.random()  # noqa: NPY002
        errors = (self.model(batch["x"]) * (1 + 0.1 * noise) - batch["y"]).square()
        totals = {"loss": (errors.sum(), errors.numel()), "place": (batch["index"].sum(), len(batch["index"]))}
        return Scores(errors.mean(), totals, tokens=batch["x"].numel())


class Killed(Exception):
    """Stands for a process that is gone."""


class KillAt(Callback):
    """Ends the run at the start of a step, without a word to anyone."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if trainer.global_step == self.step:
            raise Killed


def digest(module: nn.Module) -> str:
    """SHA-256 of all weights, bit for bit."""
    total = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        total.update(name.encode() + value.cpu().numpy().tobytes())
    return total.hexdigest()


def make_task(config: TrainConfig) -> Task:
    seed_everything(config.seed)
    return Noisy(nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 1)), config)


def run(
    folder: Path, *, callbacks: Any = (), valid: int = 6, export: Any = "last", report: bool = False,
    inputs: dict[str, str] | None = None, make: Callable[[TrainConfig], Task] = make_task, **options: Any,
) -> SimpleNamespace:  # fmt: skip
    """Train the toy into a folder; returns task, result and weights."""
    basic: dict[str, Any] = {
        "steps": 12, "batch_size": 4, "lr": 0.01, "checkpoint_every": 4, "validate_every": 3, "log_every": 2,
        "accelerator": "cpu", "devices": 1, "threads": 1,
    }  # fmt: skip
    config = TrainConfig(**{**basic, "out": str(folder), **options})
    task = make(config)
    valid_data = Points(config.seed + 1, valid) if valid else None
    result = fit(
        task, Points(config.seed), valid_data, config,
        callbacks=callbacks, export=export, report=report, inputs=inputs,
    )  # fmt: skip
    return SimpleNamespace(task=task, result=result, weights=digest(task), config=config, valid_data=valid_data)


@pytest.fixture
def toy() -> Callable[..., SimpleNamespace]:
    return run


@pytest.fixture
def kill() -> Callable[..., None]:
    """Start a toy run and let it die at the start of a step."""

    def killed(folder: Path, step: int, **options: Any) -> None:
        with pytest.raises(Killed):
            run(folder, callbacks=[KillAt(step)], **options)

    return killed


@pytest.fixture(scope="session")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., SimpleNamespace]:
    """The same run without a kill, once per set of options."""
    done: dict[str, SimpleNamespace] = {}

    def get(**options: Any) -> SimpleNamespace:
        key = repr(sorted(options.items()))
        if key not in done:
            done[key] = run(tmp_path_factory.mktemp("unbroken"), **options)
        return done[key]

    return get
