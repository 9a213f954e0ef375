"""Where a NaN or an infinity first appears: `SEQSUITE_DEBUG=nan`.

With the variable set, every operator looks at what it was given and what it returns, and a residual stack says
in which layer that was; the first one raises `NonFiniteError` with the tensor, the row and the step. Without it
nothing is looked at. On a GPU each look waits for the device.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from inspect import signature
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

from seqsuite.errors import unknown_name
from seqsuite.ops._dispatch import _constant_when_traced

VARIABLE = "SEQSUITE_DEBUG"
_WORDS = ("nan",)
_TIMELESS = ("state", "weight", "bias")
"""How the names of tensors begin that have no time axis."""
P = ParamSpec("P")
R = TypeVar("R")


class NonFiniteError(FloatingPointError):
    """A NaN or an infinity where none may be."""


@_constant_when_traced
def watching() -> bool:
    """Whether SEQSUITE_DEBUG holds "nan" (words with commas between them).

    Raises:
        seqsuite.errors.UnknownNameError: If it holds another word: a misspelt one would look at nothing.
    """
    words = {word.strip() for word in os.environ.get(VARIABLE, "").split(",")} - {""}
    for word in words - set(_WORDS):
        raise unknown_name(f"value of {VARIABLE}", word, _WORDS)
    return "nan" in words


def require_finite(owner: str, tensors: Mapping[str, Any], *, infinity: bool = False) -> None:
    """Raise unless the tensors are finite, naming the first place that is not.

    Args:
        owner: What the tensors belong to.
        tensors: By name: (B, L, ...), or without a time axis if the name begins with "state", "weight" or "bias" or
            there are only two axes; what is not a floating-point tensor is passed by.
        infinity: Infinities are allowed.

    Raises:
        NonFiniteError: One is not; the message names owner, tensor, row and step.
    """
    for name, x in tensors.items():
        if not isinstance(x, Tensor) or not (x.is_floating_point() or x.is_complex()):
            continue
        bad = x.isnan() if infinity else ~x.isfinite()
        if bool(bad.any()):
            timed = x.ndim > 2 and not name.startswith(_TIMELESS)
            raise NonFiniteError(f"{owner}: {name} {_place(x, bad, timed=timed)}")


def _place(x: Tensor, bad: Tensor, *, timed: bool) -> str:
    """Describe the earliest bad element: over time where there is a time axis, else of the lowest row."""
    order = bad.movedim(1, 0) if timed else bad
    first = torch.nonzero(order)[0].tolist()
    if timed:
        first[:2] = first[1::-1]
    value = "NaN" if bool(x[tuple(first)].isnan()) else "infinite"
    row, *rest = first or [0]
    where = f"row {row}" + (f", step {rest.pop(0)}" if timed else "") + (f", channel {rest}" if rest else "")
    return f"is {value} at {where} ({int(bad.sum())} of {bad.numel()} elements)"


def watched(function: Callable[P, R]) -> Callable[P, R]:
    """Let an operator look at its operands (NaN) and results (NaN and infinity) when asked to."""
    names = signature(function)

    @wraps(function)
    def look(*args: P.args, **kwargs: P.kwargs) -> R:
        if not watching():
            return function(*args, **kwargs)
        given = names.bind(*args, **kwargs).arguments
        require_finite(f"{function.__name__}, operand", _called(given), infinity=True)
        found = function(*args, **kwargs)
        y, *states = found if isinstance(found, tuple) else (found,)
        require_finite(f"{function.__name__}, result", {"y": y, **{f"state {i}": s for i, s in enumerate(states)}})
        return found

    return look


def _called(given: dict[str, Any]) -> dict[str, Any]:
    """Name every tensor: those of a pair by their places, and states, which have no time axis, so that it shows."""
    called: dict[str, Any] = {}
    for name, x in given.items():
        parts = {f"{name}[{i}]": part for i, part in enumerate(x)} if isinstance(x, tuple) else {name: x}
        called |= {f"state {part}" if "state" in part else part: value for part, value in parts.items()}
    return called


@contextmanager
def located(owner: str) -> Iterator[None]:
    """Put a layer's name in front of what is found within."""
    try:
        yield
    except NonFiniteError as error:
        raise NonFiniteError(f"{owner}: {error}") from None


def looked(owner: str, run: Callable[..., Any], x: Tensor, *rest: Any) -> Any:
    """Run a layer on an input and perhaps a state; say whose the first NaN or infinity is, if it is looked for.

    Args:
        owner: Place and class of the layer.
        run: From (x, *rest) to an output, or to an output and a state.
        x: (B, L, D) or (B, D).
        rest: Further arguments.
    """
    if not watching():
        return run(x, *rest)
    with located(owner):
        require_finite("before it", {"input": x})
        found = run(x, *rest)
        out, after = found if isinstance(found, tuple) else (found, ())
        require_finite("behind it", {"output": out})
        if isinstance(after, tuple):
            fields = getattr(after, "_fields", range(len(after)))
            require_finite("behind it", {f"state {n}": part for n, part in zip(fields, after, strict=True)})
    return found
