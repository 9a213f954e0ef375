"""Labelled clips of one split, as training and evaluation read them.

items = ClipItems(rows, labels, view, changes)
items.scoring(0)                # (C, T, H, W): the middle of the first clip
items.views(0)                  # (V, C, T, H, W): the stretches and crops to average over
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

from seqsuite.errors import UserError
from seqvision.data.labelled import Items
from seqvision.data.video_clips import Row, StoredClip
from seqvision.data.video_views import Changes, ClipView


class ClipItems(Items):
    """Labelled clips as a model sees them.

    Args:
        rows: Where the clips are.
        labels: (n,) int64 classes; -1 where none is known.
        view: How they are seen.
        changes: What training changes.
    """

    def __init__(self, rows: Sequence[Row], labels: np.ndarray, view: ClipView, changes: Changes) -> None:
        self.rows, self.labels, self.view, self.changes = tuple(rows), np.asarray(labels), view, changes
        self.names = tuple(row.clip.name for row in rows)

    def scoring(self, index: int) -> Tensor:
        """Return the middle of a clip: (C, T, H, W) float32, normalised.

        Raises:
            UserError: It cannot be read, or is too short; the line names it.
        """
        return self._named(index, lambda clip: self.view.one(clip))

    def views(self, index: int) -> Tensor:
        """Return the inputs whose probabilities are averaged: (V, C, T, H, W) float32.

        Raises:
            UserError: It cannot be read, or is too short; the line names it.
        """
        return self._named(index, lambda clip: self.view.all(clip))

    def training(self, index: int, seed: int) -> Tensor:
        """Return a clip changed at random: (C, T, H, W) float32.

        Raises:
            UserError: It cannot be read, or is too short; the line names it.
        """
        return self._named(index, lambda clip: self.view.changed(clip, self.changes, seed=seed))

    def _named(self, index: int, read: Callable[[StoredClip], Tensor]) -> Tensor:
        row = self.rows[index]
        try:
            return read(row.clip)
        except UserError as error:
            named = any(name in str(error) for name in (row.clip.name, row.where))
            raise UserError(str(error) if named else f"{row.clip.name}: {error}") from None
