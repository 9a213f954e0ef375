"""A genome as token ids: named records in one long uint8 array, in memory or memory-mapped.

A base has two addresses: (record, position), and its coordinate, the index into the whole array. The map is
opened on first use in each process and left out of pickles, so that a genome travels to forked or spawned
workers for the price of its table of records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from seqdna.tokenizers import Census, NucleotideTokenizer, Text
from seqsuite.errors import UserError, unknown_name


@dataclass(frozen=True)
class Record:
    """One sequence of a genome: its bases are tokens `offset` .. `offset + length - 1` of the array."""

    name: str
    offset: int
    length: int
    census: Census


def outside(start: int, end: int, length: int) -> tuple[int, int, tuple[int, int]]:
    """Return how many bases of a window lie before and behind a record of `length`, and (start, end) of the rest."""
    left = min(max(-start, 0), end - start)
    right = min(max(end - length, 0), end - start - left)
    inside = (start + left, end - right) if left + right < end - start else (0, 0)
    return left, right, inside


class PaddedIds(NamedTuple):
    """A window of ids (L,) uint8, and how many of them, at its left and right end, lie outside the record and are N."""

    ids: np.ndarray
    left: int
    right: int

    @property
    def padding(self) -> int:
        """Number of N put in for bases that the record does not have."""
        return self.left + self.right


class Genome:
    """Token ids of one or more records.

    Args:
        records: The table of records, end to end in the array.
        tokenizer: What made the ids.
        tokens: The ids, uint8: an array, or the path of a file of raw bytes that is mapped on first use.
        manifest: Where the ids came from, as the cache noted it.
    """

    def __init__(
        self,
        records: Sequence[Record],
        tokenizer: NucleotideTokenizer,
        tokens: np.ndarray | Path,
        manifest: Mapping[str, Any] | None = None,
    ) -> None:
        self.records = tuple(records)
        self.tokenizer = tokenizer
        self.manifest = dict(manifest or {})
        self._source = tokens
        self._mapped: np.ndarray | None = None

    @classmethod
    def from_sequences(cls, sequences: Mapping[str, Text], tokenizer: NucleotideTokenizer | None = None) -> Genome:
        """Build a genome in memory from sequences by name, none of them empty."""
        tokenizer = tokenizer or NucleotideTokenizer()
        records, rows, offset = [], [], 0
        for name, text in sequences.items():
            if not len(text):
                raise UserError(f"The record {name!r} has no sequence.")
            row = tokenizer.encode(text)
            records.append(Record(name, offset, len(row), tokenizer.census(text)))
            rows.append(row)
            offset += len(row)
        if not rows:
            raise UserError("A genome needs at least one record.")
        return cls(records, tokenizer, np.concatenate(rows))

    @property
    def tokens(self) -> np.ndarray:
        """All ids, end to end: (length,) uint8, read-only where memory-mapped."""
        if isinstance(self._source, np.ndarray):
            return self._source
        if self._mapped is None:
            self._mapped = np.memmap(self._source, dtype=np.uint8, mode="r")
        return self._mapped

    @property
    def length(self) -> int:
        """Number of bases in all records."""
        return self.records[-1].offset + self.records[-1].length

    @cached_property
    def census(self) -> Census:
        """Counts of lower case, ambiguity codes and N over all records."""
        return sum((record.census for record in self.records), Census())

    @cached_property
    def _by_name(self) -> dict[str, Record]:
        return {record.name: record for record in self.records}

    @cached_property
    def _offsets(self) -> np.ndarray:
        return np.array([record.offset for record in self.records], dtype=np.int64)

    def record(self, name: str) -> Record:
        """Return the record called `name`, or raise an error with near names."""
        if name not in self._by_name:
            raise unknown_name("record", name, self._by_name)
        return self._by_name[name]

    def coordinate(self, record: str, position: int) -> int:
        """Return the index into `tokens` of a base given by record and 0-based position."""
        return self.record(record).offset + position

    def locate(self, coordinate: int) -> tuple[str, int]:
        """Return (record name, 0-based position) of an index into `tokens`."""
        if not 0 <= coordinate < self.length:
            raise IndexError(f"coordinate {coordinate} lies outside the genome's {self.length} bases")
        record = self.records[int(np.searchsorted(self._offsets, coordinate, side="right")) - 1]
        return record.name, coordinate - record.offset

    def fetch(self, record: str, start: int, end: int) -> np.ndarray:
        """Return the ids of bases `start` .. `end` - 1 of a record: (end - start,) uint8, a view.

        Raises:
            UserError: Unknown record, or bases that it does not have.
        """
        entry = self.record(record)
        if not 0 <= start <= end <= entry.length:
            raise UserError(f"{record}:{start}-{end} reaches beyond the record, which has bases 0-{entry.length}.")
        return self.tokens[entry.offset + start : entry.offset + end]

    def fetch_padded(self, record: str, start: int, end: int, strand: str = "+") -> PaddedIds:
        """Return the ids of a window that may reach beyond the record, N where it does, and how many are N for that.

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
        left, right, inside = outside(start, end, self.record(record).length)
        pad = np.array([self.tokenizer.n_id], dtype=np.uint8)
        ids = np.concatenate((pad.repeat(left), self.fetch(record, *inside), pad.repeat(right)))
        return PaddedIds(ids, left, right) if strand == "+" else self._reversed(PaddedIds(ids, left, right))

    def _reversed(self, window: PaddedIds) -> PaddedIds:
        return PaddedIds(self.tokenizer.reverse_complement(window.ids), window.right, window.left)

    def codes(self, record: str, start: int, end: int) -> np.ndarray:
        """Return bases as 0, 1, 2, 3 for A, C, G, T and 4 for anything else: (end - start,) uint8."""
        return self.tokenizer.base_codes[self.fetch(record, start, end)]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_mapped": None}

    def __repr__(self) -> str:
        return f"Genome({len(self.records)} records, {self.length} bases)"
