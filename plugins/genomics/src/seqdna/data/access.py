"""Random access to the text of single regions, without the token cache: what indexed FASTA and .2bit have in common.

For a command that needs a few regions of a large genome. Both kinds open their file once in each process, so that
they travel to forked or spawned workers.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from seqdna.data.genome import outside
from seqsuite.errors import UserError, unknown_name

_COMPLEMENT = bytes.maketrans(b"ACGTURYKMBDHVacgturykmbdhv", b"TGCAAYRMKVHDBtgcaayrmkvhdb")


class PaddedText(NamedTuple):
    """A window's letters, and how many of them, at its left and right end, lie outside the record and are N."""

    text: bytes
    left: int
    right: int

    @property
    def padding(self) -> int:
        """Number of N put in for bases that the record does not have."""
        return self.left + self.right


class RandomAccess:
    """Named sequences in a file.

    Attributes:
        path: The file.
        lengths: Length of each record by name.
    """

    path: Path
    lengths: dict[str, int]

    @property
    def names(self) -> list[str]:
        """Names of the records, in the file's order."""
        return list(self.lengths)

    def fetch(self, record: str, start: int, end: int) -> bytes:
        """Return bases `start` .. `end` - 1 of a record as letters, in the case they have in the file."""
        raise NotImplementedError

    def fetch_padded(self, record: str, start: int, end: int, strand: str = "+") -> PaddedText:
        """Return a window that may reach beyond the record, N where it does, and how many letters are N for that.

        Args:
            record: Name of the record.
            start: First base, counted on the forward strand; may be negative.
            end: One beyond the last base; may lie beyond the record.
            strand: ``"-"`` gives the reverse complement of the window; `left` and `right` are its own ends.

        Raises:
            UserError: Unknown record.
        """
        if start > end or strand not in ("+", "-"):
            raise ValueError(f"a window needs start <= end and a strand + or -, got {start}, {end}, {strand!r}")
        left, right, inside = outside(start, end, self._length(record))
        text = b"N" * left + self.fetch(record, *inside) + b"N" * right
        return PaddedText(text, left, right) if strand == "+" else PaddedText(other_strand(text), right, left)

    def _length(self, record: str) -> int:
        if record not in self.lengths:
            raise unknown_name("record", record, self.lengths)
        return self.lengths[record]

    def _check(self, record: str, start: int, end: int) -> None:
        length = self._length(record)
        if not 0 <= start <= end <= length:
            raise UserError(f"{record}:{start}-{end} reaches beyond the record, which has bases 0-{length}.")


def other_strand(text: bytes) -> bytes:
    """Return the reverse complement of a text, ambiguity codes and case included."""
    return text.translate(_COMPLEMENT)[::-1]
