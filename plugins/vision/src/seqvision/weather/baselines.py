"""Simple forecasts, all from the training steps alone: climatology, persistence, and a regression in each cell.

    clim = climatology_of(values[:120], phases[:120], "month")           # (12, C, H, W)
    anomalies = values - clim[phases]
    r = cell_regression(terms, anomalies[targets], area, penalty=0.3)    # (K, C, H, W)

Damped persistence is the regression on the latest anomaly alone; see also van den Dool (2007), Empirical Methods in
Short-Term Climate Prediction.
"""

from __future__ import annotations

import warnings

import numpy as np

from seqsuite.errors import UserError
from seqvision.data.gridded_times import PHASES

_DAY_WINDOW = 15
"""Days before and after a day of the year that its climatology takes in."""
_LEAST = 2


def climatology_of(values: np.ndarray, phases: np.ndarray, kind: str) -> np.ndarray:
    """Return the mean field of each phase of the year (P, C, H, W) float64; NaN in cells without any value.

    With "day" a phase takes in the days around it, 15 on either side.

    Args:
        values: (T, C, H, W), the training steps.
        phases: (T,) their phases.
        kind: month, day or mean.

    Raises:
        UserError: A phase of the year has fewer than two training steps: one would be its own climatology.
    """
    count, reach = PHASES[kind], _DAY_WINDOW if kind == "day" else 0
    out = np.empty((count, *values.shape[1:]))
    for phase in range(count):
        away = np.abs(phases - phase)
        chosen = np.minimum(away, count - away) <= reach
        if chosen.sum() < _LEAST:
            raise UserError(
                f"{int(chosen.sum())} of the training steps lie in {kind} {phase + 1} of the year, and a climatology "
                f"needs {_LEAST} for an anomaly; choose --climatology mean, or smaller --valid and --test"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # all NaN: land in a field of the sea
            out[phase] = np.nanmean(values[chosen].astype(np.float64), 0)
    return out


def anomaly_terms(anomalies: np.ndarray, starts: np.ndarray, mean_history: int) -> np.ndarray:
    """Return what forecasts are regressed on (N, K, C, H, W): the anomaly at each start, and the mean of the latest.

    Args:
        anomalies: (T, C, H, W) without NaN.
        starts: (N,) the latest steps that are known.
        mean_history: Steps of the mean; 0: none, K = 1.
    """
    terms = [anomalies[starts]]
    if mean_history:
        terms.append(np.stack([anomalies[start - mean_history + 1 : start + 1].mean(0) for start in starts]))
    return np.stack(terms, 1)


def cell_regression(terms: np.ndarray, target: np.ndarray, area: np.ndarray, penalty: float) -> np.ndarray:
    """Fit target = sum_k r_k term_k in each cell, drawn towards the coefficients that serve all cells best.

    Minimises sum_n (y - r x)^2 + penalty * mean_k(sum_n x_k^2) * |r - r_all|^2 per cell and variable.

    Args:
        terms: (N, K, C, H, W).
        target: (N, C, H, W); NaN is left out.
        area: (H,) weights of the rows, for r_all.
        penalty: How strongly the cells are drawn together; 0: not at all.

    Returns:
        (K, C, H, W).
    """
    known = np.isfinite(target)
    x = np.where(known[:, None], terms, 0.0).astype(np.float64)
    y = np.where(known, target, 0.0).astype(np.float64)
    square = np.einsum("nkchw,nlchw->chwkl", x, x)
    product = np.einsum("nkchw,nchw->chwk", x, y)
    whole = np.einsum("chwkl,h->ckl", square, area), np.einsum("chwk,h->ck", product, area)
    shared = np.stack([_solved(*pair) for pair in zip(*whole, strict=True)])  # (C, K)
    size = square.shape[-1]
    strength = penalty * np.trace(square, axis1=-2, axis2=-1)[..., None, None] / size
    # A cell whose anomaly is always zero has no coefficients of its own.
    ridge = np.where(strength > 0, strength, 1.0 if penalty else 1e-12) * np.eye(size)
    right = product + np.einsum("chwkl,cl->chwk", ridge, shared)
    found: np.ndarray = np.linalg.solve(square + ridge, right[..., None])[..., 0]
    return found.transpose(3, 0, 1, 2)


def _solved(square: np.ndarray, product: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.linalg.lstsq(square, product, rcond=None)[0]
    return found
