"""Counting codes: the histogram, and the first-order Markov chain that leans on it.

The histogram adds half a count to every code (Krichevsky and Trofimov 1981). The chain behaves as if each previous
code had been seen `alpha` more times, followed by a code from the histogram: p(c | b) = (n(b, c) + alpha p(c)) /
(n(b) + alpha), with alpha chosen on validation clips. A clip's first code comes from the histogram.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from seqaudio.baselines.clips import Checked, Clips, checked
from seqsuite.errors import UserError

MOST_LEVELS = 4096
"""Codes of the largest table of pairs: 134 MB."""


class Histogram:
    """Every code with the same probabilities, whatever came before.

    Args:
        p: Probabilities of the codes: (levels,).
    """

    name = "order_0"

    def __init__(self, p: np.ndarray) -> None:
        self.p, self.levels = p, len(p)
        self._bits = -np.log2(p)

    def bits_of(self, clips: Clips) -> Iterator[np.ndarray]:
        """Yield the bits of every sample, clip by clip: (L,) float64."""
        for codes in clips:
            yield self._bits[codes]

    def probabilities(self, codes: np.ndarray) -> np.ndarray:
        """Return the distribution before each sample: (L, levels)."""
        return np.tile(self.p, (len(codes), 1))

    def choices(self) -> dict[str, float]:
        """Return what was chosen on validation clips: nothing."""
        return {}


class Markov:
    """Every code given the one before it.

    Args:
        first: Probabilities of a clip's first code: (levels,).
        p: Row b holds the probabilities after code b: (levels, levels).
        alpha: The smoothing they were made with.
    """

    name = "order_1"

    def __init__(self, first: np.ndarray, p: np.ndarray, alpha: float) -> None:
        self.first, self.p, self.alpha, self.levels = first, p, alpha, len(first)
        self._bits = -np.log2(p)

    def bits_of(self, clips: Clips) -> Iterator[np.ndarray]:
        """Yield the bits of every sample, clip by clip: (L,) float64."""
        for codes in clips:
            yield np.concatenate(([-math.log2(self.first[codes[0]])], self._bits[codes[:-1], codes[1:]]))

    def probabilities(self, codes: np.ndarray) -> np.ndarray:
        """Return the distribution before each sample: (L, levels)."""
        return np.concatenate((self.first[None], self.p[codes[:-1]]))

    def choices(self) -> dict[str, float]:
        """Return what was chosen on validation clips."""
        return {"alpha": self.alpha}


def fit_histogram(train: Clips, levels: int) -> Histogram:
    """Count the codes of the training clips.

    Args:
        train: Training clips.
        levels: Number of codes.

    Raises:
        UserError: There are no samples.
        ValueError: A clip is no vector of codes.
    """
    counts = np.zeros(levels)
    for codes in checked(train, levels, "training"):
        counts += np.bincount(codes, minlength=levels)
    return Histogram(_half_added(counts))


def fit_markov(train: Clips, valid: Clips, levels: int) -> Markov:
    """Count pairs of codes in the training clips, and choose the smoothing on the validation clips.

    Args:
        train: Training clips.
        valid: Validation clips.
        levels: Number of codes, at most 4096 (the table takes 134 MB then).

    Raises:
        UserError: A split holds no samples, or there are too many codes for a table of pairs.
        ValueError: A clip is no vector of codes.
    """
    from scipy.optimize import minimize_scalar

    if levels > MOST_LEVELS:
        raise UserError(f"A Markov chain over {levels} codes has too large a table; quantise to 12 bits or fewer.")
    counts, begins = _pairs(checked(train, levels, "training"), levels)
    first = _half_added(counts.sum(axis=0) + begins)
    # Alpha touches the bits of the validation clips through their counts of pairs alone.
    seen, _ = _pairs(checked(valid, levels, "validation"), levels)
    rows, columns = np.nonzero(seen)
    weight, total = seen[rows, columns], counts.sum(axis=1)

    def loss(log_alpha: float) -> float:
        alpha = math.exp(log_alpha)
        p = (counts[rows, columns] + alpha * first[columns]) / (total[rows] + alpha)
        return -float(weight @ np.log(p))

    best = minimize_scalar(loss, bounds=(math.log(1e-3), math.log(1e6)), method="bounded", options={"xatol": 1e-2})
    alpha = math.exp(best.x)
    return Markov(first, (counts + alpha * first) / (total[:, None] + alpha), alpha)


def _half_added(counts: np.ndarray) -> np.ndarray:
    return (counts + 0.5) / (counts.sum() + 0.5 * len(counts))


def _pairs(clips: Checked, levels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return how often code c follows code b, (levels, levels), and how often it begins a clip, (levels,)."""
    counts, begins = np.zeros((levels, levels)), np.zeros(levels)
    for codes in clips:
        begins[codes[0]] += 1
        pairs, often = np.unique(codes[:-1] * levels + codes[1:], return_counts=True)
        counts.reshape(-1)[pairs] += often
    return counts, begins
