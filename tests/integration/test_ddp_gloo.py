"""Two processes over gloo: equal weights on both ranks, equal to one process, resumed bit for bit.

The processes are forks of this one, so that torch is imported once; they find each other as they
would under torchrun, through the environment.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import multiprocessing
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from torch import nn
from torch.utils.data import Dataset

from seqsuite.data import ShuffledOrder, item_rng
from seqsuite.training import Interrupted, Scores, Task, TrainConfig, fit, seed_everything


class Points(Dataset[dict[str, torch.Tensor]]):
    def __init__(self, length: int = 0) -> None:
        self.order, self.length = ShuffledOrder(11, 0), length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, position: int) -> dict[str, torch.Tensor]:
        epoch, index = self.order.locate(position)
        x = torch.as_tensor(item_rng(0, epoch, index).normal(size=4), dtype=torch.float32)
        return {"x": x, "y": x.prod()[None], "index": torch.tensor(index)}


class Regression(Task):
    def training_scores(self, batch: Any) -> Scores:
        errors = (self.model(batch["x"]) - batch["y"]).square()
        totals = {"loss": (errors.sum(), errors.numel()), "place": (batch["index"].sum(), len(batch["index"]))}
        return Scores(errors.mean(), totals, tokens=4 * len(errors))


class KillAt(Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step == self.step:
            os._exit(9)


class TellRank(Callback):
    """Sends SIGTERM to one rank alone, in the middle of a step."""

    def __init__(self, rank: int, step: int) -> None:
        self.rank, self.step = rank, step

    def on_before_optimizer_step(self, trainer: Any, *_: Any) -> None:
        if (trainer.global_rank, trainer.global_step) == (self.rank, self.step - 1):
            os.kill(os.getpid(), signal.SIGTERM)


def train(
    out: Path, *, dropout: float = 0.0, kill: int = -1, tell: tuple[int, int] = (-1, -1), **options: Any
) -> dict[str, torch.Tensor]:
    config = TrainConfig(
        steps=8, batch_size=4, lr=0.01, checkpoint_every=3, validate_every=4, log_every=1, workers=0,
        accelerator="cpu", out=str(out), **options,
    )  # fmt: skip
    seed_everything(config.seed)
    middle = nn.BatchNorm1d(8) if dropout else nn.Tanh()
    task = Regression(nn.Sequential(nn.Linear(4, 8), middle, nn.Dropout(dropout), nn.Linear(8, 1)), config)
    # 5 items, one a batch or two: the ranks have 3 and 2 of them, and batch norm's buffers, which the
    # forward pass broadcasts, would hang them if they ran different numbers of batches.
    callbacks = [KillAt(kill), TellRank(*tell)]
    fit(task, Points(), Points(5), config, callbacks=callbacks, report=False)
    return {name: value.clone() for name, value in task.model.state_dict().items()}


def rank_main(rank: int, port: int, results: Any, out: Path, options: dict[str, Any]) -> None:
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", LOCAL_WORLD_SIZE="2", GROUP_RANK="0",
        MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), TORCHELASTIC_RUN_ID="test",
    )  # fmt: skip
    torch.set_num_threads(1)
    try:
        weights = train(out, **options)
    except Interrupted:
        os._exit(130)
    results.put((rank, {name: value.numpy() for name, value in weights.items()}))


@pytest.fixture
def pair() -> Callable[..., list[dict[str, torch.Tensor]]]:
    """Run `train` on two ranks; returns each rank's weights, nothing where they were killed."""

    def run(out: Path, exitcode: int = 0, **options: Any) -> list[dict[str, torch.Tensor]]:
        with contextlib.closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        context = multiprocessing.get_context("fork")
        results = context.Queue()
        processes = [context.Process(target=rank_main, args=(rank, port, results, out, options)) for rank in (0, 1)]
        for process in processes:
            process.start()
        weights = {} if exitcode else dict(results.get(timeout=120) for _ in processes)
        for process in processes:
            process.join(120)
            assert process.exitcode == exitcode
        return [{name: torch.as_tensor(value) for name, value in weights[rank].items()} for rank in sorted(weights)]

    return run


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


def digest(weights: dict[str, torch.Tensor]) -> str:
    return hashlib.sha256(b"".join(weights[name].numpy().tobytes() for name in sorted(weights))).hexdigest()


def column(folder: Path, name: str) -> list[float]:
    with open(folder / "metrics.csv", newline="") as file:
        return [float(row[name]) for row in csv.DictReader(file) if row[name]]


def test_two_processes_do_what_one_does(pair: Any, tmp_path: Path) -> None:
    first, second = pair(tmp_path / "two")
    one = train(tmp_path / "one", devices=1)
    assert same(first, second)
    for name, value in one.items():
        torch.testing.assert_close(first[name], value, rtol=1e-4, atol=1e-6)
    # The metrics are those of the whole batch and the whole validation set, each item once.
    for name in ("train_loss", "valid_loss"):
        assert column(tmp_path / "two", name) == pytest.approx(column(tmp_path / "one", name), rel=1e-4)
    for name in ("train_place", "valid_place"):
        assert column(tmp_path / "two", name) == column(tmp_path / "one", name)


def test_two_processes_resume_bit_for_bit(pair: Any, tmp_path: Path) -> None:
    """With dropout, whose generators differ between the ranks, and batch norm, whose buffers are shared."""
    whole = pair(tmp_path / "whole", dropout=0.5)
    assert same({name: value for name, value in whole[0].items() if "running" not in name}, whole[1])
    # Killed at step 5; and one rank told to stop at step 2: both stop there and save.
    for name, ending in (("killed", {"kill": 5, "exitcode": 9}), ("told", {"tell": (1, 2), "exitcode": 130})):
        folder = tmp_path / name
        pair(folder, dropout=0.5, **ending)
        assert (folder / "checkpoints" / "step-00000002.ckpt").exists() == (name == "told")
        again = pair(folder, dropout=0.5, resume=True)
        assert digest(again[0]) == digest(whole[0])
        assert column(folder, "train_loss") == column(tmp_path / "whole", "train_loss")
