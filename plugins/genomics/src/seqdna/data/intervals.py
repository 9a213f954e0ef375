"""Intervals of a genome and its division into training, validation and test blocks.

Coordinates are 0-based and half-open. A held-out block is one stretch of the genome laid end to end (for a
one-contig genome: its last tenth), because scattered windows would put neighbours of every test base into the
training set.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise

from seqdna.data.genome import Genome
from seqsuite.errors import UserError


@dataclass(frozen=True, order=True)
class Interval:
    """The bases `start` .. `end` - 1 of the record named `record`, counted on its forward strand.

    `strand` is ``"+"`` or ``"-"``: which strand is meant where it matters, as for a gene or a read window.
    """

    record: str
    start: int
    end: int
    strand: str = "+"

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end:
            raise ValueError(f"interval {self.record}:{self.start}-{self.end} is not 0 <= start <= end")
        if self.strand not in ("+", "-"):
            raise ValueError(f"the strand of an interval is '+' or '-', not {self.strand!r}")

    def __len__(self) -> int:
        return self.end - self.start

    def __str__(self) -> str:
        return f"{self.record}:{self.start}-{self.end}" + ("" if self.strand == "+" else "(-)")


@dataclass(frozen=True)
class Splits:
    """Three lists of intervals that share no base."""

    train: tuple[Interval, ...]
    valid: tuple[Interval, ...]
    test: tuple[Interval, ...]

    def __post_init__(self) -> None:
        overlap = first_overlap((*self.train, *self.valid, *self.test))
        if overlap:
            raise UserError(
                f"The splits overlap: {overlap[0]} and {overlap[1]} share bases; give each base to one split."
            )

    def to_dict(self) -> dict[str, list[str]]:
        """Return the intervals as text by split, for manifests and reports."""
        return {name: [str(interval) for interval in getattr(self, name)] for name in ("train", "valid", "test")}


def first_overlap(intervals: Iterable[Interval]) -> tuple[Interval, Interval] | None:
    """Return two intervals that share a base, or None."""
    known = sorted(interval for interval in intervals if len(interval))
    for left, right in pairwise(known):
        if left.record == right.record and right.start < left.end:
            return left, right
    return None


def total_length(intervals: Iterable[Interval]) -> int:
    """Return the number of bases in `intervals`."""
    return sum(len(interval) for interval in intervals)


def covered(intervals: Iterable[Interval], depth: int = 1) -> list[Interval]:
    """Return the stretches that lie in at least `depth` of the intervals: sorted, forward, none touching another."""
    steps: dict[str, dict[int, int]] = {}
    for interval in intervals:
        change = steps.setdefault(interval.record, {})
        change[interval.start] = change.get(interval.start, 0) + 1
        change[interval.end] = change.get(interval.end, 0) - 1
    found = []
    for record in sorted(steps):
        level, start = 0, 0
        for position, change_here in sorted(steps[record].items()):
            before, level = level, level + change_here
            if before < depth <= level:
                start = position
            elif level < depth <= before:
                found.append(Interval(record, start, position))
    return found


def without(intervals: Iterable[Interval], removed: Iterable[Interval]) -> list[Interval]:
    """Return what is left of each interval, in their order, once the bases of `removed` are taken out of it."""
    blocks: dict[str, list[Interval]] = {}
    for block in covered(removed):
        blocks.setdefault(block.record, []).append(block)
    left = []
    for interval in intervals:
        known, start = blocks.get(interval.record, []), interval.start
        for block in known[bisect_right(known, start, key=lambda b: b.end) :]:
            if block.start >= interval.end:
                break
            if start < block.start:
                left.append(replace(interval, start=start, end=block.start))
            start = block.end
        if start < interval.end:
            left.append(replace(interval, start=start))
    return left


def held_out_blocks(genome: Genome, *, valid: float = 0.1, test: float = 0.1) -> Splits:
    """Split a genome, its records laid end to end: the last part is test, the part before it validation.

    Args:
        genome: One record or many; a block may cover several records and cut one, never more than two.
        valid: Share of all bases for validation, in [0, 1).
        test: Share of all bases for test, in [0, 1).

    Raises:
        UserError: The shares leave nothing to train on.
    """
    if not (0 <= valid < 1 and 0 <= test < 1 and valid + test < 1):
        raise UserError(f"Held-out shares valid={valid} and test={test} must be at least 0 and sum to less than 1.")
    total = genome.length
    test_start = total - round(total * test)
    valid_start = test_start - round(total * valid)
    if valid_start <= 0:
        raise UserError(f"Held-out shares valid={valid} and test={test} leave none of the {total} bases to train on.")
    return Splits(
        train=tuple(_between(genome, 0, valid_start)),
        valid=tuple(_between(genome, valid_start, test_start)),
        test=tuple(_between(genome, test_start, total)),
    )


def _between(genome: Genome, start: int, end: int) -> Iterable[Interval]:
    for record in genome.records:
        first, last = max(start - record.offset, 0), min(end - record.offset, record.length)
        if first < last:
            yield Interval(record.name, first, last)
