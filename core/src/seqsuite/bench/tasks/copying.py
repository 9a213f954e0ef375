"""Copying: memory of what stood where.

`Copying` repeats a text after a marker, each token given after it was asked for, as language models
copy (Jelassi et al. 2024, https://arxiv.org/abs/2402.01032). `SelectiveCopying` has its few tokens strewn
among noise and asks for them in order behind it (Jing et al. 2019; Gu and Dao 2023, section 3.1 and
appendix E.1). `InductionHeads` asks what followed a mark that stood somewhere in the text (Olsson et
al. 2022; in this form Fu et al. 2023 and Gu and Dao 2023).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator

from seqsuite.bench.tasks.base import Batch, Task, answered, uniform
from seqsuite.errors import UserError
from seqsuite.mixers.options import check_range


@dataclass(frozen=True, kw_only=True)
class Copying(Task):
    """Start, n random tokens, a marker, and the n tokens again; length is n, the row has 2 n + 1 positions.

    Ids: 0 start, 1 marker, then the letters. Behind the marker position i predicts token i of the text;
    the tokens copied before are given, the last one is not.

    Args:
        length: Tokens to copy.
        shortest: See `Task`.
        letters: Kinds of tokens. More letters make runs of two or three tokens unique, by which attention
            can find its place; fewer make the text repeat itself.
    """

    name: ClassVar[str] = "copying"
    length: int = 24
    shortest: int = 8
    letters: int = 30

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(f"task {self.name!r}", {"letters": self.letters}, least=2)

    @property
    def vocab_size(self) -> int:
        """Letters, start and marker."""
        return self.letters + 2

    @property
    def chance(self) -> float:
        """One letter in all."""
        return 1 / self.letters

    def draw_at(self, rows: int, length: int, generator: Generator) -> Batch:
        """Draw a batch of texts of `length` tokens."""
        text = uniform(2, self.vocab_size, (rows, length), generator)
        start = torch.zeros(rows, 1, dtype=torch.long)
        inputs = torch.cat((start, text, start + 1, text[:, :-1]), 1)
        targets = torch.cat((start.expand(rows, length + 1), text), 1)
        where = torch.arange(2 * length + 1) > length
        return answered(inputs, targets, where.expand(rows, -1))


@dataclass(frozen=True, kw_only=True)
class SelectiveCopying(Task):
    """A few tokens at random places among noise, then as many markers: there they are asked for, in order.

    Ids: 0 noise, 1 marker, then the letters. The distances between the tokens vary, so that no fixed filter
    over time can line them up: what is remembered must depend on the content.

    Args:
        length: Positions in front of the markers.
        shortest: See `Task`.
        tokens: How many tokens to remember.
        letters: Kinds of tokens.
    """

    name: ClassVar[str] = "selective_copying"
    least_length: ClassVar[int] = 2
    length: int = 64
    tokens: int = 8
    letters: int = 14

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(f"task {self.name!r}", {"letters": self.letters}, least=2)
        if not 1 <= self.tokens <= (self.shortest or self.length):
            raise UserError(f"task {self.name!r}: tokens must be between 1 and the shortest length, not {self.tokens}")

    @property
    def vocab_size(self) -> int:
        """Letters, noise and marker."""
        return self.letters + 2

    @property
    def chance(self) -> float:
        """One letter in all."""
        return 1 / self.letters

    def draw_at(self, rows: int, length: int, generator: Generator) -> Batch:
        """Draw a batch with `length` positions in front of the markers."""
        letters = uniform(2, self.vocab_size, (rows, self.tokens), generator)
        places = torch.rand(rows, length, generator=generator).argsort(1)[:, : self.tokens].sort(1).values
        front = torch.zeros(rows, length, dtype=torch.long).scatter(1, places, letters)
        inputs = torch.cat((front, torch.ones_like(letters)), 1)
        targets = torch.cat((torch.zeros_like(front), letters), 1)
        where = torch.arange(length + self.tokens) >= length
        return answered(inputs, targets, where.expand(rows, -1))


@dataclass(frozen=True, kw_only=True)
class InductionHeads(Task):
    """Random tokens with a mark somewhere among them and again at the end: which token followed it?

    Ids: 0 mark, then the letters. Only the last position counts.

    Args:
        length: Positions of the row.
        shortest: See `Task`.
        letters: Kinds of tokens.
    """

    name: ClassVar[str] = "induction_heads"
    least_length: ClassVar[int] = 3
    length: int = 64
    letters: int = 15

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(f"task {self.name!r}", {"letters": self.letters}, least=2)

    @property
    def vocab_size(self) -> int:
        """Letters and mark."""
        return self.letters + 1

    @property
    def chance(self) -> float:
        """One letter in all."""
        return 1 / self.letters

    def draw_at(self, rows: int, length: int, generator: Generator) -> Batch:
        """Draw a batch of rows of `length` positions."""
        inputs = uniform(1, self.vocab_size, (rows, length), generator)
        place = uniform(0, length - 2, (rows, 1), generator)
        answer = inputs.gather(1, place + 1)
        inputs = inputs.scatter(1, place, 0)
        inputs[:, -1] = 0
        where = (torch.arange(length) == length - 1).expand(rows, -1)
        return answered(inputs, answer.expand(rows, length), where)
