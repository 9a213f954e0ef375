"""Goals on a command line: `qed=0.9`, `logp=2~0.3` (at most 0.3 away), and for a search `logp=+2` (two more than now).

Torch-free: configs read their goals with it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from seqsuite.errors import UserError


@dataclass(frozen=True)
class PropertyGoal:
    """What is wanted of one property.

    Attributes:
        name: The property.
        value: The wanted value, or with `relative` the wanted change, in the property's unit.
        relative: Whether the value is a change.
        tolerance: How far from the value is still good, in the property's unit; None leaves it to the caller.
    """

    name: str
    value: float
    relative: bool = False
    tolerance: float | None = None


def parse_goals(texts: Iterable[str], *, relative: bool = True) -> tuple[PropertyGoal, ...]:
    """Read goals.

    Args:
        texts: NAME=VALUE each, behind it, it may be, ~TOLERANCE.
        relative: A value with a sign is a change; False: every value is a value.

    Returns:
        The goals in their order.

    Raises:
        UserError: A text has another form, or a property has two goals.
    """
    goals = [_goal(text, relative) for text in texts]
    names = [goal.name for goal in goals]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"--goal: {name} has two goals; give one")
    return tuple(goals)


def _goal(text: str, relative: bool) -> PropertyGoal:
    name, equals, value = text.rpartition("=")
    number, tilde, tolerance = value.strip().partition("~")
    example = "logp=+1" if relative else "qed=0.9"
    if not equals or not name.strip():
        raise UserError(f"--goal {text!r}: write NAME=VALUE, as in {example}")
    width = _number(text, tolerance, example) if tilde else None
    if width is not None and width <= 0:
        raise UserError(f"--goal {text!r}: the tolerance behind ~ must be above 0")
    signed = relative and number.strip().startswith(("+", "-"))
    return PropertyGoal(name.strip().strip("<>"), _number(text, number, example), signed, width)


def _number(text: str, number: str, example: str) -> float:
    try:
        value = float(number)
    except ValueError as error:
        raise UserError(f"--goal {text!r}: {number.strip()!r} is no number; write it as in {example}") from error
    if not math.isfinite(value):
        raise UserError(f"--goal {text!r}: the value must be finite")
    return value
