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
from seqsuite.errors import UserError

_PIECE = 1 << 22


@dataclass(frozen=True)
class SharedKmers:
    """Held-out bases that lie in a k-mer which also occurs in the training split, on either strand.

    Attributes:
        k: Length of the k-mers.
        share: Such bases over all held-out bases.
        masks: For each held-out interval, which bases: (len(interval),) bool.
    """

    k: int
    share: float
    masks: tuple[np.ndarray, ...] = field(repr=False)


def shared_kmers(
    genome: Genome, train: Sequence[Interval], held_out: Sequence[Interval], *, k: int = 24, piece: int = _PIECE
) -> SharedKmers:
    """Mark the held-out bases that share a k-mer with the training intervals on either strand.

    k-mers with an unknown base (N) match nothing. Memory grows with the held-out intervals, not with training.

    Args:
        genome: The genome.
        train: Training intervals.
        held_out: Held-out intervals.
        k: Length of the k-mers, 1 to 31.
        piece: Training bases looked at in one go.

    Raises:
        UserError: k is out of range, or there is no held-out base.
    """
    if not 1 <= k <= 31:
        raise UserError(f"Shared k-mers can have 1 to 31 bases, not {k}.")
    length = total_length(held_out)
    if not length:
        raise UserError("There is no held-out base to compare with the training split.")
    codes = [_canonical(genome.codes(i.record, i.start, i.end), k) for i in held_out]
    wanted = np.unique(np.concatenate([code[known] for code, known in codes]))
    seen = np.zeros(len(wanted), dtype=bool)
    for found in _train_kmers(genome, train, k, piece):
        place = np.minimum(np.searchsorted(found, wanted), len(found) - 1)
        seen |= found[place] == wanted
    shared = wanted[seen]
    masks = tuple(
        _covered(np.isin(code, shared) & known, k, len(i)) for (code, known), i in zip(codes, held_out, strict=True)
    )
    return SharedKmers(k, sum(int(mask.sum()) for mask in masks) / length, masks)


def _train_kmers(genome: Genome, train: Sequence[Interval], k: int, piece: int) -> Iterator[np.ndarray]:
    """Yield the k-mers of the training intervals in sorted arrays, none empty."""
    for interval in train:
        for start in range(interval.start, interval.end, piece):
            code, known = _canonical(genome.codes(interval.record, start, min(start + piece + k - 1, interval.end)), k)
            found = np.sort(code[known])
            if len(found):
                yield found


def _canonical(codes: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return each k-mer as the smaller of its two strands' codes (n - k + 1,) uint64, and whether it is all known."""
    n = max(len(codes) - k + 1, 0)
    forward, reverse = np.zeros(n, dtype=np.uint64), np.zeros(n, dtype=np.uint64)
    unknown = np.zeros(n, dtype=np.uint8)
    for i in range(k if n else 0):
        base = codes[i : i + n]
        forward = (forward << np.uint64(2)) | (base & 3).astype(np.uint64)
        reverse |= (3 - (base & 3)).astype(np.uint64) << np.uint64(2 * i)
        unknown |= base
    return np.minimum(forward, reverse), unknown < 4


def _covered(starts: np.ndarray, k: int, length: int) -> np.ndarray:
    """Mark all bases of the k-mers that start where `starts` is true."""
    edges = np.zeros(length + 1, dtype=np.int32)
    edges[: len(starts)] += starts
    edges[k : k + len(starts)] -= starts
    return np.cumsum(edges[:-1]) > 0
