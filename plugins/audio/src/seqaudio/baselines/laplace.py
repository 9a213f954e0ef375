"""A Laplace density around a prediction, cut into one cell a code: the code of a linear predictor's residuals.

The cell of a code reaches half-way to its neighbours' decoded values, the outermost ones to infinity, so the
masses sum to 1 whatever the spacing (mu-law or linear). A small share of the mass is spread evenly, which bounds
the price of a surprise. The scale follows the mean size of the residuals before: s_t = d s_{t-1} + (1 - d) |e_t|.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np

from seqaudio.baselines.clips import Checked, Clips, groups

ESCAPE = 1e-3
"""Share of the mass that is spread evenly over the codes: 0.0014 bits a sample."""

DECAYS = (1.0, 0.998, 0.99, 0.97, 0.94, 0.9, 0.85, 0.8, 0.7)
"""Candidates of the scale's memory; 1 is a constant scale."""


class Cells:
    """The cells of the codes on the axis of decoded values.

    Args:
        values: Decoded value of each code, ascending: (levels,).

    Raises:
        ValueError: The values do not ascend, or there are fewer than two.
    """

    def __init__(self, values: np.ndarray) -> None:
        self.values = np.asarray(values, dtype=np.float64)
        if self.values.ndim != 1 or len(self.values) < 2 or not (np.diff(self.values) > 0).all():
            raise ValueError("values: the decoded values of two codes or more must ascend from code to code")
        edges = (self.values[1:] + self.values[:-1]) / 2
        self.lower, self.upper = np.append(-np.inf, edges), np.append(edges, np.inf)
        self.floor = 0.05 * float(np.diff(self.values).min())

    def mass(self, codes: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Return the probability of codes under Laplace densities of these means and scales; shapes broadcast."""
        low, high = (self.lower[codes] - mean) / scale, (self.upper[codes] - mean) / scale
        # Each tail is the difference of two small numbers, never of two near 1.
        near, far = np.exp(-np.abs(low)), np.exp(-np.abs(high))
        one_side = np.abs(near - far) / 2
        p = np.where((low < 0) & (high > 0), 1 - (near + far) / 2, one_side)
        return (1 - ESCAPE) * p + ESCAPE / len(self.values)


class LaplaceModel(ABC):
    """A predictor of the next decoded value, and the scale of its residuals.

    Args:
        cells: The codes' cells.
        start: Scale at the beginning of a clip.
        decay: Memory of the scale, in (0, 1]; at 1 it stays where it starts.
    """

    name: str

    def __init__(self, cells: Cells, start: float, decay: float) -> None:
        self.cells, self.start, self.decay, self.levels = cells, start, decay, len(cells.values)

    @abstractmethod
    def predict(self, signals: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Predict each value of each signal, (L,) -> (L,), from the values before it."""

    def bits_of(self, clips: Clips) -> Iterator[np.ndarray]:
        """Yield the bits of every sample, clip by clip: (L,) float64."""
        for group in groups(clips):
            signals = [self.cells.values[codes] for codes in group]
            for codes, signal, mean in zip(group, signals, self.predict(signals), strict=True):
                yield -np.log2(self.cells.mass(codes, mean, self._scale(signal - mean)))

    def probabilities(self, codes: np.ndarray) -> np.ndarray:
        """Return the distribution before each sample: (L, levels)."""
        signal = self.cells.values[codes]
        mean = self.predict([signal])[0]
        scale = self._scale(signal - mean)
        return self.cells.mass(np.arange(self.levels), mean[:, None], scale[:, None])

    def choices(self) -> dict[str, float]:
        """Return what was chosen on validation clips."""
        return {"decay": self.decay}

    def _scale(self, errors: np.ndarray) -> np.ndarray:
        return running_scale(errors, self.start, self.decay) + self.cells.floor


def running_scale(errors: np.ndarray, start: float, decay: float) -> np.ndarray:
    """Return the mean size of the residuals before each one, exponentially weighted: (L,) -> (L,)."""
    from scipy.signal import lfilter

    if decay == 1:
        return np.full(len(errors), start)
    after, _ = lfilter([1 - decay], [1, -decay], np.abs(errors), zi=[decay * start])
    return np.append(start, after[:-1])


def cheapest(candidates: Sequence[LaplaceModel], valid: Checked) -> LaplaceModel:
    """Return the candidate, at its best decay among `DECAYS`, with the fewest bits on the validation clips."""
    totals = {(number, decay): 0.0 for number in range(len(candidates)) for decay in DECAYS}
    for group in groups(valid):
        for number, model in enumerate(candidates):
            signals = [model.cells.values[codes] for codes in group]
            for codes, signal, mean in zip(group, signals, model.predict(signals), strict=True):
                for decay in DECAYS:
                    scale = running_scale(signal - mean, model.start, decay) + model.cells.floor
                    totals[number, decay] -= float(np.log2(model.cells.mass(codes, mean, scale)).sum())
    number, decay = min(totals, key=totals.__getitem__)
    candidates[number].decay = decay
    return candidates[number]
