"""Normalised least mean squares: a filter that moves a little after every sample (Widrow and Hoff 1960).

w <- w + mu e_t h_t / (delta + |h_t|^2), with h_t the values before. The recursion cannot be cut in time exactly, so
it is defined in segments, all of which run side by side: each starts `WARM_UP` samples before its first one from
the training clips' filter, and is scored after that. This is still a code that sees the past only, and a segment's
past reaches further than the filter remembers at useful step sizes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seqaudio.baselines.clips import Clips
from seqaudio.baselines.laplace import Cells, LaplaceModel, cheapest
from seqaudio.baselines.linear import ORDERS, Moments, fitted

STEP_SIZES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
SEGMENT = 8192
WARM_UP = 8192

_ROWS_AT_ONCE = 256


class NLMS(LaplaceModel):
    """A filter that adapts sample by sample.

    Args:
        cells: The codes' cells.
        start: Scale at the beginning of a clip.
        decay: Memory of the scale.
        weights: Where the filter starts, weights of the values 1, 2, .. samples before: (order,).
        step_size: mu, in (0, 2).
    """

    name = "nlms"

    def __init__(self, cells: Cells, start: float, decay: float, weights: np.ndarray, step_size: float) -> None:
        super().__init__(cells, start, decay)
        self.weights, self.step_size = weights, step_size

    def choices(self) -> dict[str, float]:
        """Return what was chosen on validation clips."""
        return {"decay": self.decay, "order": len(self.weights), "step_size": self.step_size}

    def predict(self, signals: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Predict each value of each signal, (L,) -> (L,), from the values before it."""
        means = [np.empty(len(x)) for x in signals]
        places = [(clip, first) for clip, x in enumerate(signals) for first in range(0, len(x), SEGMENT)]
        for some in range(0, len(places), _ROWS_AT_ONCE):
            rows = places[some : some + _ROWS_AT_ONCE]
            # Before its clip a filter sees 0 and does not move: no more warm-up than the longest past is needed.
            lead = min(WARM_UP, max(first for _, first in rows))
            size = min(SEGMENT, max(len(signals[clip]) - first for clip, first in rows))
            block = np.stack([self._part(signals[clip], first - lead, first + size) for clip, first in rows], axis=1)
            for (clip, first), row in zip(rows, self._run(block, lead).T, strict=True):
                means[clip][first : first + size] = row[: len(signals[clip]) - first]
        return means

    def _part(self, x: np.ndarray, begin: int, end: int) -> np.ndarray:
        """Return the values from `begin` to `end` and the history before them; 0 where there is no signal."""
        begin -= len(self.weights)
        part = x[max(begin, 0) : end]
        return np.pad(part, (max(-begin, 0), end - max(begin, 0) - len(part))).astype(np.float32)

    def _run(self, x: np.ndarray, lead: int) -> np.ndarray:
        """Run rows side by side: (order + steps, rows) -> predictions after `lead` steps, time first."""
        order, steps = len(self.weights), len(x) - len(self.weights)
        energy = np.cumsum(np.pad(x.astype(np.float64) ** 2, ((1, 0), (0, 0))), axis=0)
        past = np.maximum(energy[order : order + steps] - energy[:steps], 0)
        delta = order * (4 * self.cells.floor) ** 2
        gain = (self.step_size / (delta + past)).astype(np.float32)
        # Oldest first, as the values before a sample lie in memory.
        w = np.repeat(self.weights[::-1, None].astype(np.float32), x.shape[1], axis=1)
        change = np.empty_like(w)
        mean = np.empty((steps, x.shape[1]), dtype=np.float32)
        for t in range(steps):
            before = x[t : t + order]
            np.einsum("kr,kr->r", w, before, out=mean[t])
            np.multiply(before, (x[t + order] - mean[t]) * gain[t], out=change)
            w += change
        return mean[lead:]


def fit_nlms(train: Clips, valid: Clips, values: np.ndarray, *, found: Moments | None = None) -> NLMS:
    """Fit where the filters start on the training clips; choose order, step size and scale on validation clips.

    Args:
        train: Training clips.
        valid: Validation clips.
        values: Decoded value of each code: (levels,).
        found: Moments of the training clips at `ORDERS`, to save two passes over them.

    Raises:
        UserError: A split holds no samples.
        ValueError: A clip is no vector of codes, or the values do not ascend.
    """
    cells, known, held_out = fitted(train, valid, values, ORDERS, found)
    candidates = [
        NLMS(cells, known.error[order], 1.0, known.weights[order], step_size)
        for order in ORDERS
        for step_size in STEP_SIZES
    ]
    model = cheapest(candidates, held_out)
    assert isinstance(model, NLMS)
    return model
