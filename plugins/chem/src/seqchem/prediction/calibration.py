"""Intervals that cover what they say: the deviation of the digits scaled on rows that the model did not train on.

    found = calibrate(model, valid.sequences, {"logs": valid_logs})     # goes into calibration.json
    found["logs"]["levels"]["0.9"]                                      # {"scale": 2.1, "coverage": 0.91}

Split conformal prediction with a normalised score (Papadopoulos et al. 2008): |error| over (deviation + one step of the
last digit). The scale of a level is the score's quantile of rank ceil((n + 1) level). The coverage that is reported is
of rows that did not set the scale: of each of five parts under the scale of the four others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["LEVELS", "calibrate", "calibration_of", "interval_scale", "label_calibration"]

LEVELS = (0.5, 0.8, 0.9, 0.95)
"""Coverages that are calibrated."""

_PARTS = 5


def calibrate(
    model: Any,
    sequences: Sequence[str],
    values: Mapping[str, Any],
    *,
    batch_size: int = 64,
    decode: str = "independent",
    point: str = "auto",
    seed: int = 0,
) -> dict[str, Any]:
    """Predict rows of known properties and calibrate the intervals on them.

    Args:
        model: A Regression Transformer.
        sequences: Rows that it did not train on.
        values: Property -> (n,) measured, NaN where missing.
        batch_size: Rows at once.
        decode: As predictions will be decoded.
        point: As they will be read.
        seed: Of the five parts.

    Returns:
        Property -> a dict of plain values: rows, rmse, the level's scales and coverages; of zeros and ones the Brier
        score and the expected calibration error instead. Properties without a measured row are left out.

    Raises:
        UserError: The model has no such property.
    """
    from seqchem.prediction.predict import predict_properties, settled_point

    options: dict[str, Any] = {"batch_size": batch_size, "decode": decode, "point": point}
    found = predict_properties(model, sequences, list(values), **options)
    result = {}
    for name, measured in values.items():
        entry, truth = found[name], np.asarray(measured, dtype=np.float64)
        known = found.ok & np.isfinite(truth)
        if not known.any():
            continue
        if entry.probability is not None:
            result[name] = label_calibration(truth[known], entry.probability[known])
            continue
        form = model.tokenizer.number_formats[name]
        facts = calibration_of(truth[known], entry.values[known], entry.std[known], form.resolution, seed=seed)
        settled = settled_point(point, form)  # type: ignore[arg-type]
        result[name] = {"decode": decode, "point": settled, **facts}
    return result


def calibration_of(
    truth: np.ndarray, predicted: np.ndarray, std: np.ndarray, resolution: float, *, seed: int = 0
) -> dict[str, Any]:
    """Return scales and coverages of the levels.

    Args:
        truth: (n,) measured.
        predicted: (n,) predicted.
        std: (n,) deviations of the digit distributions.
        resolution: One step of the last digit.
        seed: Of the parts that the coverage is measured on.
    """
    errors = np.abs(predicted - truth)
    scores = errors / np.maximum(std + resolution, np.finfo(np.float64).tiny)
    parts = np.random.default_rng(seed).permutation(len(scores)) % _PARTS
    levels = {}
    for level in LEVELS:
        covered = []
        for part in range(min(_PARTS, len(scores))):
            inside, others = scores[parts == part], scores[parts != part]
            if len(others):
                covered.append(inside <= _quantile(others, level)[0])
        scale, enough = _quantile(scores, level)
        coverage = float(np.concatenate(covered).mean()) if covered else None
        levels[f"{level:g}"] = {"scale": scale, "coverage": coverage, "enough_rows": enough}
    rmse = float(np.sqrt(np.mean(errors**2)))
    return {"rows": len(scores), "rmse": rmse, "mean_std": float(std.mean()), "levels": levels}


def _quantile(scores: np.ndarray, level: float) -> tuple[float, bool]:
    """Return the conformal quantile, and whether there are rows enough for it; without them it is the greatest."""
    ordered, rank = np.sort(scores), int(np.ceil((len(scores) + 1) * level - 1e-9))
    return float(ordered[min(rank, len(ordered)) - 1]), rank <= len(ordered)


def label_calibration(labels: np.ndarray, probability: np.ndarray, *, bins: int = 10) -> dict[str, Any]:
    """Return how far probabilities are from shares: Brier score, expected calibration error, and the bins.

    Args:
        labels: (n,) zeros and ones.
        probability: (n,) of 1.
        bins: Of equal width.
    """
    place = np.minimum((probability * bins).astype(int), bins - 1)
    curve, error = [], 0.0
    for number in range(bins):
        chosen = place == number
        if chosen.any():
            said, share = float(probability[chosen].mean()), float(labels[chosen].mean())
            curve.append({"rows": int(chosen.sum()), "probability": said, "share": share})
            error += chosen.mean() * abs(said - share)
    brier = float(np.mean((probability - labels) ** 2))
    return {"rows": len(labels), "brier": brier, "calibration_error": float(error), "curve": curve}


def interval_scale(known: Mapping[str, Any] | None, level: float, point: str, decode: str) -> tuple[float, float]:
    """Return the scale of a level and its coverage; (0, NaN) where it was not calibrated so.

    Args:
        known: A property's part of `calibrate`.
        level: The coverage that is asked for.
        point: What stands for the distribution.
        decode: How it is decoded.
    """
    if known is None or (known.get("point"), known.get("decode")) != (point, decode):
        return 0.0, float("nan")
    found = known.get("levels", {}).get(f"{level:g}")
    if found is None:
        return 0.0, float("nan")
    coverage = found.get("coverage")
    return float(found["scale"]), float("nan") if coverage is None else float(coverage)
