"""Which step does what to which rows: pure functions of the seed and the step.

Steps alternate between property prediction and conditional generation (Born and Manica 2023), each kind with a pass
over the rows of its own. Rows of like length share batches: so many batches are sorted by length together, and come in
an order of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from seqsuite.data.order import ShuffledOrder, item_rng

Mode = Literal["property", "conditional", "plm"]
_CHUNK = 11


@dataclass(frozen=True)
class Schedule:
    """What each step does.

    Attributes:
        task: both alternates, property and generation do one thing, plm masks anything.
        alternate: Steps of one kind before the other.
    """

    task: Literal["both", "property", "generation", "plm"]
    alternate: int = 50

    def mode(self, step: int) -> Mode:
        """Return what a step, from 0, does."""
        if self.task == "both":
            return "conditional" if step // self.alternate % 2 else "property"
        modes: dict[str, Mode] = {"property": "property", "generation": "conditional", "plm": "plm"}
        return modes[self.task]

    def done(self, step: int) -> int:
        """Return how many earlier steps did what this one does."""
        if self.task != "both":
            return step
        cycle, place = divmod(step, 2 * self.alternate)
        return cycle * self.alternate + place % self.alternate


class LengthOrder:
    """An endless shuffled pass over rows, in batches of like length.

    Args:
        lengths: (n,) of the rows.
        batch_size: Rows of a batch.
        seed: Of the order.
        bucket: Batches that are sorted together; 1: none.
    """

    def __init__(self, lengths: np.ndarray, batch_size: int, seed: int, *, bucket: int = 50) -> None:
        self.lengths, self.batch_size, self.seed, self.bucket = lengths, batch_size, seed, bucket
        self._order = ShuffledOrder(len(lengths), seed)
        self._chunk = -1
        self._rows = np.empty(0, np.int64)

    def index(self, position: int) -> int:
        """Return which row stands at a place of the endless order.

        Args:
            position: 0, 1, 2, ...; a batch is `batch_size` neighbours from a multiple of it on.
        """
        if self.bucket <= 1:
            return self._order.locate(position)[1]
        size = self.bucket * self.batch_size
        chunk, place = divmod(position, size)
        if chunk != self._chunk:
            self._rows, self._chunk = self._sorted(chunk, size), chunk
        return int(self._rows[place])

    def _sorted(self, chunk: int, size: int) -> np.ndarray:
        drawn = np.array([self._order.locate(place)[1] for place in range(chunk * size, (chunk + 1) * size)])
        batches = drawn[np.argsort(self.lengths[drawn], kind="stable")].reshape(self.bucket, self.batch_size)
        return batches[item_rng(self.seed, _CHUNK, chunk).permutation(self.bucket)].reshape(-1)
