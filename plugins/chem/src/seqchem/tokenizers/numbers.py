"""How the numbers of a property are written: range, digits and sign, fixed once on the training values.

    qed = NumberFormat.from_values([0.12, 0.94, 0.55])     # normalised to the range, three decimals
    qed.format(0.55)                                       # "0.524"
    qed.parse("0.524")                                     # 0.54968, in the user's units
    qed.slots()                                            # the tokens that may stand at each place

Every number of a format has the same width, so a masked number is a fixed run of tokens, and any choice of one token
a slot is a number. A value that the format cannot hold is refused, never bent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from decimal import Decimal
from functools import cached_property
from typing import Any, Self

from seqchem.tokenizers.properties import number_tokens, plain_number
from seqsuite.errors import UserError, unknown_name

_MOST_DIGITS = 15  # a double holds this many decimal digits unchanged
_LARGEST = 1e300  # leaves room for the differences of two numbers
_DIGITS = "0123456789"


@dataclass(frozen=True)
class NumberFormat:
    """The layout of one property's numbers.

    Attributes:
        minimum: Smallest training value, user units.
        maximum: Largest training value, user units.
        decimals: Digits behind the dot; 0 writes no dot.
        integer_digits: Digits before the dot.
        signed: Whether every number begins with its sign (+ or -).
        normalized: Whether the text holds (value - minimum) / (maximum - minimum) in place of the value.
    """

    minimum: float
    maximum: float
    decimals: int = 3
    integer_digits: int = 1
    signed: bool = False
    normalized: bool = True

    def __post_init__(self) -> None:
        if not -_LARGEST <= self.minimum < self.maximum <= _LARGEST:
            raise UserError(
                f"A number format needs a range within +-{_LARGEST:g}, got {self.minimum} to {self.maximum}."
            )
        digits = self.decimals + self.integer_digits
        if self.decimals < 0 or self.integer_digits < 1 or digits > _MOST_DIGITS:
            raise UserError(
                f"A number format holds 1 to {_MOST_DIGITS} digits, at least one of them before the dot; "
                f"got {self.integer_digits} + {self.decimals}: normalise the property or ask for fewer decimals."
            )

    @classmethod
    def from_values(
        cls, values: Iterable[float], *, decimals: int = 3, normalize: bool = True, name: str = "the property"
    ) -> Self:
        """Fit a format to the training values.

        Whole numbers from 0 to 9 are class labels: one digit, as they are. Other values are mapped to 0..1, or with
        `normalize=False` written as they are with the digits and the sign they need (whole numbers without a dot).

        Args:
            values: Training values, user units; missing ones left out.
            decimals: Digits behind the dot.
            normalize: Whether to map the range to 0..1.
            name: The property, for messages.

        Raises:
            UserError: No value, a value that is not finite, all values equal, or too many digits.
        """
        numbers = [float(value) for value in values]
        wrong = sum(not math.isfinite(number) for number in numbers)
        if wrong:
            raise UserError(f"{name}: {wrong} of {len(numbers)} values are not finite: leave these rows out.")
        if not numbers or min(numbers) == max(numbers):
            found = f"all {len(numbers)} values are {numbers[0]:g}" if numbers else "there are no values"
            raise UserError(f"{name}: {found}: there is nothing to learn.")
        low, high = min(numbers), max(numbers)
        whole = all(number.is_integer() for number in numbers)
        if whole and 0 <= low and high <= 9:
            return cls(low, high, decimals=0, normalized=False)
        if normalize:
            return cls(low, high, decimals=decimals)
        return cls._plain(low, high, 0 if whole else decimals, name)

    @classmethod
    def _plain(cls, low: float, high: float, decimals: int, name: str) -> Self:
        bound = max(abs(low), abs(high))
        if bound >= 10.0**_MOST_DIGITS:
            raise UserError(f"{name}: values up to {bound:g} have too many digits: normalise the property.")
        digits = len(f"{bound:.{max(decimals, 0)}f}".partition(".")[0])
        found = cls(low, high, decimals, digits, signed=low < 0, normalized=False)
        if found.format(low) == found.format(high):
            raise UserError(f"{name}: {low:g} to {high:g} needs more than {decimals} decimals: normalise the property.")
        return found

    @property
    def resolution(self) -> float:
        """The step between two neighbouring numbers, user units; may be 0 for the smallest floats."""
        step = 10.0**-self.decimals
        return (self.maximum - self.minimum) * step if self.normalized else step

    @property
    def labels(self) -> range | None:
        """The class labels if the format holds labels (one digit as it is, no sign), else None."""
        if self.normalized or self.signed or self.decimals or self.integer_digits > 1 or self.minimum < 0:
            return None
        return range(math.floor(self.minimum), min(math.ceil(self.maximum), 9) + 1)

    def outside(self, value: float) -> bool:
        """Return whether a value (user units) lies outside the trained range, or is no number."""
        return not self.minimum <= value <= self.maximum

    def format(self, value: float, *, clip: bool = False) -> str:
        """Write a value.

        Args:
            value: In user units.
            clip: Whether a value outside the trained range is moved to its border.

        Returns:
            Text of constant width, normalised where the format is.

        Raises:
            UserError: The value is not finite, or the format cannot hold it.
        """
        value = float(value)
        if not math.isfinite(value):
            raise UserError(f"{value} is not a number that can be written.")
        if clip:
            value = min(max(value, self.minimum), self.maximum)
        text = self._write(self._unit(value) if self.normalized else value)
        if not self.fits(text):
            raise UserError(f"{value:g} is too far outside the trained range {self.minimum:g} to {self.maximum:g}.")
        return text

    def _unit(self, value: float) -> float:
        return (value - self.minimum) / (self.maximum - self.minimum)

    def _write(self, number: float) -> str:
        width = self.integer_digits + (self.decimals + 1 if self.decimals else 0) + self.signed
        return f"{number:{'+' if self.signed else ''}z0{width}.{self.decimals}f}"

    def fits(self, text: str) -> bool:
        """Return whether a text is a number of this format: one character a slot."""
        return len(text) == len(self._characters) and all(
            character in slot for character, slot in zip(text, self._characters, strict=True)
        )

    def layout(self, text: str) -> str:
        """Return a number, in the units of the text, in the width of this format and with the same value.

        Raises:
            UserError: The text is no number, or the format has too few digits for it.
        """
        if self.fits(text):
            return text
        plain = plain_number(text)
        laid = self._write(float(plain))
        if not self.fits(laid) or Decimal(laid) != Decimal(plain):
            raise UserError(f"{text!r} does not fit the number format, which writes like {self._write(0.0)!r}.")
        return laid

    def parse(self, text: str) -> float:
        """Return the value of a number in user units.

        Raises:
            UserError: The text is no number.
        """
        number = float(plain_number(text))
        if not self.normalized:
            return number
        # Weighted ends, so that 0 and 1 give minimum and maximum exactly.
        return self.minimum * (1 - number) + self.maximum * number

    def tokens(self, value: float, *, clip: bool = False) -> list[str]:
        """Return the tokens of a value (user units); see `format`."""
        return number_tokens(self.format(value, clip=clip))

    def read(self, tokens: Sequence[str]) -> float:
        """Return the value of tokens in user units, NaN unless each of them is allowed in its slot."""
        slots = self.slots()
        if len(tokens) != len(slots) or any(token not in slot for token, slot in zip(tokens, slots, strict=True)):
            return math.nan
        return self.parse("".join(token.split("_")[1] for token in tokens))

    @cached_property
    def _characters(self) -> tuple[str, ...]:
        first = _DIGITS
        if self.labels is not None:
            first = "".join(map(str, self.labels))
        elif self.normalized and self.integer_digits == 1:
            first = "01"
        return (
            *(["+-"] if self.signed else []),
            first,
            *[_DIGITS] * (self.integer_digits - 1),
            *([".", *[_DIGITS] * self.decimals] if self.decimals else []),
        )

    @cached_property
    def _slots(self) -> tuple[tuple[str, ...], ...]:
        example = number_tokens(self._write(0.0))
        pairs = zip(example, self._characters, strict=True)
        return tuple(tuple(f"_{character}_{token[3:]}" for character in allowed) for token, allowed in pairs)

    def slots(self) -> tuple[tuple[str, ...], ...]:
        """Return the tokens allowed at each place of a number: the grammar of this format."""
        return self._slots

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> Self:
        """Rebuild the format that `to_dict` described.

        Raises:
            UserError: An unknown or missing key, or a range or digits that are not possible.
        """
        known = [field.name for field in fields(cls)]
        for key in settings:
            if key not in known:
                raise unknown_name("number format field", key, known)
        for key in ("minimum", "maximum"):
            if not isinstance(settings.get(key), (int, float)):
                raise UserError(f"A number format needs a number as {key}, got {settings.get(key)!r}.")
        return cls(**settings)
