"""A genome in overlapping windows: log p of A, C, G, T at every base, each with its context.

    for block in tile_blocks(genome, window=1024, overlap=512, block_bases=1 << 18):
        logp = score_tiles(model, tokenizer, genome, block, batch_tokens=16384)     # (kept bases, 4)

The batches of a block depend on its tiles alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from seqdna.data.genome import Genome
from seqdna.likelihood import at_sites, evaluating, log_bases
from seqdna.models.base import DNAModel
from seqdna.tokenizers import NucleotideTokenizer


@dataclass(frozen=True)
class Tile:
    """A window and the part of it that is kept: bases `first` .. `last` - 1 of the record."""

    record: str
    start: int
    end: int
    first: int
    last: int


def tile_blocks(genome: Genome, window: int, overlap: int, block_bases: int) -> Iterator[list[Tile]]:
    """Yield tiles in the genome's order, in blocks of at least `block_bases` kept bases but the last."""
    block: list[Tile] = []
    kept = 0
    for record in genome.records:
        for tile in tiles(record.name, record.length, window, overlap):
            block.append(tile)
            kept += tile.last - tile.first
            if kept >= block_bases:
                yield block
                block, kept = [], 0
    if block:
        yield block


def tiles(record: str, length: int, window: int, overlap: int) -> Iterator[Tile]:
    """Yield windows over one record whose kept parts cover each base once.

    Every kept base has overlap // 2 bases of its window on either side, but for those that the record lacks.
    """
    margin = overlap // 2
    first = 0
    while first < length:
        start = max(0, min(first - margin, length - window))
        end = min(start + window, length)
        last = length if end == length else end - margin
        yield Tile(record, start, end, first, last)
        first = last


def score_tiles(
    model: DNAModel, tokenizer: NucleotideTokenizer, genome: Genome, block: Sequence[Tile], *, batch_tokens: int
) -> np.ndarray:
    """Return log p of A, C, G, T at the kept bases of tiles, one after another: (bases, 4) float64.

    The mean over both strands for a model that is not RC-equivariant; nan where a causal model has no prediction
    on either strand.
    """
    strands = (0,) if model.config.both_strands else (0, 1)
    kept = []
    longest = max(tile.end - tile.start for tile in block)
    rows = max(1, batch_tokens // longest)
    for group in _equal_lengths(block, rows):
        ids = np.stack([genome.fetch(tile.record, tile.start, tile.end) for tile in group])
        both = np.stack([_strand(model, tokenizer, ids, strand, group, batch_tokens) for strand in strands])
        known = ~np.isnan(both)
        count = known.sum(0)
        mean = np.where(known, both, 0).sum(0) / np.where(count, count, np.nan)
        kept += [row[tile.first - tile.start : tile.last - tile.start] for row, tile in zip(mean, group, strict=True)]
    return np.concatenate(kept)


def _equal_lengths(block: Sequence[Tile], rows: int) -> Iterator[list[Tile]]:
    group: list[Tile] = []
    for tile in block:
        if group and (len(group) == rows or tile.end - tile.start != group[0].end - group[0].start):
            yield group
            group = []
        group.append(tile)
    yield group


def _strand(
    model: DNAModel, tokenizer: NucleotideTokenizer, ids: np.ndarray, strand: int, group: Sequence[Tile], batch: int
) -> np.ndarray:
    """Return log p (n, L, 4) over the given strand's bases as one strand of the windows (n, L) predicts them."""
    read = tokenizer.reverse_complement(ids) if strand else ids
    if model.config.head == "masked_lm":
        logp = np.full((*ids.shape, 4), np.nan)
        for row, window, tile in zip(logp, read, group, strict=True):
            places = np.arange(tile.first - tile.start, tile.last - tile.start)
            places = len(window) - 1 - places if strand else places
            windows = np.broadcast_to(window, (len(places), len(window)))
            row[places] = at_sites(model, tokenizer, windows, places, batch_tokens=batch)
    else:
        with evaluating(model) as device:
            logp = log_bases(model(torch.from_numpy(read.astype(np.int64)).to(device)), tokenizer)
        if model.config.head == "causal_lm":
            logp = np.concatenate((np.full_like(logp[:, :1], np.nan), logp[:, :-1]), axis=1)
    # The complement of A, C, G, T is T, G, C, A: the columns turn round with the positions.
    return logp[:, ::-1, ::-1] if strand else logp
