"""Batches of clips of unequal lengths: padded on the right, with their lengths.

train = TrainingClips(clips, labels, seed=0, augment=Augmentation())
train.collate([train[0], train[1]])     # {"wave": (2, L), "lengths": (2,), "labels": (2,)}
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from seqaudio.classification.augment import Augmentation
from seqaudio.classification.clips import Clips
from seqsuite.data.order import ShuffledOrder, item_rng

_CHANGES = 1


class ScoringClips(Dataset[dict[str, Any]]):
    """Clips as they are, in order.

    Args:
        clips: All clips.
        rows: Which of them.
        labels: Of all clips.
    """

    def __init__(self, clips: Clips, rows: np.ndarray, labels: np.ndarray) -> None:
        self.clips, self.rows, self.labels = clips, rows, labels

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = int(self.rows[index])
        return {"wave": self.clips.samples(row), "label": int(self.labels[row])}

    @staticmethod
    def collate(items: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """Pad clips and stack them."""
        wave, lengths = padded([item["wave"] for item in items])
        return {"wave": wave, "lengths": lengths, "labels": torch.tensor([item["label"] for item in items])}


class TrainingClips(ScoringClips):
    """Clips by position, without end, shuffled anew in every pass and changed at random.

    Args:
        clips: All clips.
        rows: Which of them.
        labels: Of all clips.
        seed: Of the order and the changes.
        augment: The changes; None for none.
    """

    def __init__(
        self, clips: Clips, rows: np.ndarray, labels: np.ndarray, *, seed: int, augment: Augmentation | None
    ) -> None:
        super().__init__(clips, rows, labels)
        self.order = ShuffledOrder(len(rows), seed)
        self.seed, self.augment = seed, augment

    def __len__(self) -> int:
        raise TypeError("training clips have no end")

    def __getitem__(self, position: int) -> dict[str, Any]:
        item = super().__getitem__(self.order.locate(position)[1])
        if self.augment is not None:
            item["wave"] = self.augment(item["wave"], self.clips.rate, item_rng(self.seed, position, _CHANGES))
        return item


def padded(waves: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Return clips padded with zeros on the right (B, L) float32, and their lengths (B,) int64."""
    lengths = torch.tensor([len(wave) for wave in waves])
    rows = torch.zeros(len(waves), int(lengths.max()))
    for row, wave in zip(rows, waves, strict=True):
        row[: len(wave)] = torch.from_numpy(np.ascontiguousarray(wave, dtype=np.float32))
    return rows, lengths
