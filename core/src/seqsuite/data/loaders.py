"""Loaders that start at any step: batches of positions, split over ranks and accumulation.

A data set is map-style and pure: ``dataset[position]`` depends on nothing but the position, so that
neither the number of workers nor a restart changes what is read. Step s of a run with global batch B
holds the positions s * B ... (s + 1) * B - 1; rank r of w takes every w-th of them from r on.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler


class PositionBatches(Sampler[list[int]]):
    """The training batches of one rank, from a starting step to the end of the run.

    Its length is always that of the whole run, whatever the start: the engine counts the batches
    that were done before a restart too.

    Args:
        steps: Optimizer steps of the whole run.
        batch_size: Rows of a step over all ranks and accumulated parts.
        start: Steps already done.
        accumulate: Parts a step is split into.
        rank: This process.
        world: Number of processes.

    Raises:
        ValueError: `batch_size` does not divide evenly.
    """

    def __init__(
        self, *, steps: int, batch_size: int, start: int = 0, accumulate: int = 1, rank: int = 0, world: int = 1
    ) -> None:
        if batch_size % (accumulate * world):
            raise ValueError(f"batch_size {batch_size} is no multiple of accumulate {accumulate} x processes {world}")
        self.steps, self.batch_size, self.start = steps, batch_size, start
        self.accumulate, self.rank, self.world = accumulate, rank, world

    def __len__(self) -> int:
        return self.steps * self.accumulate

    def __iter__(self) -> Iterator[list[int]]:
        rows = self.batch_size // (self.accumulate * self.world)
        for step in range(self.start, self.steps):
            first = step * self.batch_size
            mine = range(first + self.rank, first + self.batch_size, self.world)
            for part in range(self.accumulate):
                yield list(mine[part * rows : (part + 1) * rows])


class ScoringBatches(Sampler[list[int]]):
    """Every index of a validation set once over all ranks, in order.

    All ranks run the same number of batches, as collective operations in a forward pass demand; a
    rank that has run out repeats index 0, and those batches, from number `counted` on, do not count.

    Args:
        n: Number of items.
        rows: Rows of a batch on one rank.
        rank: This process.
        world: Number of processes.
    """

    def __init__(self, n: int, *, rows: int, rank: int = 0, world: int = 1) -> None:
        self.rows = rows
        self.mine = range(rank, n, world)
        self.counted = -(-len(self.mine) // rows)
        self.total = -(-len(range(0, n, world)) // rows)

    def __len__(self) -> int:
        return self.total

    def __iter__(self) -> Iterator[list[int]]:
        for batch in range(self.counted):
            yield list(self.mine[batch * self.rows : (batch + 1) * self.rows])
        for _ in range(self.counted, self.total):
            yield [0]


def _deaf_to_strangers(_worker: int) -> None:
    """Leave Ctrl-C, SIGHUP and SIGTERM, which reach the whole process group, to the main process.

    It wants to finish its step, for which it needs its workers. They still go when it tells them to.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if not hasattr(signal, "sigwaitinfo"):
        return
    parent = os.getppid()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])

    def listen() -> None:
        while signal.sigwaitinfo([signal.SIGTERM]).si_pid != parent:
            pass
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()


def make_loader(
    dataset: Dataset[Any],
    batches: PositionBatches | ScoringBatches,
    *,
    workers: int = 0,
    seed: int = 0,
    pin_memory: bool = False,
) -> DataLoader[Any]:
    """Build a loader that never touches the global random generators.

    Args:
        dataset: Map-style and pure; an item is a dictionary of tensors. It may bring its own `collate`.
        batches: Which positions make a batch.
        workers: Processes that read ahead; 0 reads in this process.
        seed: Seeds the loader's own generator.
        pin_memory: Page-locked batches, for a GPU.
    """
    # A loader without a generator draws its workers' seed from the global one at every start.
    return DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=workers,
        generator=torch.Generator().manual_seed(seed & (2**63 - 1)),
        worker_init_fn=_deaf_to_strangers if workers else None,
        collate_fn=getattr(dataset, "collate", None),
        pin_memory=pin_memory,
    )
