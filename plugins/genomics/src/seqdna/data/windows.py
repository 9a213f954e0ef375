"""Windows of a genome: training samples by position, and fixed sites for evaluation.

The window at sample position p is a pure function of (seed, p), drawn from a counter-based generator (Philox)
that is keyed anew for every position: no state to save, the same windows with any number of workers, and a run
resumes at any position. No window crosses the border of an interval, hence none crosses a record or a split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from seqdna.data.genome import Genome
from seqdna.data.intervals import Interval, first_overlap
from seqsuite.errors import UserError

_TRAIN, _TILES, _SITES = 1, 2, 3
_TRIES = 64
_PIECE = 1 << 20


def generator(seed: int, key: int, stream: int) -> np.random.Generator:
    """Return the generator of (seed, key); `stream` keeps different uses of one seed apart."""
    if seed < 0 or key < 0:
        raise ValueError(f"seed and position must not be negative, got {seed} and {key}")
    words = np.array([seed & (2**64 - 1), key & (2**64 - 1)], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=words, counter=np.array([0, 0, 0, stream], dtype=np.uint64)))


class _Spans:
    """Intervals as coordinates of the token array, with a map from a running number to a window's start."""

    def __init__(self, genome: Genome, intervals: Sequence[Interval], length: int, step: int) -> None:
        if length < 1:
            raise UserError(f"The window length must be at least 1, got {length}; choose another --length.")
        for interval in intervals:
            genome.fetch(interval.record, interval.start, interval.end)  # says so if it lies outside
        longest = max(intervals, key=len, default=None)
        if longest is None or len(longest) < length:
            where = (
                f"the longest stretch has {len(longest)} (record {longest.record!r})" if longest else "there is none"
            )
            raise UserError(
                f"No stretch of the genome holds a window of {length} bases: {where}; choose a smaller --length."
            )
        wide = [interval for interval in intervals if len(interval) >= length]
        wide.sort(key=lambda interval: genome.coordinate(interval.record, interval.start))
        self.first = np.array([genome.coordinate(i.record, i.start) for i in wide], dtype=np.int64)
        self.last = np.array([genome.coordinate(i.record, i.end) for i in wide], dtype=np.int64)
        self.step = step
        self.ends = np.cumsum((self.last - self.first - length) // step + 1)
        self.count = int(self.ends[-1])

    def place(self, number: np.ndarray | int) -> tuple[np.ndarray, np.ndarray]:
        """Return the interval of window `number` (0 .. count - 1) and the coordinate at which it starts."""
        number = np.asarray(number, dtype=np.int64)
        span = np.searchsorted(self.ends, number, side="right")
        before = np.concatenate(([0], self.ends))[span]
        return span, self.first[span] + (number - before) * self.step


def _check_share(max_unknown: float) -> None:
    if not 0 <= max_unknown <= 1:
        raise UserError(f"The share of unknown bases allowed in a window must lie in 0 .. 1, got {max_unknown}.")


class TrainWindows:
    """Random windows: position p -> one window, uniform over all starts inside the intervals.

    A window with more than `max_unknown` of its bases unknown (N, [UNK]) is drawn again, from the same
    generator; after 64 draws the best of them is taken.

    Args:
        genome: The genome.
        intervals: Where windows may lie; those shorter than a window are not used.
        length: Bases a window.
        seed: Any integer from 0 on.
        max_unknown: Largest share of unknown bases that a window should have.

    Raises:
        UserError: No interval is as long as a window (names the longest), or all of them are unknown bases.
    """

    def __init__(
        self, genome: Genome, intervals: Sequence[Interval], length: int, *, seed: int = 0, max_unknown: float = 0.5
    ) -> None:
        _check_share(max_unknown)
        self.genome, self.length, self.seed, self.max_unknown = genome, length, seed, max_unknown
        self._spans = _Spans(genome, intervals, length, 1)
        if not any(genome.record(i.record).census.n < genome.record(i.record).length for i in intervals):
            raise UserError("The records to train on hold nothing but N; give a genome with sequence.")

    def start(self, position: int) -> int:
        """Return the coordinate at which the window of sample `position` starts."""
        draws = generator(self.seed, position, _TRAIN)
        best, least = 0, 2.0
        for _ in range(_TRIES):
            start = int(self._spans.place(int(draws.integers(self._spans.count)))[1])
            unknown = self._unknown(start)
            if unknown < least:
                best, least = start, unknown
            if unknown <= self.max_unknown:
                break
        return best

    def ids(self, position: int) -> np.ndarray:
        """Return the window of sample `position`: (length,) uint8, a copy."""
        start = self.start(position)
        return np.array(self.genome.tokens[start : start + self.length])

    def _unknown(self, start: int) -> float:
        codes = self.genome.tokenizer.base_codes[self.genome.tokens[start : start + self.length]]
        return float(np.count_nonzero(codes == 4)) / self.length


class TiledWindows:
    """Windows end to end over the intervals, each once an epoch, in an order that changes with the epoch.

    Tiles with more than `max_unknown` unknown bases are left out (`skipped` counts them); the rest of an
    interval beyond its last whole tile is not covered (`uncovered` counts those bases).

    Args:
        genome: The genome.
        intervals: Where tiles lie, from each interval's start.
        length: Bases a tile.
        seed: Decides the order.
        shuffle: False keeps the order along the genome in every epoch.
        max_unknown: Largest share of unknown bases in a tile that is kept.

    Raises:
        UserError: No interval is as long as a tile, or no tile is known well enough.
    """

    def __init__(
        self,
        genome: Genome,
        intervals: Sequence[Interval],
        length: int,
        *,
        seed: int = 0,
        shuffle: bool = True,
        max_unknown: float = 0.5,
    ) -> None:
        _check_share(max_unknown)
        self.genome, self.length, self.seed, self.shuffle = genome, length, seed, shuffle
        spans = _Spans(genome, intervals, length, length)
        starts = spans.place(np.arange(spans.count))[1]
        unknown = _count_unknown(genome, starts, length)
        self._starts = starts[unknown <= max_unknown * length]
        self.skipped = spans.count - len(self._starts)
        self.uncovered = sum(len(interval) for interval in intervals) - spans.count * length
        if not len(self._starts):
            raise UserError(f"Every window of {length} bases has too many unknown bases; give a genome with sequence.")
        self._order: tuple[int, np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self._starts)

    def place(self, position: int) -> tuple[int, int]:
        """Return (epoch, tile along the genome) of sample `position`."""
        epoch, index = divmod(position, len(self))
        if not self.shuffle:
            return epoch, index
        if self._order is None or self._order[0] != epoch:
            self._order = epoch, generator(self.seed, epoch, _TILES).permutation(len(self))
        return epoch, int(self._order[1][index])

    def start(self, position: int) -> int:
        """Return the coordinate at which the window of sample `position` starts."""
        return int(self._starts[self.place(position)[1]])

    def ids(self, position: int) -> np.ndarray:
        """Return the window of sample `position`: (length,) uint8, a copy."""
        start = self.start(position)
        return np.array(self.genome.tokens[start : start + self.length])


def _count_unknown(genome: Genome, starts: np.ndarray, length: int) -> np.ndarray:
    """Count the unknown bases of windows, some megabases at a time: (len(starts),) int64."""
    unknown = genome.tokenizer.base_codes == 4
    rows = max(_PIECE // length, 1)
    counts = [
        unknown[genome.tokens[starts[i : i + rows, None] + np.arange(length)]].sum(axis=1)
        for i in range(0, len(starts), rows)
    ]
    return np.concatenate(counts)


@dataclass(frozen=True)
class EvalSites:
    """Bases to predict, each in its own window.

    Attributes:
        genome: The genome.
        coordinate: Index of each base into the genome's tokens: (n,) int64, in random order.
        start: Index of each window's first base: (n,) int64.
        length: Bases a window.
    """

    genome: Genome = field(repr=False)
    coordinate: np.ndarray
    start: np.ndarray
    length: int

    def __len__(self) -> int:
        return len(self.coordinate)

    @property
    def offset(self) -> np.ndarray:
        """Place of the base in its window: (n,) int64, length // 2 but at the edges of an interval."""
        return self.coordinate - self.start

    @property
    def target(self) -> np.ndarray:
        """Id of each base: (n,) uint8."""
        return np.array(self.genome.tokens[self.coordinate])

    def windows(self, index: np.ndarray | slice) -> np.ndarray:
        """Return the windows of some sites, nothing masked: (len(index), length) uint8."""
        return self.genome.tokens[self.start[index][:, None] + np.arange(self.length)]


def eval_sites(
    intervals: Sequence[Interval], genome: Genome, n: int, context_length: int, *, seed: int = 0
) -> EvalSites:
    """Choose `n` different bases of the intervals at random, each with a window that has it in the centre.

    Only A, C, G, T are chosen. At the edge of an interval the window is moved inside it. Fewer than `n` sites
    come back where the intervals hold no more.

    Args:
        intervals: Held-out intervals; those shorter than a window are not used.
        genome: The genome.
        n: Number of sites, at least 1.
        context_length: Bases a window.
        seed: Any integer from 0 on.

    Raises:
        UserError: No interval is as long as a window, none of its bases is known, or two intervals overlap.
    """
    if n < 1:
        raise UserError(f"The number of evaluation sites must be at least 1, got {n}.")
    overlap = first_overlap(intervals)
    if overlap:
        raise UserError(f"The held-out intervals {overlap[0]} and {overlap[1]} share bases; give each base once.")
    _Spans(genome, intervals, context_length, 1)  # says so if none is long enough
    bases = _Spans(genome, [i for i in intervals if len(i) >= context_length], 1, 1)
    size = n
    while True:
        size = min(size, bases.count)
        span, chosen = bases.place(generator(seed, 0, _SITES).choice(bases.count, size, replace=False))
        known = np.flatnonzero(genome.tokenizer.base_codes[genome.tokens[chosen]] < 4)[:n]
        if len(known) == n or size == bases.count:
            break
        size *= 2
    if not len(known):
        raise UserError("The held-out intervals hold no known base (A, C, G, T) to evaluate on.")
    span, chosen = span[known], chosen[known]
    start = np.clip(chosen - context_length // 2, bases.first[span], bases.last[span] - context_length)
    return EvalSites(genome, chosen, start, context_length)
