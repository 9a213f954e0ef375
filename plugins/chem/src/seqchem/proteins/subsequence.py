"""Longest common subsequences of one sequence with many: a bound on the identical residues of any alignment.

table = SequenceTable(capacity, width=99)
table.add("ACDEFGHIK")
common_subsequences("ACDFGHIK", table.codes([0]))     # array([8])

The identical residues of an alignment stand in one order in both sequences, so none has more of them than the longest
common subsequence has letters. It is computed for all sequences at once, the columns of the table of Hyyrö (2004) as
the bits of one word, which takes sequences of up to 64 residues against any.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seqchem.proteins.letters import AMINO_ACIDS

WORD = 64
"""Residues of the longest sequence that fits into one word."""

_CODES = np.zeros(256, np.uint8)
_CODES[np.frombuffer(AMINO_ACIDS.encode(), np.uint8)] = np.arange(1, len(AMINO_ACIDS) + 1)


def letter_codes(sequence: str) -> np.ndarray:
    """Return 1 to 20 for the amino acids of a sequence, 0 for letters that are equal to nothing, (L,) uint8."""
    return _CODES[np.frombuffer(sequence.encode("ascii"), np.uint8)]


class SequenceTable:
    """Sequences as rows of letter codes, filled up with 0.

    Args:
        capacity: Most sequences.
        width: Residues of the longest; longer ones have no row.
    """

    def __init__(self, capacity: int, width: int) -> None:
        self._codes = np.zeros((capacity, width), np.uint8)
        self._count = 0

    def add(self, sequence: str) -> None:
        """Take one more; the row of one that is too long stays empty."""
        if len(sequence) <= self._codes.shape[1]:
            self._codes[self._count, : len(sequence)] = letter_codes(sequence)
        self._count += 1

    def codes(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return some rows, as wide as the longest of them, (n, W) uint8."""
        found: np.ndarray = self._codes[rows]
        used = np.flatnonzero(found.any(0))
        return found[:, : int(used[-1]) + 1] if len(used) else found[:, :0]


def common_subsequences(sequence: str, codes: np.ndarray) -> np.ndarray:
    """Return the length of the longest common subsequence of one sequence with each of many.

    Args:
        sequence: Up to 64 residues.
        codes: (N, W) letter codes of the others, 0 where there is none.

    Returns:
        (N,) int64.

    Raises:
        ValueError: The sequence is longer.
    """
    if len(sequence) > WORD:
        raise ValueError(f"the sequence has {len(sequence)} residues; {WORD} fit")
    places = np.zeros(len(AMINO_ACIDS) + 1, np.uint64)
    for place, code in enumerate(letter_codes(sequence).tolist()):
        if code:
            places[code] |= np.uint64(1 << place)
    # A cleared bit is a place where the common subsequence with what was read of the other grew by one.
    row = np.full(len(codes), ~np.uint64(0))
    for column in places[codes].T:
        met = row & column
        row = (row + met) | (row - met)
    inside = np.uint64((1 << len(sequence)) - 1)
    return np.bitwise_count(~row & inside).astype(np.int64)
