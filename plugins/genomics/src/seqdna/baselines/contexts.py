"""Neighbourhoods of bases, packed into table indices, and the counts over a training split.

Two bits a base, the nearest neighbour lowest. Right neighbours are kept complemented, so that they read as the
left neighbours of the other strand: counting both strands is counting (left, base) and (right, 3 - base), and a
two-sided count of the other strand is the forward one with left and right exchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from seqdna.data.genome import Genome
from seqdna.data.intervals import Interval

PIECE = 1 << 22
_COMPLEMENT = np.array([3, 2, 1, 0, 4], dtype=np.uint8)


@dataclass(frozen=True)
class Neighbourhoods:
    """Bases and what stands beside them; codes 0-3, and 4 for unknown or beyond the interval.

    Attributes:
        base: The bases themselves: (n,) uint8.
        left: Neighbours on the left, the nearest first: (reach, n) uint8.
        right: Complements of the neighbours on the right, the nearest first: (reach, n) uint8.
    """

    base: np.ndarray
    left: np.ndarray
    right: np.ndarray


def pieces(genome: Genome, intervals: Sequence[Interval], reach: int, size: int = PIECE) -> Iterator[Neighbourhoods]:
    """Yield the neighbourhoods of all bases of the intervals, at most `size` at a time, as views of one array."""
    for interval in intervals:
        for start in range(interval.start, interval.end, size):
            end = min(start + size, interval.end)
            around = _padded(genome, interval, start, end, reach)
            rows = np.lib.stride_tricks.sliding_window_view(around, end - start)
            other = np.lib.stride_tricks.sliding_window_view(_COMPLEMENT[around], end - start)
            yield Neighbourhoods(rows[reach], rows[:reach][::-1], other[reach + 1 :])


def neighbourhoods_at(
    genome: Genome, intervals: Sequence[Interval], coordinates: np.ndarray, reach: int
) -> Neighbourhoods:
    """Return the neighbourhoods of single bases, which must lie in the intervals; no context crosses their borders."""
    base = np.full(len(coordinates), 4, dtype=np.uint8)
    left, right = (np.full((reach, len(coordinates)), 4, dtype=np.uint8) for _ in range(2))
    for interval in intervals:
        first = genome.coordinate(interval.record, interval.start)
        inside = np.flatnonzero((coordinates >= first) & (coordinates < first + len(interval)))
        if not len(inside):
            continue
        around = _padded(genome, interval, interval.start, interval.end, reach)
        place = coordinates[inside] - first + reach
        base[inside] = around[place]
        for distance in range(1, reach + 1):
            left[distance - 1, inside] = around[place - distance]
            right[distance - 1, inside] = _COMPLEMENT[around[place + distance]]
    return Neighbourhoods(base, left, right)


def joined(parts: Sequence[Neighbourhoods]) -> Neighbourhoods:
    """Put neighbourhoods of the same reach behind one another."""
    return Neighbourhoods(
        np.concatenate([part.base for part in parts]),
        np.concatenate([part.left for part in parts], axis=1),
        np.concatenate([part.right for part in parts], axis=1),
    )


def _padded(genome: Genome, interval: Interval, start: int, end: int, reach: int) -> np.ndarray:
    first, last = max(interval.start, start - reach), min(interval.end, end + reach)
    around = np.full(end - start + 2 * reach, 4, dtype=np.uint8)
    around[first - start + reach : last - start + reach] = genome.codes(interval.record, first, last)
    return around


def pack(rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Pack the `k` nearest neighbours into codes (n,) uint32; the second array (n,) bool says where all are known."""
    code = np.zeros(rows.shape[1], dtype=np.uint32)
    unknown = np.zeros(rows.shape[1], dtype=np.uint8)
    for row in rows[:k][::-1]:
        code <<= 2
        code |= row & 3
        unknown |= row
    return code, unknown < 4


Source = Callable[[], Iterator[Neighbourhoods]]
"""Walks over the training split; called once a table."""


def one_sided_table(source: Source, order: int) -> np.ndarray:
    """Count both strands of the training split: (4**order, 4) uint32 by left context and base."""
    table = np.zeros(4 ** (order + 1), dtype=np.uint32)
    for piece in source():
        for rows, base in ((piece.left, piece.base), (piece.right, _COMPLEMENT[piece.base])):
            _count(table, *pack(rows, order), base)
    return table.reshape(-1, 4)


def two_sided_table(source: Source, k: int) -> np.ndarray:
    """Count the forward strand: (16**k, 4) uint32 by left and complemented right context, and base."""
    table = np.zeros(4 ** (2 * k + 1), dtype=np.uint32)
    for piece in source():
        _count(table, *pack_two_sided(piece.left, piece.right, k), piece.base)
    return table.reshape(-1, 4)


def pack_two_sided(left: np.ndarray, right: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Pack `k` neighbours on either side; exchange the arguments for the other strand."""
    code, known = pack(left, k)
    beside, known_beside = pack(right, k)
    return (code << (2 * k)) | beside, known & known_beside


def _count(table: np.ndarray, code: np.ndarray, known: np.ndarray, base: np.ndarray) -> None:
    keep = known & (base < 4)
    index = (code << 2) | base
    # With a step of the table's own type, add.at takes numpy's fast path (forty times the other's speed).
    np.add.at(table, index if keep.all() else index[keep], np.uint32(1))


def look_up(table: np.ndarray, code: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return the four counts of each context: (n, 4) float32, zero where the context is not known."""
    counts = table[np.where(known, code, 0)].astype(np.float32)
    counts[~known] = 0
    return counts
