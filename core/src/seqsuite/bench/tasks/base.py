"""What every synthetic task is: a frozen description that draws batches from an explicit generator.

    task = Parity(length=40)
    batch = task.draw(64, torch.Generator().manual_seed(0))
    batch.inputs, batch.targets, batch.loss, batch.scored      # each (64, L)

At a position that counts the model's output is compared with `targets`, which a causal model can know
from the inputs up to and including that position. Loss and accuracy look at marked positions only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Generator, Tensor

from seqsuite.errors import UserError
from seqsuite.mixers.options import check_range


class Batch(NamedTuple):
    """One batch of a task.

    Attributes:
        inputs: (B, L) token ids.
        targets: (B, L) token ids to be predicted; 0 where nothing is.
        loss: (B, L) bool, positions that are trained on.
        scored: (B, L) bool, positions whose accuracy counts: all of `loss`, or the late ones among them.
    """

    inputs: Tensor
    targets: Tensor
    loss: Tensor
    scored: Tensor


@dataclass(frozen=True, kw_only=True)
class Task:
    """Base of the tasks; a subclass adds its difficulty and writes `draw_at`.

    Args:
        length: Training length, in the task's own unit (bits, tokens to copy, ...).
        shortest: Batches of a training run have a length between this and `length`, drawn evenly; 0: always `length`.
    """

    name: ClassVar[str]
    least_length: ClassVar[int] = 1
    length: int = 40
    shortest: int = 0

    def __post_init__(self) -> None:
        owner = f"task {self.name!r}"
        check_range(owner, {"length": self.length}, least=self.least_length)
        if self.shortest and not self.least_length <= self.shortest <= self.length:
            raise UserError(
                f"{owner}: shortest must be between {self.least_length} and length ({self.length}), not {self.shortest}"
            )

    @property
    def vocab_size(self) -> int:
        """Number of token ids, of inputs and targets together."""
        raise NotImplementedError

    @property
    def chance(self) -> float:
        """Accuracy of a guess that knows the task and not the input."""
        raise NotImplementedError

    def draw_at(self, rows: int, length: int, generator: Generator) -> Batch:
        """Draw a batch at one length."""
        raise NotImplementedError

    def draw(self, rows: int, generator: Generator) -> Batch:
        """Draw a training batch: its length is that of the task, or between `shortest` and it."""
        length = self.length
        if self.shortest:
            length = int(torch.randint(self.shortest, self.length + 1, (), generator=generator))
        return self.draw_at(rows, length, generator)


def uniform(low: int, high: int, shape: tuple[int, ...], generator: Generator) -> Tensor:
    """Return whole numbers from `low` to `high` - 1."""
    return torch.randint(low, high, shape, generator=generator)


def distinct(count: int, below: int, rows: int, generator: Generator) -> Tensor:
    """Return (rows, count) whole numbers below `below`, each row without repetition and in random order."""
    return torch.rand(rows, below, generator=generator).argsort(1)[:, :count]


def answered(inputs: Tensor, targets: Tensor, where: Tensor) -> Batch:
    """Return a batch whose marked positions are both trained on and scored.

    Args:
        inputs: (B, L).
        targets: (B, L); what is not marked becomes 0.
        where: (B, L) bool.
    """
    return Batch(inputs, targets * where, where, where)
