"""How much of a held-out block was seen in training: k-mers shared with the training split on either strand.

Repeats and duplicated genes put copies of training sequence into any held-out block; a model may have learned them
by heart. The share tells how far, and the mask lets bits be given with and without those bases.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from seqdna.data.genome import Genome
from seqdna.data.intervals import Interval, total_length
from seqdna.data.windows import EvalSites
from seqsuite.errors import UserError

_PIECE = 1 << 22
_RUN = 1 << 16


@dataclass(frozen=True)
class SharedKmers:
    """Held-out bases that lie in a k-mer which also occurs in the training split, on either strand.

    Attributes:
        k: Length of the k-mers.
        share: Such bases over all held-out bases.
        masks: For each held-out interval, which bases: (len(interval),) bool.
        starts: For each held-out interval, where those k-mers start: (len(interval),) bool.
        first: Coordinate of each held-out interval's first base: (intervals,) int64.
    """

    k: int
    share: float
    masks: tuple[np.ndarray, ...] = field(repr=False)
    starts: tuple[np.ndarray, ...] = field(repr=False)
    first: np.ndarray = field(repr=False)

    def in_shared(self, sites: EvalSites | np.ndarray) -> np.ndarray:
        """Tell which sites are shared bases, so that bits can be given with and without them: (n,) bool.

        Args:
            sites: Evaluation sites, or coordinates (n,) int64; all of them in the held-out intervals.

        Raises:
            ValueError: A site lies in no held-out interval.
        """
        coordinate = np.asarray(sites.coordinate if isinstance(sites, EvalSites) else sites, dtype=np.int64)
        found = np.zeros(len(coordinate), dtype=bool)
        for rows, start, mask in self._by_interval(coordinate, 1, self.masks):
            found[rows] = mask[start]
        return found

    def in_windows(self, start: np.ndarray, length: int) -> np.ndarray:
        """Tell which windows hold a whole shared k-mer: (n,) bool.

        Args:
            start: Coordinate of each window's first base: (n,) int64; the windows lie in the held-out intervals.
            length: Bases a window.

        Raises:
            ValueError: A window lies in no held-out interval.
        """
        start = np.asarray(start, dtype=np.int64)
        found = np.zeros(len(start), dtype=bool)
        if length < self.k:
            return found
        for rows, left, kmers in self._by_interval(start, length, self.starts):
            before = np.concatenate(([0], np.cumsum(kmers, dtype=np.int32)))
            found[rows] = before[left + length - self.k + 1] > before[left]
        return found

    def window_share(self, length: int) -> float:
        """Return the share of held-out windows that hold a shared k-mer, the windows laid end to end.

        Args:
            length: Bases a window; what is left at the end of an interval is in none.

        Raises:
            UserError: No held-out interval is as long as a window.
        """
        tiles = [
            first + np.arange(0, len(mask) - length + 1, length)
            for first, mask in zip(self.first.tolist(), self.masks, strict=True)
        ]
        starts = np.concatenate(tiles)
        if not len(starts):
            raise UserError(f"No held-out interval holds a window of {length} bases; choose a smaller --length.")
        return float(self.in_windows(starts, length).mean())

    def _by_interval(
        self, start: np.ndarray, length: int, arrays: tuple[np.ndarray, ...]
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield (which windows, their starts within the interval, the interval's array) for intervals with any."""
        order = np.argsort(self.first, kind="stable")
        rank = np.searchsorted(self.first[order], start, side="right") - 1
        owner = order[np.maximum(rank, 0)]
        inside = start - self.first[owner]
        size = np.array([len(array) for array in arrays])
        if ((inside < 0) | (inside + length > size[owner])).any():
            raise ValueError("a site or window lies in no held-out interval")
        for number in np.unique(owner):
            rows = np.flatnonzero(owner == number)
            yield rows, inside[rows], arrays[number]


def shared_kmers(
    genome: Genome, train: Sequence[Interval], held_out: Sequence[Interval], *, k: int = 24, piece: int = _PIECE
) -> SharedKmers:
    """Mark the held-out bases that share a k-mer with the training intervals on either strand.

    k-mers with an unknown base (N) match nothing. Memory grows with the held-out intervals (about 32 bytes a base),
    not with training.

    Args:
        genome: The genome.
        train: Training intervals.
        held_out: Held-out intervals.
        k: Length of the k-mers, 1 to 31.
        piece: Bases looked at in one go.

    Raises:
        UserError: k is out of range, or there is no held-out base.
    """
    if not 1 <= k <= 31:
        raise UserError(f"Shared k-mers can have 1 to 31 bases, not {k}.")
    length = total_length(held_out)
    if not length:
        raise UserError("There is no held-out base to compare with the training split.")
    parts = [_distinct(code[known]) for _, _, code, known in _pieces(genome, held_out, k, piece)]
    wanted = _distinct(np.concatenate(parts))
    del parts
    seen = np.zeros(len(wanted), dtype=bool)
    for _, _, code, known in _pieces(genome, train, k, piece):
        # Sorted, so that the search walks through memory in order.
        found = np.sort(code[known])
        if len(wanted):
            place = np.minimum(np.searchsorted(wanted, found), len(wanted) - 1)
            seen[place[wanted[place] == found]] = True
    shared = wanted[seen]
    starts = tuple(np.zeros(len(interval), dtype=bool) for interval in held_out)
    for number, offset, code, known in _pieces(genome, held_out, k, piece):
        if len(shared):
            place = np.minimum(np.searchsorted(shared, code), len(shared) - 1)
            starts[number][offset : offset + len(code)] = (shared[place] == code) & known
    masks = tuple(_covered(start, k) for start in starts)
    first = np.array([genome.coordinate(i.record, i.start) for i in held_out], dtype=np.int64)
    return SharedKmers(k, sum(int(mask.sum()) for mask in masks) / length, masks, starts, first)


def _pieces(
    genome: Genome, intervals: Sequence[Interval], k: int, piece: int
) -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
    """Yield (number of the interval, offset in it, k-mers that start there, which are all known), piece by piece."""
    for number, interval in enumerate(intervals):
        for start in range(interval.start, interval.end, piece):
            bases = genome.codes(interval.record, start, min(start + piece + k - 1, interval.end))
            yield number, start - interval.start, *_canonical(bases, k)


def _canonical(codes: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return each k-mer as the smaller of its two strands' codes (n - k + 1,) uint64, and whether it is all known."""
    n = max(len(codes) - k + 1, 0)
    kmers, known = np.empty(n, dtype=np.uint64), np.empty(n, dtype=bool)
    # In runs that stay in the processor's cache: four times as fast as the whole at once.
    for start in range(0, n, _RUN):
        count = min(_RUN, n - start)
        forward, reverse = np.zeros(count, dtype=np.uint64), np.zeros(count, dtype=np.uint64)
        unknown = np.zeros(count, dtype=np.uint8)
        for i in range(k):
            base = codes[start + i : start + i + count]
            forward = (forward << np.uint64(2)) | (base & 3).astype(np.uint64)
            reverse |= (3 - (base & 3)).astype(np.uint64) << np.uint64(2 * i)
            unknown |= base
        kmers[start : start + count] = np.minimum(forward, reverse)
        known[start : start + count] = unknown < 4
    return kmers, known


def _distinct(values: np.ndarray) -> np.ndarray:
    """Return the different values, sorted: np.unique without its hash table, which is slow for many values."""
    ordered = np.sort(values)
    first = np.ones(len(ordered), dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return ordered[first]


def _covered(starts: np.ndarray, k: int) -> np.ndarray:
    """Mark all bases of the k-mers that start where `starts` is true: (len(starts),) bool."""
    edges = starts.astype(np.int8)
    edges[k:] -= starts[: len(starts) - k] if len(starts) > k else starts[:0]
    return np.cumsum(edges, dtype=np.int32) > 0
