"""ListOps: nested lists of digits under MAX, MIN, MED and SM, as in the Long Range Arena.

Nangia and Bowman 2018 (https://arxiv.org/abs/1804.06028); Tay et al. 2021
(https://arxiv.org/abs/2011.04006), whose generator takes an operator with probability 1/4 at each node above the
greatest depth, 2 to 10 arguments, and rejects expressions that are too short or too long. MED is the
median rounded down, SM the sum modulo 10. The brackets of an operator are tokens: "[MAX" opens, "]" closes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import torch
from torch import Generator

from seqsuite.bench.tasks.base import Batch, Task, answered
from seqsuite.errors import UserError
from seqsuite.mixers.options import check_range

OPERATORS = ("MAX", "MIN", "MED", "SM")
CLOSE, ASK, BLANK = 14, 15, 16
_OPERATOR_SHARE = 0.25
_TRIES = 20_000

Tree: TypeAlias = "int | tuple[str, tuple[Tree, ...]]"


def value(tree: Tree) -> int:
    """Return the digit that an expression stands for."""
    if isinstance(tree, int):
        return tree
    operator, arguments = tree
    digits = sorted(value(argument) for argument in arguments)
    middle = len(digits) // 2
    if operator == "MAX":
        return digits[-1]
    if operator == "MIN":
        return digits[0]
    if operator == "SM":
        return sum(digits) % 10
    return digits[middle] if len(digits) % 2 else (digits[middle - 1] + digits[middle]) // 2


def tokens(tree: Tree) -> list[int]:
    """Return an expression as ids: digits 0 to 9, operators 10 to 13, `CLOSE`."""
    if isinstance(tree, int):
        return [tree]
    operator, arguments = tree
    inner = [token for argument in arguments for token in tokens(argument)]
    return [10 + OPERATORS.index(operator), *inner, CLOSE]


@dataclass(frozen=True, kw_only=True)
class ListOps(Task):
    """Read an expression, then say its value, one digit of ten; shorter expressions have blanks in front.

    Expressions have more than half of `length` tokens and at most `length`. The outermost node is an operator: a
    single digit is too short in any case. Ids beyond the expression's: 15 asks for the value, at the end; 16 is blank.

    Args:
        length: Most tokens of an expression (2000 in the Long Range Arena, 500 at least).
        shortest: See `Task`.
        depth: Greatest depth, that of a digit included (10 there).
        arguments: Most arguments of an operator (10 there).
    """

    name: ClassVar[str] = "listops"
    least_length: ClassVar[int] = 8
    length: int = 64
    depth: int = 6
    arguments: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(f"task {self.name!r}", {"depth": self.depth, "arguments": self.arguments}, least=2)

    @property
    def vocab_size(self) -> int:
        """Digits, operators, closing bracket, question and blank."""
        return BLANK + 1

    @property
    def chance(self) -> float:
        """A digit in ten; the values are not even, so that a constant guess is somewhat better."""
        return 0.1

    def draw_at(self, rows: int, length: int, generator: Generator) -> Batch:
        """Draw a batch of expressions of length / 2 to `length` tokens."""
        dice = _Dice(generator)
        chosen = [self._expression(length, dice) for _ in range(rows)]
        inputs = torch.full((rows, length + 1), BLANK)
        targets = torch.zeros_like(inputs)
        for row, (written, answer) in enumerate(chosen):
            inputs[row, length - len(written) :] = torch.tensor([*written, ASK])
            targets[row, -1] = answer
        where = (torch.arange(length + 1) == length).expand(rows, -1)
        return answered(inputs, targets, where)

    def _expression(self, length: int, dice: _Dice) -> tuple[Sequence[int], int]:
        for _ in range(_TRIES):
            dice.nodes = 0
            tree = self._node(1, length, dice)
            if tree is not None and length // 2 < len(written := tokens(tree)) <= length:
                return written, value(tree)
        raise UserError(
            f"task {self.name!r}: {_TRIES} expressions of depth {self.depth} with up to {self.arguments} arguments had "
            f"none of {length // 2 + 1} to {length} tokens; raise depth or arguments"
        )

    def _node(self, depth: int, room: int, dice: _Dice) -> Tree | None:
        """Return a random expression, or None once it has more nodes than an acceptable one could have."""
        dice.nodes += 1
        if dice.nodes > room:
            return None
        if depth > 1 and (depth >= self.depth or dice.fraction() >= _OPERATOR_SHARE):
            return dice.below(10)
        count = 2 + dice.below(self.arguments - 1)
        arguments = []
        for _ in range(count):
            argument = self._node(depth + 1, room, dice)
            if argument is None:
                return None
            arguments.append(argument)
        return OPERATORS[dice.below(len(OPERATORS))], tuple(arguments)


class _Dice:
    """Single draws from a generator, which makes them by the hundred: one tensor a draw would be slow."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self._left: list[float] = []
        self.nodes = 0

    def fraction(self) -> float:
        if not self._left:
            self._left = torch.rand(128, generator=self._generator, dtype=torch.float64).tolist()
        return self._left.pop()

    def below(self, count: int) -> int:
        return int(self.fraction() * count)
