"""Number formats of published Regression Transformers: inference.json, read without executing any of it, and written.

    formats, reasons = formats_from_published(json.load(open("inference.json")), vocabulary)
    inference = formats_to_published(formats, {}, vocabulary)

The file says which properties a model knows (`property_token`), in which range (`property_ranges`), written with how
many tokens (`property_mask_length`) and whether as a part of the range (`normalize`). Some have functions written as
Python (`denormalization_fns`), which the published code evaluates. Here their text is taken apart, and understood only
where it is a straight line, a x + b.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from seqchem.tokenizers import NumberFormat, missing_tokens
from seqsuite.errors import UserError

_FUNCTIONS = re.compile(r"(de)?normali[sz](ation|e)_(fns?|functions?)")
_SAFE_CALLS = ("float", "round")


def linear_form(text: str) -> tuple[float, float] | None:
    """Return the slope and the intercept of a function written as Python, None unless it is a straight line.

    Known are a name, numbers, + - * /, brackets, `float(...)`, `round(..., n)`, each alone or behind `lambda x:`.

    Args:
        text: Such as ``lambda x: x * 14.2 - 11.6``. It is parsed and never evaluated.
    """
    if len(text) > 500:
        return None
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} - set(_SAFE_CALLS)
    if isinstance(tree, ast.Lambda):
        arguments = tree.args
        given = [*arguments.posonlyargs, *arguments.args]
        if len(given) != 1 or arguments.vararg or arguments.kwarg or arguments.kwonlyargs or arguments.defaults:
            return None
        names, tree = {given[0].arg}, tree.body
    if len(names) != 1:
        return None
    found = _line(tree, *names)
    return None if found is None or not all(map(math.isfinite, found)) else found


def _line(node: ast.expr, name: str) -> tuple[float, float] | None:
    """Return (a, b) of an expression a x + b."""
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return 0.0, float(value)
        case ast.Name(id=found) if found == name:
            return 1.0, 0.0
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            line = _line(inner, name)
            return None if line is None else (-line[0], -line[1])
        case ast.UnaryOp(op=ast.UAdd(), operand=inner):
            return _line(inner, name)
        case ast.Call(func=ast.Name(id=called), args=[inner, *others], keywords=[]) if called in _SAFE_CALLS:
            plain = all(isinstance(other, ast.Constant) for other in others)
            return _line(inner, name) if plain and len(others) <= (called == "round") else None
        case ast.BinOp(left=left, op=operation, right=right):
            return _combined(_line(left, name), operation, _line(right, name))
    return None


def _combined(
    left: tuple[float, float] | None, operation: ast.operator, right: tuple[float, float] | None
) -> tuple[float, float] | None:
    if left is None or right is None:
        return None
    match operation:
        case ast.Add():
            return left[0] + right[0], left[1] + right[1]
        case ast.Sub():
            return left[0] - right[0], left[1] - right[1]
        case ast.Mult() if not (left[0] and right[0]):
            return left[0] * right[1] + left[1] * right[0], left[1] * right[1]
        case ast.Div() if not right[0] and right[1]:
            return left[0] / right[1], left[1] / right[1]
    return None


def formats_from_published(
    inference: Mapping[str, Any], vocabulary: Sequence[str]
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Return the number format of each property by its bare name, and why others have none.

    Args:
        inference: What inference.json holds.
        vocabulary: The model's tokens.

    Raises:
        UserError: Parts of the file are not what they should be.
    """
    tokens = inference.get("property_token", [])
    tokens = [tokens] if isinstance(tokens, str) else tokens
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise UserError("inference.json: property_token must be a name or a list of names")
    formats: dict[str, dict[str, Any]] = {}
    reasons: dict[str, str] = {}
    for index, token in enumerate(tokens):
        try:
            form = _format(inference, token, index)
            lacking = missing_tokens(vocabulary, (token, *(one for slot in form.slots() for one in slot)))
            if lacking:
                raise UserError(f"the vocabulary lacks {', '.join(lacking[:3])}")
        except UserError as error:
            reasons[token.strip("<>")] = str(error)
        else:
            formats[token.strip("<>")] = form.to_dict()
    return formats, reasons


def _format(inference: Mapping[str, Any], token: str, index: int) -> NumberFormat:
    width = _of(inference, "property_mask_length", token, index, None)
    low, high = _range(_of(inference, "property_ranges", token, index, [0, 1]))
    if width is None:
        raise UserError("inference.json does not say its property_mask_length")
    if not isinstance(width, int) or width < 1:
        raise UserError(f"its property_mask_length is {width!r}")
    normalized = bool(_of(inference, "normalize", token, index, True))
    for key in inference:
        spelled = _FUNCTIONS.fullmatch(key)
        text = _of(inference, key, token, index, None) if spelled else None
        if spelled and text is not None:
            low, high = _ends(key, text, inverse=spelled[1] is None)
            normalized = True
    if normalized:
        return NumberFormat(low, high, decimals=max(width - 2, 0))
    return _plain_format(low, high, width)


def _plain_format(low: float, high: float, width: int) -> NumberFormat:
    """Return the format of numbers that are written as they are."""
    if low < 0:
        raise UserError("its numbers are written as they are, with a sign before the negative ones only: they have no "
                        "constant width")  # fmt: skip
    digits = len(str(int(high)))
    decimals = 0 if width <= digits else width - digits - 1
    if width < digits or (width > digits and not decimals):
        raise UserError(f"numbers up to {high:g} do not fit its property_mask_length, {width}")
    if (low, high, digits) == (0, 1, 1) and decimals:
        return NumberFormat(0.0, 1.0, decimals=decimals)  # the same numbers, and none above 1.999
    return NumberFormat(low, high, decimals=decimals, integer_digits=digits, normalized=False)


def _of(inference: Mapping[str, Any], key: str, token: str, index: int, default: Any) -> Any:
    """Return a property's entry of a mapping, a list, or one value for all."""
    found = inference.get(key)
    if isinstance(found, Mapping):
        return found.get(token, found.get(token.strip("<>"), default))
    if isinstance(found, list):
        return found[index] if index < len(found) else default
    return default if found is None else found


def _range(found: Any) -> tuple[float, float]:
    try:
        low, high = (float(end) for end in found)
    except (TypeError, ValueError):
        raise UserError(f"its property_ranges are {found!r}, not two numbers") from None
    if not low < high:
        raise UserError(f"its property_ranges are {low:g} to {high:g}")
    return low, high


def _ends(key: str, text: Any, *, inverse: bool) -> tuple[float, float]:
    """Return what 0 and 1 mean in user units."""
    line = linear_form(text) if isinstance(text, str) else None
    if line is None or not line[0]:
        shown = text if len(str(text)) <= 60 else f"{str(text)[:57]}..."
        raise UserError(f"its {key}, {shown!r}, is no straight line, and nothing else is understood")
    slope, intercept = line
    # Normalising maps the user's numbers to 0..1, the inverse maps back.
    ends = ((0 - intercept) / slope, (1 - intercept) / slope) if inverse else (intercept, intercept + slope)
    if not ends[0] < ends[1]:
        raise UserError(f"its {key} turns the order of numbers around")
    return ends


def formats_to_published(
    formats: Mapping[str, Mapping[str, Any]], published: Mapping[str, Any], vocabulary: Sequence[str]
) -> dict[str, Any]:
    """Return what inference.json says of number formats.

    Args:
        formats: Name without brackets -> fields of a NumberFormat.
        published: The inference.json that a model was imported with; it is returned where it says the same.
        vocabulary: The model's tokens.
    """
    if published and formats_from_published(published, vocabulary)[0] == {name: dict(f) for name, f in formats.items()}:
        return dict(published)
    known = {f"<{name}>": NumberFormat.from_dict(values) for name, values in formats.items()}
    return {
        "property_token": list(known),
        "property_ranges": {token: [form.minimum, form.maximum] for token, form in known.items()},
        "property_mask_length": {token: len(form.slots()) for token, form in known.items()},
        "normalize": [form.normalized for form in known.values()],
        "max_span_length": published.get("max_span_length", 7),
    }


def formats_from_ranges(ranges: Sequence[str], vocabulary: Sequence[str], decimals: int) -> dict[str, dict[str, Any]]:
    """Return the formats of properties whose range the user tells.

    Args:
        ranges: ``name=minimum:maximum`` each.
        vocabulary: The model's tokens.
        decimals: Digits behind the dot.

    Raises:
        UserError: One does not read like that, or the vocabulary lacks the property.
    """
    formats = {}
    for text in ranges:
        name, _, ends = text.partition("=")
        try:
            low, high = (float(end) for end in ends.split(":"))
        except ValueError:
            raise UserError(f"--ranges {text}: give name=minimum:maximum, as in esol=-11.6:1.6") from None
        bare = name.strip().strip("<>")
        form = NumberFormat(low, high, decimals=decimals)
        lacking = missing_tokens(vocabulary, (f"<{bare}>", *(one for slot in form.slots() for one in slot)))
        if lacking:
            known = ", ".join(token for token in vocabulary if re.fullmatch(r"<\w+>", token))
            raise UserError(f"--ranges {text}: the vocabulary lacks {lacking[0]}; its properties are {known}")
        formats[bare] = form.to_dict()
    return formats
