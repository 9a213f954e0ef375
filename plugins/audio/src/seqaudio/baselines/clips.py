"""Clips of codes as the baselines take them: passed over several times, one (or a few) in memory at a time.

A clip is a vector of codes 0 .. levels-1. `Clips` is a list of them, or any object whose `__iter__` begins anew
each time, such as `ReadClips`; a generator runs out after one pass and is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, Protocol, TypeAlias, TypeVar

import numpy as np

from seqsuite.errors import UserError

Clips: TypeAlias = Iterable[np.ndarray]

Item = TypeVar("Item")

_GROUP_SAMPLES = 1 << 20


class ReadClips(Generic[Item]):
    """Clips that are read anew on every pass, one at a time.

    Args:
        items: What each clip is read from, file names for example.
        read: Item -> its codes (L,).
    """

    def __init__(self, items: Sequence[Item], read: Callable[[Item], np.ndarray]) -> None:
        self.items, self.read = items, read

    def __iter__(self) -> Iterator[np.ndarray]:
        return map(self.read, self.items)


class CodeModel(Protocol):
    """A model of the next code given those before it in the clip."""

    name: str
    levels: int

    def bits_of(self, clips: Clips) -> Iterator[np.ndarray]:
        """Yield -log2 p of every sample, clip by clip: (L,) float64."""

    def probabilities(self, codes: np.ndarray) -> np.ndarray:
        """Return the distribution before each sample: (L,) -> (L, levels), row t a function of codes[:t]."""

    def choices(self) -> dict[str, float]:
        """Return what was chosen on the validation clips."""


class Checked:
    """Clips as int64 vectors, checked as they come; empty ones are left out.

    Args:
        clips: The clips.
        levels: Number of codes.
        name: Which split they are, for errors.

    Raises:
        TypeError: The clips can be passed over only once.
        ValueError: While iterating: a clip is no vector of integers, or holds a code out of range.
    """

    def __init__(self, clips: Clips, levels: int, name: str) -> None:
        if isinstance(clips, np.ndarray):
            raise TypeError(f"{name}: give a list of clips, not one array")
        if iter(clips) is clips:
            raise TypeError(f"{name}: clips are passed over several times; a generator cannot be, make it a list")
        self.clips, self.levels, self.name = clips, levels, name
        self._samples: int | None = None

    def __iter__(self) -> Iterator[np.ndarray]:
        for number, clip in enumerate(self.clips):
            codes = np.asarray(clip)
            where = f"{self.name} clip {number}"
            if codes.ndim != 1 or not np.issubdtype(codes.dtype, np.integer):
                raise ValueError(f"{where}: a clip is a vector of integer codes, not {codes.dtype} {codes.shape}")
            if not len(codes):
                continue
            if codes.min() < 0 or codes.max() >= self.levels:
                raise ValueError(f"{where}: codes {codes.min()}..{codes.max()} lie outside 0..{self.levels - 1}")
            yield codes.astype(np.int64, copy=False)

    def samples(self) -> int:
        """Return the number of samples of all clips.

        Raises:
            UserError: There is none.
        """
        if self._samples is None:
            self._samples = sum(map(len, self))
        if not self._samples:
            raise UserError(f"The {self.name} split holds no samples to measure the baselines with.")
        return self._samples


def checked(clips: Clips, levels: int, name: str) -> Checked:
    """Return clips that are checked and not empty; those that are already stay as they are."""
    found = clips if isinstance(clips, Checked) else Checked(clips, levels, name)
    found.samples()
    return found


def groups(clips: Iterable[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """Yield the clips in their order, a few at a time: about a million samples, or one longer clip."""
    group: list[np.ndarray] = []
    held = 0
    for clip in clips:
        group.append(clip)
        held += len(clip)
        if held >= _GROUP_SAMPLES:
            yield group
            group, held = [], 0
    if group:
        yield group
