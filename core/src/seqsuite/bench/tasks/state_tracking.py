"""State tracking: the product of all group elements read so far, parity being the smallest group.

A word problem over a finite group (Merrill et al. 2024, https://arxiv.org/abs/2404.08819): each position
gives an element, drawn evenly, and asks for g_t ... g_2 g_1. Solvable groups such as Z_n and S3 lie in
TC0, S5 does not unless TC0 = NC1. Linear recurrences whose transition has positive eigenvalues cannot even keep
parity; eigenvalues in [-1, 1] and products of Householder steps can (Grazzi et al. 2025,
https://arxiv.org/abs/2411.12537; Siems et al. 2025, https://arxiv.org/abs/2502.10297).
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import torch
from torch import Generator, Tensor

from seqsuite.bench.tasks.base import Batch, Task, uniform
from seqsuite.errors import UserError


@cache
def multiplication(group: str) -> Tensor:
    """Return the (n, n) table ``table[g, h] = g h`` of a group.

    Args:
        group: "Z" and a number (addition modulo it), "S" and a number (all permutations of so many things) or "A"
            (the even ones). Permutations are numbered in dictionary order, so that 0 is the identity;
            g h means h first, then g.

    Raises:
        UserError: Another name, or a group of more than 1000 elements.
    """
    found = re.fullmatch(r"([ZSA])(\d{1,3})", group)
    number = int(found[2]) if found else 0
    if found is None or number < 2 or (found[1] != "Z" and number > 6) or (found[1] == "A" and number < 3):
        raise UserError(f"group {group!r} is not known; give Z2 to Z999, S2 to S6, or A3 to A6")
    if found[1] == "Z":
        elements = torch.arange(number)
        return (elements[:, None] + elements) % number
    permutations = list(itertools.permutations(range(number)))
    if found[1] == "A":
        permutations = [p for p in permutations if not sum(a > b for a, b in itertools.combinations(p, 2)) % 2]
    index = {permutation: place for place, permutation in enumerate(permutations)}
    table = [[index[tuple(g[i] for i in h)] for h in permutations] for g in permutations]
    return torch.tensor(table)


@dataclass(frozen=True, kw_only=True)
class GroupWord(Task):
    """The running product of group elements; every position is trained on, the last quarter is scored.

    The early positions are easy and say nothing about length: a score beyond the training length would
    be flattered by them.

    Args:
        length: Elements of the row.
        shortest: See `Task`.
        group: The group, see `multiplication`; harder from Z2 over S3 to S5.
    """

    name: ClassVar[str] = "group"
    length: int = 40
    shortest: int = 3
    group: str = "S3"

    def __post_init__(self) -> None:
        super().__post_init__()
        multiplication(self.group)

    @property
    def vocab_size(self) -> int:
        """Elements of the group."""
        return len(multiplication(self.group))

    @property
    def chance(self) -> float:
        """One element in all."""
        return 1 / self.vocab_size

    def draw_at(self, rows: int, length: int, generator: Generator) -> Batch:
        """Draw a batch of words of `length` elements."""
        table = multiplication(self.group)
        inputs = uniform(0, len(table), (rows, length), generator)
        product, targets = inputs[:, 0], [inputs[:, 0]]
        for element in inputs[:, 1:].unbind(1):
            product = table[element, product]
            targets.append(product)
        late = torch.arange(length) >= length - max(1, length // 4)
        everywhere = torch.ones_like(inputs, dtype=torch.bool)
        return Batch(inputs, torch.stack(targets, 1), everywhere, late.expand(rows, -1))


@dataclass(frozen=True, kw_only=True)
class Parity(GroupWord):
    """Whether the number of ones so far is odd: the group Z2."""

    name: ClassVar[str] = "parity"
    group: str = "Z2"


@dataclass(frozen=True, kw_only=True)
class Cyclic(GroupWord):
    """The sum so far modulo a number, 5 unless `group` says another: Z5."""

    name: ClassVar[str] = "cyclic"
    group: str = "Z5"


@dataclass(frozen=True, kw_only=True)
class SymmetricThree(GroupWord):
    """Permutations of three things: the smallest group whose order of factors matters."""

    name: ClassVar[str] = "s3"
    group: str = "S3"


@dataclass(frozen=True, kw_only=True)
class SymmetricFive(GroupWord):
    """Permutations of five things: the smallest symmetric group that is not solvable."""

    name: ClassVar[str] = "s5"
    group: str = "S5"
