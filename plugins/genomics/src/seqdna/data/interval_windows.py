"""Windows cut from given intervals as the Caduceus recipe does: each interval from its start, end to end.

    splits = recipe_splits("sequences_human.bed", genome, length=1024)
    windows = IntervalWindows(genome, splits.train, 1024, seed=0)
    ids = windows.ids(position)

The window at sample position p is a pure function of (seed, p); the order of an epoch is a permutation that needs no
table, so that 35 million windows cost nothing in any number of workers and a run resumes at any position.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seqdna.data.genome import Genome
from seqdna.data.intervals import Interval, total_length
from seqsuite.data.order import ShuffledOrder
from seqsuite.errors import UserError


class IntervalWindows:
    """Windows end to end over each interval, each once an epoch; intervals may overlap.

    Unlike `TiledWindows` no window is left out for its unknown bases: use a loss that bears an empty window.

    Args:
        genome: The genome.
        intervals: Intervals in any order; window 0 is the first of the first one.
        length: Bases a window.
        seed: Decides the order.
        shuffle: False takes the windows interval by interval in every epoch.

    Attributes:
        length: Bases a window.
        uncovered: Bases behind the last whole window of an interval.

    Raises:
        UserError: No interval is as long as a window, or one reaches beyond its record.
    """

    def __init__(
        self, genome: Genome, intervals: Sequence[Interval], length: int, *, seed: int = 0, shuffle: bool = True
    ) -> None:
        if length < 1:
            raise UserError(f"The window length must be at least 1, got {length}; choose another --length.")
        for interval in intervals:
            genome.fetch(interval.record, interval.start, interval.end)  # says so if it lies outside
        self.genome, self.length, self.seed, self.shuffle = genome, length, seed, shuffle
        self._first = np.array([genome.coordinate(i.record, i.start) for i in intervals], dtype=np.int64)
        self._ends = np.cumsum(np.array([len(interval) // length for interval in intervals], dtype=np.int64))
        count = int(self._ends[-1]) if len(intervals) else 0
        if not count:
            longest = max((len(interval) for interval in intervals), default=0)
            raise UserError(
                f"No interval holds a window of {length} bases: the longest has {longest}; choose a smaller --length."
            )
        self.uncovered = total_length(intervals) - count * length
        self._order = ShuffledOrder(count, seed)

    def __len__(self) -> int:
        return self._order.n

    def place(self, position: int) -> tuple[int, int]:
        """Return (epoch, number of the window in the intervals' order) of sample `position`."""
        return self._order.locate(position) if self.shuffle else divmod(position, len(self))

    def start(self, position: int) -> int:
        """Return the coordinate at which the window of sample `position` starts."""
        number = self.place(position)[1]
        span = int(np.searchsorted(self._ends, number, side="right"))
        before = int(self._ends[span - 1]) if span else 0
        return int(self._first[span]) + (number - before) * self.length

    def ids(self, position: int) -> np.ndarray:
        """Return the window of sample `position`: (length,) uint8, a copy."""
        start = self.start(position)
        return np.array(self.genome.tokens[start : start + self.length])
