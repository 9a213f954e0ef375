"""Regions as samtools writes them: ``chr1:1,001-2,000`` is 1-based and holds both ends."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from seqdna.data.names import resolve_names
from seqsuite.errors import UserError

_SPAN = re.compile(r"([\d,]+)(?:-([\d,]*))?")


@dataclass(frozen=True)
class Region:
    """The bases `start` .. `end` - 1 of a record, 0-based; `str` gives the 1-based form."""

    record: str
    start: int
    end: int

    def __str__(self) -> str:
        return f"{self.record}:{self.start + 1}-{self.end}"


def parse_region(text: str, lengths: Mapping[str, int]) -> Region:
    """Read a region: ``chr1``, ``chr1:1001`` (to the end), or ``chr1:1,001-2,000``.

    Args:
        text: The region; record names may hold colons.
        lengths: Bases of every record by name.

    Raises:
        UserError: Unknown record (with near names), no numbers, or bases that the record does not have.
    """
    if text in lengths:
        return Region(text, 0, lengths[text])
    record, colon, span = text.rpartition(":")
    numbers = _SPAN.fullmatch(span) if colon else None
    if numbers is None:
        if colon and record in lengths:
            raise UserError(f"--region {text}: write it as {record}:START-END, 1-based with both ends.")
        return parse_region(resolve_names([text], lengths, where="--region: ")[text], lengths)
    record = resolve_names([record], lengths, where="--region: ")[record]
    length = lengths[record]
    start = int(numbers[1].replace(",", "") or 0)
    end = int(numbers[2].replace(",", "")) if (numbers[2] or "").strip(",") else length
    if not 1 <= start <= end <= length:
        raise UserError(f"--region {text}: not within {record}, which has the bases 1 to {length:,}.")
    return Region(record, start - 1, end)
