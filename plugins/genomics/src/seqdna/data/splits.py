"""Splits by chromosome and by interval file, and the interval recipes of the published models.

Basenji's interval file (`sequences_human.bed`: chromosome, start, end, split) is what Caduceus (Schiff et al. 2024)
and HyenaDNA (Nguyen et al. 2023) were pre-trained on. Caduceus lengthens every interval to 2^20 bases from its start
and cuts it into windows; HyenaDNA recentres it to one window. Both carry training intervals into held-out ones:
`recipe_splits` cuts those bases out unless told otherwise, and counts them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from seqdna.data.bed import read_bed
from seqdna.data.genome import Genome
from seqdna.data.intervals import Interval, Splits, covered, first_overlap, total_length, without
from seqdna.data.names import resolve_names
from seqsuite.errors import UserError, unknown_name

SPLITS = ("train", "valid", "test")
OVERLAPS = ("trim", "error", "as_published")
RECIPES = ("caduceus", "hyenadna")
EXTENT = 1 << 20


def chromosome_splits(
    genome: Genome, *, valid: Sequence[str], test: Sequence[str], train: Sequence[str] | None = None
) -> Splits:
    """Split a genome by its records.

    Args:
        genome: The genome.
        valid: Records for validation; ``chr1`` also finds ``1`` and the other way round.
        test: Records for test.
        train: Records to train on; None takes all others.

    Raises:
        UserError: An unknown record, one in two splits, or nothing to train on.
    """
    names = [record.name for record in genome.records]
    held_out = [list(resolve_names(wanted, names).values()) for wanted in (valid, test)]
    used = {name for part in held_out for name in part}
    trained = [name for name in names if name not in used] if train is None else resolve_names(train, names).values()
    if not trained:
        raise UserError("The splits by chromosome leave no record to train on; hold out fewer of them.")
    parts = [list(trained), *held_out]
    for name in names:
        owners = [split for split, part in zip(SPLITS, parts, strict=True) for entry in part if entry == name]
        if len(owners) > 1:
            raise UserError(f"The record {name!r} is given to {' and '.join(owners)}; give each record once.")
    return Splits(*(tuple(Interval(name, 0, genome.record(name).length) for name in part) for part in parts))


def read_split_intervals(path: str | Path, genome: Genome) -> dict[str, list[Interval]]:
    """Read a BED file whose fourth column says train, valid or test: intervals by split, in the file's order.

    Raises:
        UserError: As `read_bed`, another word in column 4, or no interval to train on.
    """
    parts: dict[str, list[Interval]] = {split: [] for split in SPLITS}
    for row in read_bed(path, genome):
        if row.name not in parts:
            error = unknown_name("split", row.name, SPLITS)
            raise UserError(f"{path}, line {row.line}: column 4 must be train, valid or test. {error}")
        parts[row.name].append(row.interval)
    if not parts["train"]:
        raise UserError(f"{path}: no interval is marked train in column 4; mark those to train on.")
    return parts


def interval_splits(path: str | Path, genome: Genome, *, overlap: str = "error") -> Splits:
    """Split a genome by an interval file; intervals of one split that overlap or touch become one.

    Args:
        path: A BED file with train, valid or test in its fourth column.
        genome: The genome.
        overlap: Bases in two splits: ``"error"`` refuses them, ``"trim"`` takes them from training (and those in
            valid and test from valid).

    Raises:
        UserError: As `read_split_intervals`, or two splits share bases and `overlap` is ``"error"``.
    """
    if overlap not in OVERLAPS[:2]:
        raise unknown_name("overlap policy", overlap, OVERLAPS[:2])
    parts = {split: covered(intervals) for split, intervals in read_split_intervals(path, genome).items()}
    if overlap == "trim":
        parts = _trim(parts)
    return Splits(**{split: tuple(intervals) for split, intervals in parts.items()})


@dataclass(frozen=True)
class RecipeSplits:
    """Intervals made by a published recipe; within a split they may overlap, as published.

    Attributes:
        train: Training intervals, in the file's order.
        valid: Validation intervals.
        test: Test intervals.
        length: Bases a window.
        recipe: Name of the recipe.
        shared: Bases of the genome that lie in more than one split; 0 but for ``overlap="as_published"``.
        trimmed: Bases cut out of the intervals of each split because another split holds them.
        shortened: Intervals of each split on records too short for the recipe, which take the whole record.
    """

    train: tuple[Interval, ...]
    valid: tuple[Interval, ...]
    test: tuple[Interval, ...]
    length: int
    recipe: str = "caduceus"
    shared: int = 0
    trimmed: Mapping[str, int] = field(default_factory=dict)
    shortened: Mapping[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return counts for manifests and reports: intervals and bases by split, and what became of overlaps."""
        sizes = {
            split: {"intervals": len(getattr(self, split)), "bases": total_length(getattr(self, split))}
            for split in SPLITS
        }
        counts = {"shared_bases": self.shared, "trimmed": dict(self.trimmed), "shortened": dict(self.shortened)}
        return {"recipe": self.recipe, "length": self.length} | sizes | counts


def recipe_splits(
    source: str | Path | Mapping[str, Sequence[Interval]],
    genome: Genome,
    length: int,
    *,
    recipe: str = "caduceus",
    extent: int = EXTENT,
    overlap: str = "trim",
) -> RecipeSplits:
    """Make the intervals of a published pre-training recipe from an interval file.

    Args:
        source: A BED file with train, valid or test in its fourth column, or intervals by split.
        genome: The genome.
        length: Bases a window.
        recipe: ``"caduceus"``: each interval reaches from its start over `extent` bases, to be tiled into windows;
            one past the end of its record is moved back. ``"hyenadna"``: each interval grows on both sides to
            `length`, or is cut on the right to it, and is moved into its record where it reaches beyond.
        extent: Bases an interval of the Caduceus recipe, 2^20 as published; `length` must divide it.
        overlap: Bases in two splits: ``"trim"`` takes them from training (and those in valid and test from valid),
            ``"error"`` refuses them, ``"as_published"`` keeps them and counts them.

    Raises:
        UserError: As `read_split_intervals`; `length` does not divide `extent`; or splits share bases and `overlap`
            is ``"error"``.
    """
    _check_recipe(length, recipe, extent, overlap)
    given = source if isinstance(source, Mapping) else read_split_intervals(source, genome)
    size = extent if recipe == "caduceus" else length
    move = _extended if recipe == "caduceus" else _recentred
    parts = {
        split: [move(interval, size, genome.record(interval.record).length) for interval in given.get(split, ())]
        for split in SPLITS
    }
    before = {split: total_length(intervals) for split, intervals in parts.items()}
    shortened = {split: sum(len(interval) < size for interval in intervals) for split, intervals in parts.items()}
    if overlap == "trim":
        parts = _trim(parts)
    trimmed = {split: before[split] - total_length(intervals) for split, intervals in parts.items()}
    shared = total_length(_shared(parts))
    if shared and overlap == "error":
        left, right = _an_overlap(parts)
        raise UserError(
            f"The {recipe} recipe makes the splits overlap by {shared} bases, as in {left} and {right}; choose "
            "overlap='trim' or 'as_published'."
        )
    intervals = {split: tuple(part) for split, part in parts.items()}
    return RecipeSplits(**intervals, length=length, recipe=recipe, shared=shared, trimmed=trimmed, shortened=shortened)


def _check_recipe(length: int, recipe: str, extent: int, overlap: str) -> None:
    for kind, value, known in (("recipe", recipe, RECIPES), ("overlap policy", overlap, OVERLAPS)):
        if value not in known:
            raise unknown_name(kind, value, known)
    if length < 1:
        raise UserError(f"The window length must be at least 1, got {length}; choose another --length.")
    if recipe == "caduceus" and extent % length:
        raise UserError(
            f"The Caduceus recipe cuts intervals of {extent} bases into windows, which {length} does not divide; "
            "choose a --length that does, such as a power of two."
        )


def _extended(interval: Interval, size: int, record_length: int) -> Interval:
    """Let an interval reach over `size` bases from its start, moved back where the record ends before."""
    return _placed(interval, interval.start, size, record_length)


def _recentred(interval: Interval, size: int, record_length: int) -> Interval:
    """Grow an interval on both sides to `size` bases, or cut it on the right."""
    return _placed(interval, interval.start - max(size - len(interval), 0) // 2, size, record_length)


def _placed(interval: Interval, start: int, size: int, record_length: int) -> Interval:
    start = max(min(start, record_length - size), 0)
    return replace(interval, start=start, end=min(start + size, record_length))


def _trim(parts: Mapping[str, Sequence[Interval]]) -> dict[str, list[Interval]]:
    """Take from valid what test holds, and from train what either holds."""
    valid = without(parts["valid"], parts["test"])
    train = without(parts["train"], [*valid, *parts["test"]])
    return {"train": train, "valid": valid, "test": list(parts["test"])}


def _shared(parts: Mapping[str, Iterable[Interval]]) -> list[Interval]:
    """Return the stretches that lie in more than one split."""
    return covered([interval for part in parts.values() for interval in covered(part)], depth=2)


def _an_overlap(parts: Mapping[str, Sequence[Interval]]) -> tuple[Interval, Interval]:
    """Return two stretches of different splits that share a base."""
    found = first_overlap([interval for part in parts.values() for interval in covered(part)])
    if found is None:
        raise ValueError("the splits share no base")
    return found
