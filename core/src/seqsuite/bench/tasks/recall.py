"""Recall: a table is read, then asked for by key.

`MultiQueryRecall` is MQAR (Arora et al. 2023, https://arxiv.org/abs/2312.04927). `JointRecall` makes the
value depend on a key and on the context it stands in, and asks for the whole table (Zhan et al. 2025,
https://arxiv.org/abs/2507.00449).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from seqsuite.bench.tasks.base import Batch, Task, answered, distinct, uniform
from seqsuite.errors import UserError
from seqsuite.mixers.options import check_range


@dataclass(frozen=True, kw_only=True)
class MultiQueryRecall(Task):
    """Pairs of key and value; behind them each key once more, where its value is asked for.

    Keys come from the lower half of the ids, values from the upper; the keys of a row differ. The queries
    stand at even offsets behind the table, at distances drawn without replacement from a power law,
    weights (1 + i) ** (power - 1), so that most are asked soon; between them stand random ids. The number
    of pairs grows with the length, one for every `spacing` positions: 16 in the easiest rows of the paper, 4 in
    the hardest.

    Args:
        length: Positions of the row, even.
        shortest: See `Task`.
        spacing: Positions a pair; 4 (no room is left) is the hardest.
        ids: Number of token ids, keys and values together.
        power: Exponent of the power law; 1 spreads the queries evenly.
    """

    name: ClassVar[str] = "mqar"
    least_length: ClassVar[int] = 4
    length: int = 64
    spacing: int = 8
    ids: int = 128
    power: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        owner = f"task {self.name!r}"
        check_range(owner, {"spacing": self.spacing, "ids": self.ids}, least=4)
        check_range(owner, {"power": self.power}, above=0)
        for name in ("length", "shortest"):
            if getattr(self, name) % 2:
                raise UserError(f"{owner}: {name} must be even, not {getattr(self, name)}")

    @property
    def vocab_size(self) -> int:
        """Keys and values."""
        return self.ids

    @property
    def chance(self) -> float:
        """One value in all; a value of the row in all those of the row would be better at few pairs."""
        return 1 / (self.ids - self.ids // 2)

    def draw_at(self, rows: int, length: int, generator: Generator) -> Batch:
        """Draw a batch of rows of `length` positions, the next even number."""
        length += length % 2
        pairs, half = max(1, length // self.spacing), self.ids // 2
        if pairs > half:
            raise UserError(f"task {self.name!r}: {length} positions need {pairs} keys; raise ids to {2 * pairs}")
        keys = distinct(pairs, half, rows, generator)
        values = uniform(half, self.ids, (rows, pairs), generator)
        table = torch.stack((keys, values), 2).flatten(1)
        slots = (length - 2 * pairs) // 2
        weights = torch.arange(1, slots + 1, dtype=torch.float64) ** (self.power - 1)
        places = 2 * pairs + 2 * torch.multinomial(weights.expand(rows, -1), pairs, generator=generator)
        inputs = uniform(0, self.ids, (rows, length), generator)
        inputs[:, : 2 * pairs] = table
        inputs = inputs.scatter(1, places, keys)
        targets = torch.zeros_like(inputs).scatter(1, places, values)
        where = torch.zeros_like(inputs, dtype=torch.bool).scatter(1, places, True)
        return answered(inputs, targets, where)


@dataclass(frozen=True, kw_only=True)
class JointRecall(Task):
    """A table context x key -> value, block by block, then all of it again in another order, values asked for.

    A block is its context and behind it, for each key in random order, the key and its value. The same keys
    stand in every block, with other values, so that neither key nor context alone decides. In the second half
    contexts and keys are shuffled anew and each value is asked for at its key; as in a language model
    the right value then follows. Ids: 0 begins the second half, then contexts, keys, values.

    Args:
        length: Contexts of the table.
        shortest: See `Task`.
        keys: Keys a context.
        most_contexts: Kinds of contexts; no table is longer.
        most_keys: Kinds of keys, of which a table uses `keys`.
        values: Kinds of values.
    """

    name: ClassVar[str] = "joint_recall"
    length: int = 4
    keys: int = 4
    most_contexts: int = 16
    most_keys: int = 16
    values: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        owner = f"task {self.name!r}"
        check_range(owner, {"keys": self.keys}, least=1)
        check_range(owner, {"values": self.values}, least=2)
        if self.keys > self.most_keys:
            raise UserError(f"{owner}: keys must not be above most_keys, {self.keys} and {self.most_keys}")
        if self.length > self.most_contexts:
            raise UserError(f"{owner}: length must not be above most_contexts, {self.length} and {self.most_contexts}")

    @property
    def vocab_size(self) -> int:
        """The separator, contexts, keys and values."""
        return 1 + self.most_contexts + self.most_keys + self.values

    @property
    def chance(self) -> float:
        """One value in all."""
        return 1 / self.values

    def draw_at(self, rows: int, length: int, generator: Generator) -> Batch:
        """Draw a batch of tables of `length` contexts."""
        if length > self.most_contexts:
            raise UserError(f"task {self.name!r}: a table of {length} contexts needs most_contexts of that many")
        contexts = 1 + distinct(length, self.most_contexts, rows, generator)
        keys = 1 + self.most_contexts + distinct(self.keys, self.most_keys, rows, generator)
        first_value = 1 + self.most_contexts + self.most_keys
        values = uniform(first_value, self.vocab_size, (rows, length, self.keys), generator)
        halves = [self._read(contexts, keys, values, generator) for _ in range(2)]
        start = torch.zeros(rows, 1, dtype=torch.long)
        inputs = torch.cat((halves[0], start, halves[1]), 1)
        # A value is predicted where its key stands, one position in front of it.
        following = torch.cat((inputs[:, 1:], start), 1)
        asked = torch.arange(inputs.shape[1]) > halves[0].shape[1]
        return answered(inputs, following, (following >= first_value) & asked)

    def _read(self, contexts: Tensor, keys: Tensor, values: Tensor, generator: Generator) -> Tensor:
        """Return the table as a row of tokens, contexts and keys of each context in an order of their own."""
        rows, length, count = values.shape
        order = torch.rand(rows, length, generator=generator).argsort(1)
        within = torch.rand(rows, length, count, generator=generator).argsort(2)
        shuffled = values.gather(1, order[..., None].expand(-1, -1, count)).gather(2, within)
        named = keys[:, None].expand(-1, length, -1).gather(2, within)
        pairs = torch.stack((named, shuffled), 3).flatten(2)  # (B, contexts, 2 keys)
        return torch.cat((contexts.gather(1, order)[..., None], pairs), 2).flatten(1)
