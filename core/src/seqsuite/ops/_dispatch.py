"""Which path an operator takes, and why: argument, context manager, environment, then the call itself.

An `Operator` lists its paths in order of preference. A path that cannot serve a call says so in one
sentence (`refuse`); `explain_backend` collects these sentences. Nothing here imports Triton: whether
it is installed is read from the import system's index, and a broken installation surfaces only when
the path is used.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from inspect import signature
from typing import Any

import torch

from seqsuite.errors import UserError, unknown_name

BACKENDS = ("triton", "portable", "reference")
VARIABLE = "SEQSUITE_BACKEND"
_FOLDERS = (
    "_selective_scan",
    "_causal_conv1d",
    "_long_conv",
    "_einfft",
    "_rnn_scan",
    "_attention",
    "_delta_rule",
    "_ssd",
    "_ssm_kernel",
    "_linear_scan",
)
_FOUND = find_spec("triton") is not None
_asked: ContextVar[str | None] = ContextVar("seqsuite_backend", default=None)
_operators: dict[str, Operator] = {}


def _constant_when_traced(function: Callable[..., Any]) -> Callable[..., Any]:
    """What `torch.compiler.assume_constant_result` does, without importing torch._dynamo, which takes a second."""
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


@dataclass(frozen=True)
class Operator:
    """One operator and what its paths can serve.

    Attributes:
        name: The public function's name.
        function: The public function.
        summary: One line for listings.
        limit: (sizes of a call) -> reason why the Triton kernels cannot serve it, or None.
        sizes: (the call's arguments) -> the sizes that `limit` looks at.
        run_on: The GPU that the Triton kernels were run on and compared with float64; "" where never.
        main: The operand whose device and dtype decide; "" for the first.
    """

    name: str
    function: Callable[..., Any]
    summary: str
    limit: Callable[[dict[str, int]], str | None]
    sizes: Callable[..., dict[str, int]]
    run_on: str = ""
    main: str = ""

    @property
    def kernels(self) -> str:
        """What is known of its Triton kernels, in a few words."""
        package = self.function.__module__.rpartition(".")[0]
        if find_spec(f"{package}.triton") is None:
            return "none of its own"
        return f"run on {self.run_on}" if self.run_on else "never run on a GPU so far"

    def refuse(self, backend: str, device: str, dtype: torch.dtype, sizes: dict[str, int]) -> str | None:
        """Return why `backend` cannot serve such a call, or None if it can."""
        if backend != "triton":
            return None
        if not triton_installed():
            return "Triton is not installed"
        if device != "cuda" and not interpreted():
            return f"Triton kernels need a CUDA device, the tensors are on {device}"
        if dtype == torch.float64:
            return "the Triton kernels compute in float32, the input is float64"
        return self.limit(sizes)


@dataclass(frozen=True)
class Choice:
    """The path chosen for a call, who asked for it, and why the others were not taken."""

    operator: str
    backend: str
    asked_by: str
    rejected: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        others = "; ".join(f"not {name}: {why}" for name, why in self.rejected.items())
        return f"{self.operator}: {self.backend} ({self.asked_by})" + (f"; {others}" if others else "")


def add_operator(operator: Operator) -> None:
    """Enter an operator into the listing."""
    _operators[operator.name] = operator


def operators() -> dict[str, Operator]:
    """Return every operator by name."""
    for folder in _FOLDERS:
        import_module(f"seqsuite.ops.{folder}.op")
    return dict(_operators)


@contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Ask for one path ("triton", "portable" or "reference") within a block.

    Under torch.compile the choice is made when the function is traced.

    Args:
        name: The path's name.

    Raises:
        seqsuite.errors.UnknownNameError: If there is no such path.
    """
    token = _asked.set(_known(name))
    try:
        yield
    finally:
        _asked.reset(token)


def explain_backend(operator: str | Callable[..., Any], *args: Any, **options: Any) -> Choice:
    """Tell which path a call would take and why the others would not be.

    Args:
        operator: An operator's name or public function.
        *args: The call's arguments, as they would be given to the operator; without any, a float32 call on this
            machine's best device is assumed.
        **options: Those given by name.

    Returns:
        The choice; `str()` of it is one line.

    Raises:
        TypeError: If the operator does not take such arguments.
        seqsuite.errors.UserError: If there is no such operator, or the backend asked for cannot serve the call.
    """
    name = operator if isinstance(operator, str) else getattr(operator, "__name__", str(operator))
    table = operators()
    if name not in table:
        raise unknown_name("operator", name, table)
    backend = options.pop("backend", None)
    if not args and not options:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return choose(table[name], device, torch.float32, {}, backend)
    try:
        call = signature(table[name].function).bind(*args, **options)
    except TypeError as error:
        raise TypeError(f"{name}: {error}") from None
    main = call.arguments[table[name].main or next(iter(call.arguments))]
    return choose(table[name], main.device.type, main.dtype, table[name].sizes(*call.args, **call.kwargs), backend)


def choose(operator: Operator, device: str, dtype: torch.dtype, sizes: dict[str, int], backend: str | None) -> Choice:
    """Choose the path of a call from what was asked for, else the first that is made for it."""
    asked, asked_by = (_known(backend), "backend argument") if backend is not None else _standing_wish()
    rejected: dict[str, str] = {}
    if asked:
        reason = operator.refuse(asked, device, dtype, sizes)
        if reason:
            raise UserError(f"{operator.name}: backend {asked!r} cannot serve this call: {reason}; use 'portable'")
        return Choice(operator.name, asked, asked_by, {b: f"{asked_by} names {asked}" for b in BACKENDS if b != asked})
    for name in BACKENDS:
        reason = operator.refuse(name, device, dtype, sizes)
        if reason is None and name == "triton" and device != "cuda":
            reason = "Triton's interpreter is for tests and runs only when asked for"
        if reason is None:
            rejected |= {b: f"{name} comes first" for b in BACKENDS if b != name and b not in rejected}
            return Choice(operator.name, name, "automatic", rejected)
        rejected[name] = reason
    raise AssertionError("the portable path serves every call")


@_constant_when_traced
def triton_installed() -> bool:
    """Whether the import system finds Triton; nothing is imported."""
    return _FOUND


@_constant_when_traced
def interpreted() -> bool:
    """Whether Triton kernels run in Triton's interpreter (TRITON_INTERPRET=1)."""
    return os.environ.get("TRITON_INTERPRET") == "1"


@_constant_when_traced
def _standing_wish() -> tuple[str | None, str]:
    """What `use_backend` or the environment asks for, and which of them."""
    if _asked.get():
        return _asked.get(), "use_backend"
    variable = os.environ.get(VARIABLE)
    return (_known(variable, f"value of {VARIABLE}"), f"environment variable {VARIABLE}") if variable else (None, "")


def _known(name: str, kind: str = "backend") -> str:
    if name not in BACKENDS:
        raise unknown_name(kind, str(name), BACKENDS)
    return name
