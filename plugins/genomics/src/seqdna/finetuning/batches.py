"""Labelled sequences as batches: padded to the longest of the batch, rows of like length together.

What stands at a position is a pure function of (seed, position), so that a run resumes exactly: the order
is a permutation of each epoch, and pools of some batches are sorted by length and handed out batch by batch,
in an order drawn anew for each pool.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from seqdna.finetuning.labelled import IGNORE, LabelledSet, cropped, reverse_complement
from seqsuite.data.order import ShuffledOrder, item_rng, item_seed

POOL = 32
"""Batches that are sorted by length together."""

Item = tuple[int, str, np.ndarray]
_BASES = b"ACGTacgt"
_PLACES = np.full(256, -1, dtype=np.int64)
_PLACES[np.frombuffer(_BASES, dtype=np.uint8)] = np.arange(8)


class LengthOrder:
    """An endless shuffled order with rows of like length next to each other.

    Args:
        lengths: (n,) length of each row.
        batch_size: Rows of a batch.
        seed: Of the order.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self.lengths, self.batch_size, self.seed = np.asarray(lengths), batch_size, seed
        self.order = ShuffledOrder(len(lengths), seed)
        self.sorts = len(set(lengths)) > 1
        self._pool: tuple[int, np.ndarray] = (-1, np.empty(0, dtype=np.int64))

    def row(self, position: int) -> int:
        """Return the row at a position (0, 1, 2, ... without end)."""
        if not self.sorts:
            return self.order.locate(position)[1]
        size = self.batch_size * POOL
        number, place = divmod(position, size)
        if self._pool[0] != number:
            self._pool = (number, self._sorted(number, size))
        return int(self._pool[1][place])

    def _sorted(self, number: int, size: int) -> np.ndarray:
        rows = np.array([self.order.locate(number * size + place)[1] for place in range(size)])
        rows = rows[np.argsort(self.lengths[rows], kind="stable")].reshape(POOL, self.batch_size)
        return item_rng(self.seed, number, 1).permutation(rows).reshape(-1)


class TrainingSequences(Dataset[Item]):
    """Training rows without end: position -> (row, sequence, target).

    Args:
        data: The rows.
        tokenizer: Makes ids of them.
        batch_size: Rows of a batch.
        seed: Of the order and of the augmentation.
        crop: Use the middle of longer sequences; 0 uses all.
        rc_augment: Show a sequence as its other strand, with probability one half.
        mutate: Share of the bases that become another base, drawn anew each time.
    """

    def __init__(
        self,
        data: LabelledSet,
        tokenizer: Any,
        *,
        batch_size: int,
        seed: int,
        crop: int = 0,
        rc_augment: bool = False,
        mutate: float = 0.0,
    ) -> None:
        self.data, self.tokenizer = data, tokenizer
        self.rc_augment, self.mutate = rc_augment, mutate
        self.texts = [cropped(text, crop) for text in data.sequences]
        self.seed = item_seed(seed, 1)
        self.order = LengthOrder([len(text) for text in self.texts], batch_size, item_seed(seed, 0))

    def __getitem__(self, position: int) -> Item:
        row = self.order.row(position)
        text = self.texts[row]
        if self.rc_augment and item_rng(self.seed, position).random() < 0.5:
            text = reverse_complement(text)
        if self.mutate:
            text = mutated(text, self.mutate, item_rng(self.seed, position, 1))
        return row, text, self.data.targets[row]

    def collate(self, items: Sequence[Item]) -> dict[str, Tensor]:
        """Return {"input_ids": (B, L), "labels": (B,) or (B, K), "rows": (B,)}; along sequences as `padded_labels`."""
        return collate(items, self.tokenizer, self.data.bases_per_label)


def mutated(text: str, share: float, rng: np.random.Generator) -> str:
    """Return a sequence in which each A, C, G and T has become one of the other three with probability `share`.

    Random mutations as in EvoAug (Lee et al., Genome Biology 2023); other letters stay, and so does the case.
    """
    letters = np.frombuffer(text.encode("ascii"), dtype=np.uint8).copy()
    place = _PLACES[letters]
    hit = (rng.random(len(letters)) < share) & (place >= 0)
    other = (place[hit] % 4 + rng.integers(1, 4, hit.sum())) % 4 + place[hit] // 4 * 4
    letters[hit] = np.frombuffer(_BASES, dtype=np.uint8)[other]
    return letters.tobytes().decode("ascii")


class ScoringSequences(Dataset[Item]):
    """Rows to score once each, by ascending length, so that batches hold little padding.

    Args:
        data: The rows.
        tokenizer: Makes ids of them.
        crop: Use the middle of longer sequences; 0 uses all.
    """

    def __init__(self, data: LabelledSet, tokenizer: Any, *, crop: int = 0) -> None:
        self.data, self.tokenizer = data, tokenizer
        self.texts = [cropped(text, crop) for text in data.sequences]
        self.rows = np.argsort([len(text) for text in self.texts], kind="stable")

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Item:
        row = int(self.rows[index])
        return row, self.texts[row], self.data.targets[row]

    def collate(self, items: Sequence[Item]) -> dict[str, Tensor]:
        """Return what `TrainingSequences.collate` returns."""
        return collate(items, self.tokenizer, self.data.bases_per_label)


def collate(items: Sequence[Item], tokenizer: Any, bases_per_label: int = 0) -> dict[str, Tensor]:
    """Encode, pad and stack rows."""
    padded = tokenizer.encode_batch([text for _, text, _ in items])
    targets = [target for _, _, target in items]
    if bases_per_label:
        labels = padded_labels(targets, padded.ids.shape[1] // bases_per_label, tokenizer.padding_side)
    else:
        labels = np.stack(targets)
    return {
        "input_ids": torch.from_numpy(padded.ids.astype(np.int64)),
        "labels": torch.from_numpy(labels),
        "rows": torch.tensor([row for row, _, _ in items]),
    }


def padded_labels(targets: Sequence[np.ndarray], length: int, side: str) -> np.ndarray:
    """Stack labels along sequences, (B_i,) or (B_i, K), filled with `IGNORE` where the bases are padded.

    Args:
        targets: One array a row.
        length: Labels of the longest row.
        side: "left" or "right".

    Returns:
        (rows, length) or (rows, length, K).
    """
    out = np.full((len(targets), length, *targets[0].shape[1:]), IGNORE, dtype=targets[0].dtype)
    for row, target in zip(out, targets, strict=True):
        if side == "left":
            row[length - len(target) :] = target
        else:
            row[: len(target)] = target
    return out
