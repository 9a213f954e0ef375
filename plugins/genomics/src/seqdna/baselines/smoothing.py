"""Smoothing by interpolation of orders, and the log-linear pool of several models.

A model of order k leans on that of order k - 1 as if it had seen `alpha` more bases drawn from it:
p_k = (count + alpha p_{k-1}) / (total + alpha), with one alpha an order, fitted on the validation split. Where a
context was never seen, or is not known, p_k is p_{k-1}. The pool is p proportional to exp(sum_i w_i log p_i); its
negative log-likelihood is convex in w, and Newton's method finds the weights.
"""

from __future__ import annotations

import math

import numpy as np

_GOLDEN = (math.sqrt(5) - 1) / 2
_LOG_ALPHA = (math.log(1e-3), math.log(1e6))


def interpolate(counts: np.ndarray, prior: np.ndarray, alpha: float) -> np.ndarray:
    """Return p = (counts + alpha prior) / (sum of counts + alpha): (n, 4) float32."""
    total = counts.sum(axis=1, keepdims=True)
    return (counts + np.float32(alpha) * prior) / (total + np.float32(alpha))


def fit_alpha(counts: np.ndarray, prior: np.ndarray, base: np.ndarray, steps: int = 24) -> float:
    """Find the alpha with the fewest bits on bases (n,), by golden section on its logarithm.

    Args:
        counts: Counts of the four bases in each base's context: (n, 4).
        prior: Probabilities of the lower order: (n, 4).
        base: What stands there, 0-3: (n,).
        steps: Evaluations; the bracket shrinks by 0.618 each.
    """
    rows = np.flatnonzero(counts.any(axis=1))
    if not len(rows):
        return 1.0
    seen = counts[rows, base[rows]].astype(np.float64)
    total = counts[rows].sum(axis=1, dtype=np.float64)
    expected = prior[rows, base[rows]].astype(np.float64)

    def loss(log_alpha: float) -> float:
        alpha = math.exp(log_alpha)
        return float(-np.log((seen + alpha * expected) / (total + alpha)).sum())

    low, high = _LOG_ALPHA
    inner = [high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)]
    values = [loss(inner[0]), loss(inner[1])]
    for _ in range(steps):
        if values[0] <= values[1]:
            high = inner[1]
            inner = [high - _GOLDEN * (high - low), inner[0]]
            values = [loss(inner[0]), values[0]]
        else:
            low = inner[0]
            inner = [inner[1], low + _GOLDEN * (high - low)]
            values = [values[1], loss(inner[1])]
    return math.exp((low + high) / 2)


def site_bits(probabilities: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Return -log2 p of each base (n,), given (n, 4) probabilities: (n,) float32."""
    return -np.log2(np.take_along_axis(probabilities, base[:, None].astype(np.int64), axis=1)[:, 0]).astype(np.float32)


def pool(logs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return p proportional to exp(sum_i w_i log p_i) for logs (m, n, 4) and weights (m,): (n, 4)."""
    mixed = np.tensordot(weights.astype(logs.dtype), logs, axes=1)
    mixed -= mixed.max(axis=1, keepdims=True)
    np.exp(mixed, out=mixed)
    return mixed / mixed.sum(axis=1, keepdims=True)


def fit_pool(logs: np.ndarray, base: np.ndarray, steps: int = 30) -> np.ndarray:
    """Fit the pool's weights (m,) by Newton's method with halved steps, from equal weights.

    Args:
        logs: Natural logarithms of the models' probabilities: (m, n, 4).
        base: What stands there, 0-3: (n,).
        steps: At most so many Newton steps; they end when the loss no longer falls.
    """
    models, rows = logs.shape[0], np.arange(len(base))
    told = logs[:, rows, base].astype(np.float64).sum(axis=1)

    def loss(weights: np.ndarray) -> float:
        return float(-np.log(pool(logs, weights)[rows, base]).sum(dtype=np.float64)) / len(base)

    weights = np.full(models, 1 / models)
    value = loss(weights)
    for _ in range(steps):
        p = pool(logs, weights)
        expected = np.einsum("nb,mnb->mn", p, logs)
        gradient = (expected.sum(axis=1, dtype=np.float64) - told) / len(base)
        curvature = np.einsum("nb,inb,jnb->ij", p, logs, logs, optimize=True) - expected @ expected.T
        # A trace of ridge: two models that agree everywhere leave the split of weight between them open.
        curvature = curvature.astype(np.float64) / len(base)
        step = np.linalg.solve(curvature + 1e-9 * (1 + np.trace(curvature)) * np.eye(models), gradient)
        scale = 1.0
        while scale > 1e-4 and (lower := loss(weights - scale * step)) >= value:
            scale /= 2
        if scale <= 1e-4:
            break
        weights = weights - scale * step
        done, value = value - lower < 1e-9, lower
        if done:
            break
    return weights
