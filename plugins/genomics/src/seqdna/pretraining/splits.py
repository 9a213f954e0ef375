"""Which part of a genome is trained on, and where training windows lie in it."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator

from seqdna.configs.pretrain import PretrainConfig
from seqdna.data import (
    Genome,
    IntervalWindows,
    Splits,
    TiledWindows,
    TrainWindows,
    chromosome_splits,
    held_out_blocks,
    interval_splits,
    recipe_splits,
)
from seqdna.data.intervals import covered, without
from seqdna.tasks import Windows
from seqsuite.errors import UserError

MakeWindows = Callable[[int], Windows]
"""Length of a window -> the training windows of that length."""


def open_splits(config: PretrainConfig, genome: Genome) -> tuple[Splits, MakeWindows]:
    """Split a genome by interval file, by record or by block; no base is in two splits.

    With a published recipe an interval is lengthened or recentred first; what then reaches into held-out
    intervals is cut out of the training intervals, which may overlap each other, as published.

    Returns:
        The splits, and what makes training windows of a length.

    Raises:
        UserError: The interval file, an unknown record, or nothing left to train on.
    """
    if config.windows in ("caduceus", "hyenadna"):
        return _by_recipe(config, genome)
    if config.intervals:
        splits = interval_splits(config.intervals, genome, overlap="trim")
        _check_held_out(config, splits)
    elif config.valid_chromosomes:
        valid, test = (_names(text) for text in (config.valid_chromosomes, config.test_chromosomes))
        with about(config.fasta, "split by --valid_chromosomes and --test_chromosomes"):
            splits = chromosome_splits(genome, valid=valid, test=test)
    else:
        splits = held_out_blocks(genome, valid=config.valid_fraction, test=config.test_fraction)
    kind = TiledWindows if config.windows == "tiled" else TrainWindows
    return splits, functools.partial(kind, genome, splits.train, seed=config.seed)


def _by_recipe(config: PretrainConfig, genome: Genome) -> tuple[Splits, MakeWindows]:
    whole = recipe_splits(config.intervals, genome, config.length, recipe=config.windows)
    splits = Splits(*(tuple(covered(part)) for part in (whole.train, whole.valid, whole.test)))
    _check_held_out(config, splits)

    def cut(length: int) -> Windows:
        # A stage of shorter windows has shorter held-out intervals by the recipe; those of the full length count.
        found = recipe_splits(config.intervals, genome, length, recipe=config.windows, overlap="as_published")
        left = without(found.train, [*splits.valid, *splits.test])
        return IntervalWindows(genome, left, length, seed=config.seed)

    return splits, cut


def _check_held_out(config: PretrainConfig, splits: Splits) -> None:
    for name in ("valid", "test"):
        if not getattr(splits, name):
            raise UserError(
                f"{config.intervals}: no interval is marked {name} in column 4, or others hold all bases of those that "
                f"are; mark intervals to keep out of training as {name}."
            )


@contextlib.contextmanager
def about(fasta: str, part: str) -> Iterator[None]:
    """Say which file, and which part of it, an error is about."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{fasta}, the {part}: {error}") from error


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
