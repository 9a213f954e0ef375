"""Typed options by name: the one check behind mixer arguments and model configs (torch-free).

Annotations are the schema. A value is checked against its annotation and brought into the form that
the annotation names: JSON's lists become tuples, a mapping becomes the dataclass it stands for, an
int is taken where a float is asked for, numpy's scalars become Python's, and so does text that is
exactly a number or a truth value (a command line's nested options arrive as text). Wrong names,
wrong types and values out of range are one-line `UserError`s.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import numbers
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar, Union

from seqsuite.errors import UserError, unknown_name

Config = TypeVar("Config")


_NUMBERS = {int: r"[+-]?\d{1,300}", float: r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"}


class _Mismatch(Exception):
    """The value does not fit the annotation."""


def _show(annotation: Any) -> str:
    if typing.get_origin(annotation) is Literal:
        return "one of " + ", ".join(repr(choice) for choice in typing.get_args(annotation))
    if typing.get_origin(annotation) in (Union, types.UnionType):
        return " or ".join(_show(part) for part in typing.get_args(annotation))
    if annotation is type(None):
        return "None"
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")


def _convert_sequence(value: Any, annotation: Any) -> Any:
    origin, arguments = typing.get_origin(annotation) or annotation, typing.get_args(annotation)
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise _Mismatch
    if origin is not tuple:
        return [_convert(item, arguments[0] if arguments else Any) for item in value]
    if not arguments or (len(arguments) == 2 and arguments[1] is Ellipsis):
        return tuple(_convert(item, arguments[0] if arguments else Any) for item in value)
    if len(arguments) != len(value):
        raise _Mismatch
    return tuple(_convert(item, part) for item, part in zip(value, arguments, strict=True))


def _parse(text: str, kind: type) -> Any:
    """Return the int, float or bool that a text is exactly, or raise `_Mismatch`."""
    if kind is bool and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if kind in _NUMBERS and re.fullmatch(_NUMBERS[kind], text, re.ASCII):
        return kind(text)
    raise _Mismatch


def _plain(value: Any) -> Any:
    """Return a scalar of numpy's as Python's own, which JSON knows; anything else as it is."""
    if type(value) in (bool, int, float):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    return float(value) if isinstance(value, numbers.Real) else value


def _convert(value: Any, annotation: Any) -> Any:
    """Return `value` in the annotation's form, or raise `_Mismatch`."""
    origin = typing.get_origin(annotation) or annotation
    value = _plain(value)
    if annotation is Any:
        return value
    if origin in (Union, types.UnionType):
        # An exact member first: True must stay a bool in `float | bool`.
        parts = sorted(typing.get_args(annotation), key=lambda part: type(value) is not part)
        for part in parts:
            try:
                return _convert(value, part)
            except _Mismatch:
                continue
        raise _Mismatch
    if origin is Literal:
        if not any(value == choice and type(value) is type(choice) for choice in typing.get_args(annotation)):
            raise _Mismatch
        return value
    if origin in (tuple, list, Sequence):
        return _convert_sequence(value, annotation)
    if origin in (dict, Mapping):
        if not isinstance(value, Mapping):
            raise _Mismatch
        key_type, value_type = typing.get_args(annotation) or (Any, Any)
        return {_convert(key, key_type): _convert(item, value_type) for key, item in value.items()}
    if dataclasses.is_dataclass(origin) and isinstance(value, Mapping):
        return build_config(typing.cast(type[Any], origin), value)
    if origin in (bool, int, float) and isinstance(value, str):
        return _parse(value, origin)
    if origin is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(origin, type) or not isinstance(value, origin) or (origin is int and isinstance(value, bool)):
        raise _Mismatch
    return value


def convert(owner: str, name: str, value: Any, annotation: Any) -> Any:
    """Check one value against its annotation.

    Args:
        owner: What the option belongs to, for the message ("model 'caduceus_ps'").
        name: The option's name.
        value: The value given.
        annotation: The type it must have.

    Returns:
        The value in the annotation's form.

    Raises:
        UserError: It does not fit; one line names the owner, the option, the type and the value.
    """
    try:
        return _convert(value, annotation)
    except _Mismatch:
        shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
        kind = "" if value is None else f" ({type(value).__name__})"
        raise UserError(f"{owner}: {name} must be {_show(annotation)}, not {shown}{kind}") from None


def check_range(
    owner: str, values: Mapping[str, float], *, least: float | None = None, above: float | None = None
) -> None:
    """Check that numbers are finite and not too small.

    Args:
        owner: What the options belong to, for the message.
        values: The numbers by name.
        least: The smallest value allowed.
        above: What the values must exceed.

    Raises:
        UserError: One does not; one line names the owner, the option, the bound and the value.
    """
    for name, value in values.items():
        if not -math.inf < value < math.inf:
            raise UserError(f"{owner}: {name} must be finite, not {value}")
        if least is not None and value < least:
            raise UserError(f"{owner}: {name} must be at least {least}, not {value}")
        if above is not None and value <= above:
            raise UserError(f"{owner}: {name} must be above {above}, not {value}")


def _field_types(cls: type[Any]) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls) if field.init}


def _checked(owner: str, values: Mapping[str, Any], types_: Mapping[str, Any], kind: str) -> dict[str, Any]:
    for name in values:
        if name not in types_:
            raise unknown_name(f"{kind} of {owner}", name, types_)
    return {name: convert(owner, name, value, types_[name]) for name, value in values.items()}


def build_config(cls: type[Config], values: Mapping[str, Any], *, owner: str | None = None) -> Config:
    """Build a dataclass from a mapping (parsed JSON or YAML), strictly.

    Raises:
        UserError: An unknown or missing field, or a value of the wrong type.
    """
    owner = owner or cls.__name__
    checked = _checked(owner, values, _field_types(cls), "field")
    missing = [
        field.name
        for field in dataclasses.fields(cls)  # type: ignore[arg-type]
        if field.init
        and field.name not in checked
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise UserError(f"{owner}: {', '.join(missing)} must be given")
    return cls(**checked)


def replace_config(config: Config, overrides: Mapping[str, Any], *, owner: str | None = None) -> Config:
    """Return a copy of a dataclass with some fields replaced, checked as `build_config` does.

    A mapping given for a nested dataclass replaces only the fields it names.
    """
    owner = owner or type(config).__name__
    types_ = _field_types(type(config))
    values = {}
    for name, value in overrides.items():
        current = getattr(config, name, None)
        if name in types_ and dataclasses.is_dataclass(current) and isinstance(value, Mapping):
            value = replace_config(current, value, owner=f"{owner}.{name}")
        values[name] = value
    return dataclasses.replace(config, **_checked(owner, values, types_, "option"))  # type: ignore[type-var]


def check_arguments(function: Callable[..., Any], owner: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Check keyword arguments by name and type against a class's or function's signature.

    Positional parameters (a mixer's `d_model`) are the caller's; only keyword-only ones are options.

    Raises:
        UserError: An unknown or positional name, or a value of the wrong type.
    """
    target: Any = function
    if isinstance(function, type):
        target = function.__init__  # type: ignore[misc]
    hints = typing.get_type_hints(target)
    parameters = inspect.signature(target).parameters.values()
    types_ = {p.name: hints.get(p.name, Any) for p in parameters if p.kind is p.KEYWORD_ONLY}
    for name in {p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD} & set(given):
        raise UserError(f"{owner}: {name} is not an option: it is set by whoever builds it")
    return _checked(owner, given, types_, "option")
