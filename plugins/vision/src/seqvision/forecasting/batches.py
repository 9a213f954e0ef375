"""Windows as data sets of the trainer: training windows in a seeded order without end, others in theirs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from seqsuite.data.order import ShuffledOrder
from seqvision.data.series_windows import Windows


def identity(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return what `__getitems__` made: it is a batch already."""
    return batch


class WindowBatches(Dataset[Any]):
    """Batches {"past": (n, L, C), "future": (n, H, C)}.

    Args:
        windows: Of a split.
        seed: Of the order of training windows, a new one every pass; None: as they stand.
    """

    collate = staticmethod(identity)

    def __init__(self, windows: Windows, seed: int | None = None) -> None:
        self.windows = windows
        self.order = None if seed is None else ShuffledOrder(n=len(windows), seed=seed)

    def __len__(self) -> int:
        return len(self.windows)

    def __getitems__(self, positions: Sequence[int]) -> dict[str, Tensor]:
        """Return the batch at some positions."""
        order = self.order
        indices = positions if order is None else [order.locate(position)[1] for position in positions]
        past, future = self.windows.arrays(list(indices))
        return {"past": torch.from_numpy(past), "future": torch.from_numpy(future)}

    def __getitem__(self, position: int) -> dict[str, Tensor]:
        return {name: part[0] for name, part in self.__getitems__([position]).items()}
