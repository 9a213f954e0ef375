"""Labelled inputs of any kind (images, clips) behind one interface; training, evaluation and prediction read no other.

    data = Labelled(train=items, valid=None, test=more, classes=("cat", "dog"), size=(28, 28), channels=1, ...)
    TrainingItems(data.train, seed=0)[position]     # {"inputs": (C, *size), "label", "position"}: a pure function
    ScoringItems(data.test)[index]                  # the same without chance, in order

A source implements `Items`: how many there are, their labels and names, and two views of each: as it is measured, and
changed at random by a seed that is given. It is opened by a function `open_...(config, fixed=None)` of the options of
`seqvision train`; with `fixed`, the config of a trained model, inputs are made as that model wants them (size,
channels, mean, deviation, clip) and labels index its classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from seqsuite.data.order import ShuffledOrder, item_seed
from seqsuite.errors import UserError

_CHANGES = 1


class Items:
    """Labelled inputs of one split; decoded when they are asked for.

    Attributes:
        labels: (n,) int64, the class of each; -1 where none is known.
        names: One name each, for messages and tables: a path, or a place in a file.
    """

    labels: np.ndarray
    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.labels)

    def scoring(self, index: int) -> Tensor:
        """Return one input as it is measured: (C, *size) float32, normalised.

        Raises:
            UserError: It cannot be read; the line names it.
        """
        raise NotImplementedError

    def views(self, index: int) -> Tensor:
        """Return the inputs whose probabilities are averaged in evaluation: (V, C, *size) float32, normalised.

        Raises:
            UserError: It cannot be read; the line names it.
        """
        return self.scoring(index)[None]

    def training(self, index: int, seed: int) -> Tensor:
        """Return one input changed at random: (C, *size) float32, normalised.

        Args:
            index: Which.
            seed: 64 bits; all that is drawn depends on it alone.

        Raises:
            UserError: It cannot be read; the line names it.
        """
        return self.scoring(index)


@dataclass(frozen=True)
class Labelled:
    """A data set with its splits.

    Attributes:
        train: To train on; None where only held-out data were asked for.
        valid: To choose weights by; None: none.
        test: To report on; None: none.
        classes: Names of the classes; labels index them.
        size: Size of an input: (H, W), of clips (T, H, W).
        channels: Channels C of an input.
        mean: Of each channel, on a scale of 0 to 1; what inputs were normalised with.
        std: Deviation of each channel.
        interpolation: How images are resized; empty: as the model says.
        crop_pct: Share of the resized image that the centre crop keeps; 0: as the model says.
        crop_mode: How images of another shape are cut; empty: as the model says.
        clip: How clips are taken from a video, as plain values; goes into the model's config.
        fingerprint: SHA-256 over content and splits; a resumed run demands the same.
        unit: What an item is called: "image", "clip".
        source: Where it came from.
        notes: Lines for the report: conversions that were counted, how the split was made.
        skipped: Inputs that were left out, and why.
    """

    train: Items | None = field(repr=False)
    valid: Items | None = field(repr=False)
    test: Items | None = field(repr=False)
    classes: tuple[str, ...]
    size: tuple[int, ...]
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: str
    unit: str = "image"
    interpolation: str = ""
    crop_pct: float = 0.0
    crop_mode: Literal["", "center", "squash", "border"] = ""
    clip: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    notes: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()

    def counts(self) -> list[dict[str, Any]]:
        """Return one row a class: how many inputs each split has of it."""
        parts = {name: getattr(self, name) for name in ("train", "valid", "test")}
        found = {
            name: np.bincount(items.labels, minlength=len(self.classes))
            for name, items in parts.items()
            if items is not None
        }
        return [
            {"class": label, **{name: int(count[index]) for name, count in found.items()}}
            for index, label in enumerate(self.classes)
        ]

    def describe(self) -> str:
        """Say in one line what it is."""
        parts = ((name, getattr(self, name)) for name in ("train", "valid", "test"))
        shown = ", ".join(f"{name} {len(items):,}" for name, items in parts if items is not None)
        shape = " x ".join(str(part) for part in (self.channels, *self.size))
        skipped = f"; {len(self.skipped)} skipped" if self.skipped else ""
        return f"data: {self.unit}s of {shape}, {len(self.classes)} classes; {shown}{skipped}"


class TrainingItems(Dataset[dict[str, Any]]):
    """Positions without end over shuffled items; what is drawn for one depends on the seed and its position alone.

    Args:
        items: The inputs.
        seed: Of order and changes.
    """

    def __init__(self, items: Items, seed: int) -> None:
        self.items, self.seed = items, seed
        self.order = ShuffledOrder(len(items), seed)

    def __getitem__(self, position: int) -> dict[str, Any]:
        _, index = self.order.locate(position)
        inputs = self.items.training(index, item_seed(self.seed, _CHANGES, position))
        return {"inputs": inputs, "label": int(self.items.labels[index]), "position": position}


class ScoringItems(Dataset[dict[str, Any]]):
    """All items once, in order, as they are measured.

    Args:
        items: The inputs.
    """

    def __init__(self, items: Items) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"inputs": self.items.scoring(index), "label": int(self.items.labels[index]), "position": index}


class Subset(Items):
    """Some of the items.

    Args:
        items: All of them.
        rows: Which.
    """

    def __init__(self, items: Items, rows: np.ndarray) -> None:
        self.items, self.rows = items, np.asarray(rows, dtype=np.int64)
        self.labels = items.labels[self.rows]

    @property
    def names(self) -> Sequence[str]:  # type: ignore[override]
        """One name each."""
        return [self.items.names[row] for row in self.rows]

    def scoring(self, index: int) -> Tensor:
        """See `Items`."""
        return self.items.scoring(int(self.rows[index]))

    def views(self, index: int) -> Tensor:
        """See `Items`."""
        return self.items.views(int(self.rows[index]))

    def training(self, index: int, seed: int) -> Tensor:
        """See `Items`."""
        return self.items.training(int(self.rows[index]), seed)


def stratified(
    labels: np.ndarray,
    fractions: Sequence[float],
    seed: int,
    *,
    classes: Sequence[str] | None = None,
    source: str = "",
) -> list[np.ndarray]:
    """Deal rows out so that every part has its share of each class; the rest comes last.

    Args:
        labels: (n,) classes.
        fractions: Share of each part, from 0 on, below 1 together.
        seed: Decides which rows.
        classes: Names, for the message.
        source: What they are from, for the message.

    Returns:
        The rows of each part, then those that are left, all ascending.

    Raises:
        UserError: The fractions do not fit, or a class has too few rows to be in every part.
    """
    if not all(0 <= share < 1 for share in fractions) or sum(fractions) >= 1:
        raise UserError(f"the fractions {tuple(fractions)} must be at least 0 and below 1 together")
    parts: list[list[int]] = [[] for _ in range(len(fractions) + 1)]
    wanted = sum(share > 0 for share in fractions) + 1
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        if len(rows) < wanted:
            name = str(label) if classes is None else classes[int(label)]
            inputs = "1 input" if len(rows) == 1 else f"{len(rows)} inputs"
            where = f"{source}: " if source else ""
            raise UserError(f"{where}class {name!r} has {inputs}, too few for {wanted} splits; add some or drop it")
        order = ShuffledOrder(len(rows), item_seed(seed, int(label)))
        dealt = [int(rows[order.index(0, rank)]) for rank in range(len(rows))]
        for number, count in enumerate(_shares(len(rows), fractions)):
            parts[number] += dealt[:count]
            dealt = dealt[count:]
        parts[-1] += dealt
    return [np.sort(np.asarray(part, dtype=np.int64)) for part in parts]


def _shares(count: int, fractions: Sequence[float]) -> list[int]:
    """Return how many of `count` rows each part gets: one at least where any are wanted, and one is left."""
    given = [max(1, round(share * count)) if share > 0 else 0 for share in fractions]
    while sum(given) >= count:
        given[int(np.argmax(given))] -= 1
    return given
