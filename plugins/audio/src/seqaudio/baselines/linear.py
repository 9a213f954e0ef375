"""Linear prediction: one filter for everything, or one refitted every few milliseconds on what came before.

The first is fitted on the training clips by their autocorrelation. The second solves, before each frame of 64
samples, the normal equations of the clip's samples so far, older ones weighing less (least squares with an
exponential window, once a frame): as adaptive as a lossless codec's filters, with no coefficients to transmit,
since the decoder has seen the same samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seqaudio.baselines.clips import Checked, Clips, checked
from seqaudio.baselines.laplace import Cells, LaplaceModel, cheapest

ORDER = 16
ORDERS = (16, 32)
"""Candidates of the adaptive filters' orders."""

FRAME = 64
MEMORIES = (64, 128, 256, 512, 1024, 4096)
"""Candidates of the window of the refitted filter: its effective length in samples."""

_FRAMES_AT_ONCE = 1024


@dataclass(frozen=True)
class Moments:
    """What linear filters of all orders need to know of the training clips.

    Attributes:
        autocorrelation: Mean of x_t x_{t-k}: (most + 1,).
        weights: Order -> weights of the values 1, 2, .. samples before.
        error: Order -> mean size of the residuals.
    """

    autocorrelation: np.ndarray
    weights: dict[int, np.ndarray]
    error: dict[int, float]

    def matrix(self, order: int) -> np.ndarray:
        """Return the mean products of order + 1 neighbouring values: (order + 1, order + 1)."""
        lag = np.arange(order + 1)
        return self.autocorrelation[np.abs(lag[:, None] - lag)]


def moments(train: Checked, cells: Cells, orders: Sequence[int]) -> Moments:
    """Fit filters of several orders on the training clips, in two passes."""
    most = max(orders)
    total, sums = train.samples(), np.zeros(most + 1)
    for codes in train:
        x = cells.values[codes]
        sums += [x[lag:] @ x[: len(x) - lag] if lag < len(x) else 0.0 for lag in range(most + 1)]
    # A trace of white noise, a thousandth of a cell wide, keeps the system solvable for silence and pure tones.
    sums = sums / total + np.append((0.02 * cells.floor) ** 2, np.zeros(most))
    lag = np.arange(most)
    R = sums[np.abs(lag[:, None] - lag)]
    weights = {order: np.linalg.solve(R[:order, :order], sums[1 : order + 1]) for order in orders}
    errors = dict.fromkeys(orders, 0.0)
    for codes in train:
        x = cells.values[codes]
        for order in orders:
            errors[order] += float(np.abs(x - filtered(x, weights[order])).sum())
    return Moments(sums, weights, {order: error / total for order, error in errors.items()})


def filtered(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return sum_k w_k x_{t-k}, values before the clip being 0: (L,) -> (L,)."""
    from scipy.signal import lfilter

    return lfilter(np.append(0.0, weights), [1.0], x)


class LPC(LaplaceModel):
    """One filter for all clips; the residuals' scale adapts where validation says so.

    Args:
        cells: The codes' cells.
        start: Scale at the beginning of a clip.
        decay: Memory of the scale.
        weights: Weights of the values 1, 2, .. samples before: (order,).
    """

    name = "lpc"

    def __init__(self, cells: Cells, start: float, decay: float, weights: np.ndarray) -> None:
        super().__init__(cells, start, decay)
        self.weights = weights

    def predict(self, signals: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Predict each value of each signal, (L,) -> (L,), from the values before it."""
        return [filtered(x, self.weights) for x in signals]


class FrameLPC(LaplaceModel):
    """A filter refitted before every frame on the clip's past.

    Args:
        cells: The codes' cells.
        start: Scale at the beginning of a clip.
        decay: Memory of the scale.
        prior: Mean products of neighbouring training values, which the first frames lean on: (order + 1, order + 1).
        memory: Effective length of the window in samples.
    """

    name = "frame_lpc"

    def __init__(self, cells: Cells, start: float, decay: float, prior: np.ndarray, memory: int) -> None:
        super().__init__(cells, start, decay)
        self.memory = memory
        # The prior weighs as much as a frame of training sound a thousandth as loud, and shapes the ridge.
        self.ridge = prior * FRAME * 1e-3 + np.eye(len(prior)) * FRAME * (4 * cells.floor) ** 2

    def choices(self) -> dict[str, float]:
        """Return what was chosen on validation clips."""
        return {"decay": self.decay, "order": len(self.ridge) - 1, "memory": self.memory}

    def predict(self, signals: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Predict each value of each signal, (L,) -> (L,), from the values before it."""
        return [self._predict(x) for x in signals]

    def _predict(self, x: np.ndarray) -> np.ndarray:
        from scipy.signal import lfilter

        order = len(self.ridge) - 1
        frames = -(-len(x) // FRAME)
        padded = np.pad(x, (order, frames * FRAME - len(x)))
        # Row t holds x_{t-order} .. x_t; turned round, column k is the value k samples before.
        rows = np.lib.stride_tricks.sliding_window_view(padded, order + 1)[:, ::-1]
        forget = np.exp(-FRAME / self.memory)
        before = np.zeros((1, order + 1, order + 1))  # products of the frames before, newest first in weight
        mean = np.empty(frames * FRAME)
        for first in range(0, frames, _FRAMES_AT_ONCE):
            last = min(first + _FRAMES_AT_ONCE, frames)
            part = rows[first * FRAME : last * FRAME].reshape(last - first, FRAME, order + 1)
            products, ended = lfilter([1.0], [1, -forget], part.mT @ part, axis=0, zi=forget * before)
            known = np.concatenate((before, products[:-1])) + self.ridge
            weights = np.linalg.solve(known[:, 1:, 1:], known[:, 1:, :1])
            mean[first * FRAME : last * FRAME] = (part[:, :, 1:] @ weights).reshape(-1)
            before = ended / forget
        return mean[: len(x)]


def fit_lpc(train: Clips, valid: Clips, values: np.ndarray, *, order: int = ORDER, found: Moments | None = None) -> LPC:
    """Fit one linear filter on the training clips.

    Args:
        train: Training clips.
        valid: Validation clips, for the scale's memory.
        values: Decoded value of each code: (levels,).
        order: Number of values before that it sees.
        found: Moments of the training clips at this order, to save two passes over them.

    Raises:
        UserError: A split holds no samples.
        ValueError: A clip is no vector of codes, the values do not ascend, or the order is below 1.
    """
    cells, known, held_out = fitted(train, valid, values, [order], found)
    model = cheapest([LPC(cells, known.error[order], 1.0, known.weights[order])], held_out)
    assert isinstance(model, LPC)
    return model


def fit_frame_lpc(train: Clips, valid: Clips, values: np.ndarray, *, found: Moments | None = None) -> FrameLPC:
    """Choose order and window of the refitted filter.

    Args:
        train: Training clips, which the first frames of a clip lean on.
        valid: Validation clips.
        values: Decoded value of each code: (levels,).
        found: Moments of the training clips at `ORDERS`, to save two passes over them.

    Raises:
        UserError: A split holds no samples.
        ValueError: A clip is no vector of codes, or the values do not ascend.
    """
    cells, known, held_out = fitted(train, valid, values, ORDERS, found)
    candidates = [
        FrameLPC(cells, known.error[order], 1.0, known.matrix(order), memory) for order in ORDERS for memory in MEMORIES
    ]
    model = cheapest(candidates, held_out)
    assert isinstance(model, FrameLPC)
    return model


def fitted(
    train: Clips, valid: Clips, values: np.ndarray, orders: Sequence[int], found: Moments | None
) -> tuple[Cells, Moments, Checked]:
    """Return the cells, the training clips' moments, and the validation clips, all checked."""
    if min(orders) < 1:
        raise ValueError(f"order: {min(orders)} is below 1")
    cells = Cells(values)
    held_out = checked(valid, len(values), "validation")
    return cells, found or moments(checked(train, len(values), "training"), cells, orders), held_out
