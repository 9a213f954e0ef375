"""Windows of tokens as the trainer reads them: batches in a seeded order without end, or in theirs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from seqrl.data.trajectories import TokenWindows
from seqrl.data.windows import as_batch
from seqsuite.data.order import ShuffledOrder


class TokenBatches(Dataset[Any]):
    """Batches {"tokens": (n, L), "targets": (n, L), "mask": (n, L)} of a Trajectory Transformer.

    Args:
        windows: All windows.
        seed: Of the order, a new one every pass; None: as they stand.
    """

    collate = staticmethod(as_batch)

    def __init__(self, windows: TokenWindows, seed: int | None) -> None:
        self.windows = windows
        self.order = None if seed is None else ShuffledOrder(n=len(windows), seed=seed)

    def __len__(self) -> int:
        return len(self.windows)

    def __getitems__(self, positions: Sequence[int]) -> dict[str, Tensor]:
        """Return the batch at some positions."""
        order = self.order
        indices = positions if order is None else [order.locate(position)[1] for position in positions]
        items = [self.windows[index] for index in indices]
        return {name: torch.from_numpy(np.stack([item[name] for item in items])) for name in items[0]}

    def __getitem__(self, position: int) -> dict[str, Tensor]:
        return {name: part[0] for name, part in self.__getitems__([position]).items()}
