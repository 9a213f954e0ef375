"""Numbers as tokens: a digit and its power of ten, after the Regression Transformer (Born and Manica, 2023).

`-3.534` is `_-_ _3_0_ _._ _5_-1_ _3_-2_ _4_-3_`. The published reading of a property is in `split_property` and
`published_float`, silent failures included (`1e-05` is read as 1, `.5` as nothing at all). `property_tokens` is ours:
it writes such numbers out, lays them to the width of their `NumberFormat`, and refuses what is no number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING

from seqsuite.errors import UserError

if TYPE_CHECKING:
    from seqchem.tokenizers.numbers import NumberFormat

MASK = "[MASK]"
_PUBLISHED = re.compile(r"\s*(<\w+>)\s*?([+-])?(\d+)(\.)?(\d+)?\s*")
_PROPERTY = re.compile(r"\s*<([^<>|]+)>(.*)", re.DOTALL)
_PLAIN = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_MASKED = re.compile(r"\[MASK\]|[0-9.+-]")
_DIGIT_TOKEN = re.compile(r"_([0-9])_(-?[0-9]+)_")
_LONGEST = 40


@lru_cache(maxsize=65536)
def _published(text: str) -> tuple[str, ...]:
    match = _PUBLISHED.match(text)
    if match is None:
        return ()
    name, sign, integer, dot, decimals = match.groups()
    return (name, *_tokens(sign or "", integer, dot or "", decimals or ""))


def split_property(text: str) -> list[str]:
    """Return the tokens of `<name>number` in the published reading; text after the number is ignored.

    A number that does not begin with a digit gives no token at all, and reading stops at an exponent: see
    `property_tokens` for the reading that never changes a number.
    """
    return list(_published(text))


def number_tokens(text: str) -> list[str]:
    """Return the tokens of a plain decimal number, sign and dot as written.

    Raises:
        UserError: The text is no plain decimal number (digits, perhaps a sign and a dot).
    """
    if _PLAIN.fullmatch(text) is None:
        raise UserError(f"{text!r} is not a plain decimal number.")
    sign = text[0] if text[0] in "+-" else ""
    integer, dot, decimals = text[len(sign) :].partition(".")
    return list(_tokens(sign, integer, dot, decimals))


def _tokens(sign: str, integer: str, dot: str, decimals: str) -> tuple[str, ...]:
    last = len(integer) - 1
    return (
        *([f"_{sign}_"] if sign else []),
        *(f"_{digit}_{last - place}_" for place, digit in enumerate(integer)),
        *(["_._"] if dot else []),
        *(f"_{digit}_-{place}_" for place, digit in enumerate(decimals, 1)),
    )


def plain_number(text: str) -> str:
    """Return a number written out without exponent and with a leading digit; its value does not change.

    Raises:
        UserError: The text is no finite number, or would need more than 40 characters.
    """
    text = text.strip()
    if _PLAIN.fullmatch(text):
        return text
    if _NUMBER.fullmatch(text) is None:
        raise UserError(f"{text!r} is not a number.")
    value = Decimal(text)
    # The exponent is looked at before the digits are written: 1e999999 would take a megabyte.
    plus = "+" if text.startswith("+") else ""
    if abs(value.adjusted()) > _LONGEST or len(written := f"{plus}{value:f}") > _LONGEST:
        raise UserError(f"{text!r} has too many digits for tokens: give the property a number format.")
    return written


def property_name(token: str) -> str:
    """Return a property's name without its angle brackets.

    Raises:
        UserError: The name is empty or holds one of `<`, `>`, `|` or a line break.
    """
    name = token[1:-1] if token.startswith("<") and token.endswith(">") else token
    if not name.strip() or re.search(r"[<>|\r\n]", name):
        raise UserError(f"{token!r} cannot name a property: it must not be empty nor hold '<', '>', '|'.")
    return name


def read_property(text: str) -> tuple[str, str]:
    """Return name and number text of `<name>number`.

    Raises:
        UserError: The text has another form.
    """
    match = _PROPERTY.fullmatch(text)
    if match is None:
        raise UserError(f"{text!r} is not a property: write <name>number before '|'.")
    return match[1], match[2].strip()


@lru_cache(maxsize=65536)
def property_tokens(text: str, number_format: NumberFormat | None = None) -> tuple[str, ...]:
    """Return the tokens of `<name>number` so that the number keeps its value.

    Exponents and missing leading digits are written out, the width is that of the number format. Single tokens may
    be `[MASK]`, as in `<qed>0.[MASK][MASK][MASK]`.

    Args:
        text: A property; its number is in the units of the text (normalised, where the format is).
        number_format: How this property's numbers are laid out, if that is fixed.

    Raises:
        UserError: There is no number, or the format cannot hold it without changing it.
    """
    name, number = read_property(text)
    try:
        if MASK in number:
            tokens = _masked_tokens(number, number_format)
        elif number_format is not None:
            tokens = number_tokens(number_format.layout(number))
        else:
            tokens = number_tokens(plain_number(number))
    except UserError as error:
        raise UserError(f"Property <{name}>: {error}") from None
    return (f"<{name}>", *tokens)


def _masked_tokens(number: str, number_format: NumberFormat | None) -> list[str]:
    """Return the tokens of a number of which some are [MASK]; a mask without a format stands for a digit."""
    pieces = _MASKED.findall(number)
    if "".join(pieces) != number:
        raise UserError(f"{number!r} is neither a number nor [MASK] tokens.")
    if number_format is None:
        plain = "".join("0" if piece == MASK else piece for piece in pieces)
        tokens = number_tokens(plain)
    else:
        slots = number_format.slots()
        if len(slots) != len(pieces):
            raise UserError(f"{number!r} has {len(pieces)} tokens, the number format {len(slots)}.")
        tokens = [_in_slot(piece, slot, number) for piece, slot in zip(pieces, slots, strict=True)]
    return [MASK if piece == MASK else token for piece, token in zip(pieces, tokens, strict=True)]


def _in_slot(piece: str, slot: tuple[str, ...], number: str) -> str:
    for token in slot:
        if piece == MASK or token.split("_")[1] == piece:
            return token
    raise UserError(f"{number!r}: {piece!r} does not fit the number format at its place.")


def published_float(tokens: Sequence[str]) -> float:
    """Return the number of some tokens in the published reading: positions ignored, -1 for what is no number."""
    try:
        return float("".join(token.split("_")[1] for token in tokens))
    except ValueError:
        return -1


def tokens_float(tokens: Sequence[str]) -> float:
    """Return the number of some tokens, NaN where signs, dot or the powers of ten are out of order."""
    text = "".join(token[1:-1].partition("_")[0] for token in tokens)
    if _PLAIN.fullmatch(text) is None or number_tokens(text) != list(tokens):
        return math.nan
    return float(text)


def digit_value(token: str) -> tuple[int, int] | None:
    """Return digit and power of ten of a token such as `_7_-2_`, None for any other token."""
    match = _DIGIT_TOKEN.fullmatch(token)
    return None if match is None else (int(match[1]), int(match[2]))
