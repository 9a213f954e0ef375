"""Every random generator of a process: seeding, and carrying its state through checkpoint and validation.

Dropout after a restart draws what it would have drawn without one, because the checkpoint holds the
states of Python, NumPy, PyTorch's CPU and every CUDA device, one set a rank.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from seqsuite.data.order import item_seed


def seed_everything(seed: int, *keys: int) -> None:
    """Seed Python, NumPy's old global generator and PyTorch on every device.

    Args:
        seed: The run's seed. Call it before a model is built to make its first weights reproducible.
        keys: Further whole numbers, a rank for example, that give independent streams.
    """
    mixed = item_seed(seed, *keys)
    random.seed(mixed)
    np.random.seed(mixed & 0xFFFFFFFF)  # noqa: NPY002 - user code may draw from it
    torch.manual_seed(mixed)


def capture(device: torch.device | None = None) -> dict[str, Any]:
    """Return the state of all generators as tensors and plain values.

    Args:
        device: Only this CUDA device (one process a device); None for all of them.
    """
    legacy: Any = np.random.get_state(legacy=True)  # noqa: NPY002
    name, keys, position, has_gauss, cached = legacy
    version, state, gauss = random.getstate()
    cuda: dict[int, torch.Tensor] = {}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        indices = range(torch.cuda.device_count()) if device is None else [device.index or 0]
        cuda = {index: torch.cuda.get_rng_state(index) for index in indices}
    return {
        "python": (version, torch.tensor(state, dtype=torch.int64), gauss),
        "numpy": (str(name), torch.tensor(keys.astype(np.int64)), int(position), int(has_gauss), float(cached)),
        "torch": torch.get_rng_state(),
        "cuda": cuda,
    }


def restore(states: dict[str, Any]) -> None:
    """Put all generators back to what `capture` returned."""
    version, state, gauss = states["python"]
    random.setstate((version, tuple(state.tolist()), gauss))
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(states["torch"].cpu())
    for index, cuda_state in states["cuda"].items():
        if index < torch.cuda.device_count():
            torch.cuda.set_rng_state(cuda_state.cpu(), index)


class Generators(Callback):
    """Carries the generators of every rank in the checkpoint; keeps validation from touching them.

    Args:
        seed: Starts the generators of each rank at the first step of a new run.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._restored: list[dict[str, Any]] | None = None
        self._begun = False
        self._aside: dict[str, Any] | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that the first step is still to come."""
        self._begun = False

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Set the generators at the first step, when nothing of the start-up can draw from them any more."""
        if self._begun:
            return
        self._begun = True
        states, rank = self._restored, trainer.global_rank
        if states is not None and len(states) == trainer.world_size:
            restore(states[rank])
        else:
            # A run that goes on with another number of processes has no state to go on with.
            seed_everything(self.seed, trainer.global_step, rank, trainer.world_size)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lay the training generators aside."""
        self._aside = self._capture(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the training generators up again."""
        if self._aside is not None:
            restore(self._aside)
            self._aside = None

    def state_dict(self) -> dict[str, Any]:
        """Return the states of all ranks; called on every rank at once."""
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        device = torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_initialized() else None
        mine = capture(device if distributed else None)
        states: list[Any] = [mine]
        if distributed:
            states = [None] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(states, mine)
        return {"ranks": states}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the states for the first step."""
        self._restored = state_dict["ranks"]

    @staticmethod
    def _capture(trainer: Trainer) -> dict[str, Any]:
        return capture(trainer.strategy.root_device if trainer.world_size > 1 else None)
