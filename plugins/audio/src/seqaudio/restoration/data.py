"""Windows of clean audio with degraded versions of themselves, made on the fly.

windows = Windows(files, length=32000, rate=16000, train=True, seed=0)
pairs = DegradedWindows(windows, DegradationRange(), seed=0)
pairs[12345]        # {"degraded": (L,), "clean": (L,)}, a pure function of (seed, position)
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from seqaudio.data import Windows
from seqaudio.restoration.degrade import DegradationRange
from seqsuite.data.order import item_rng

_DEGRADATION = 11


class DegradedWindows(Dataset[dict[str, Tensor]]):
    """Clean windows and degraded ones: position -> {"degraded": (L,), "clean": (L,)} float32.

    Args:
        windows: The clean windows: samples of one channel.
        kinds: What to draw degradations from.
        seed: Of the degradations.
        length: Number of windows, where they are counted: a validation set.
    """

    def __init__(self, windows: Windows, kinds: DegradationRange, *, seed: int, length: int | None = None) -> None:
        self.windows, self.kinds = windows, kinds
        self.seed, self.length = seed, length

    def __len__(self) -> int:
        if self.length is None:
            raise TypeError("random windows have no end")
        return self.length

    def __getitem__(self, position: int) -> dict[str, Tensor]:
        clean = self.windows[position]["samples"].numpy()  # (L, 1)
        degradation = self.kinds.draw(item_rng(self.seed, position, _DEGRADATION))
        degraded = degradation.apply(clean, self.windows.rate)
        pair = {"degraded": degraded, "clean": clean}
        return {name: torch.from_numpy(np.array(samples[:, 0])) for name, samples in pair.items()}
