"""The end of fine-tuning: the exported model predicts what it was not trained on, and its intervals are calibrated."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from seqchem.evaluation.classification import ClassificationScores, classification_scores
from seqchem.evaluation.regression import RegressionScores, regression_scores
from seqchem.prediction.calibration import calibrate
from seqchem.prediction.predict import predict_properties
from seqchem.training.inputs import TrainingInputs
from seqsuite.data.order import item_rng

_SCORED = 17
_LEVEL = 0.9


@dataclass(frozen=True)
class PartScores:
    """One property on one part.

    Attributes:
        part: valid or test.
        property: Its name.
        scores: Against the measured values, in their units; of labels 0 and 1, of the probability of 1.
        mean_rmse: Root mean square error of always saying the mean of the training rows.
        invalid: Share of rows whose likeliest tokens would have been no number without the grammar.
        coverage: Share of measured values within the interval for nine in ten; None for labels.
        measured: (n,) the measured values.
        predicted: (n,) the predicted ones; of labels the probability of 1.
        std: (n,) deviations of the digit distributions.
        rows: (n,) indices into the run's table.
    """

    part: str
    property: str
    scores: RegressionScores | ClassificationScores
    mean_rmse: float
    invalid: float
    coverage: float | None
    measured: np.ndarray
    predicted: np.ndarray
    std: np.ndarray
    rows: np.ndarray

    def row(self) -> dict[str, Any]:
        """Return one row of a table."""
        found: dict[str, Any] = {"part": self.part, "property": self.property, "rows": len(self.measured)}
        if isinstance(self.scores, ClassificationScores):
            names = ("roc_auc", "pr_auc", "mcc", "accuracy", "brier")
            return found | {name: getattr(self.scores, name) for name in names}
        found |= {name: getattr(self.scores, name) for name in ("rmse", "mae", "r2", "pearson", "spearman")}
        return found | {"rmse of the mean": self.mean_rmse, "invalid": self.invalid, "90 % covers": self.coverage}


def score_parts(
    model: Any, inputs: TrainingInputs, *, rows: int, seed: int, batch_size: int = 64
) -> tuple[list[PartScores], dict[str, Any]]:
    """Predict the validation and test rows.

    Args:
        model: The exported one.
        inputs: The rows.
        rows: Most rows of a part; more are drawn from.
        seed: Of that draw and of the calibration's parts.
        batch_size: Rows at once.

    Returns:
        The scores, and what `seqchem.prediction.calibrate` found on the validation rows; nothing of a model without
        properties.
    """
    if not inputs.table.values:
        return [], {}
    parts = {part: _drawn(inputs.rows(part), rows, seed) for part in ("valid", "test")}
    calibration: dict[str, Any] = {}
    valid = parts["valid"]
    if len(valid):
        values = {name: column[valid] for name, column in inputs.table.values.items()}
        known = {name: column for name, column in values.items() if not np.isnan(column).all()}
        texts = [inputs.table.sequences[row] for row in valid]
        calibration = calibrate(model, texts, known, batch_size=batch_size, seed=seed)
    found = [
        score
        for part, chosen in parts.items()
        if len(chosen)
        for score in _score_part(model, inputs, part, chosen, calibration, batch_size)
    ]
    return found, calibration


def _drawn(rows: np.ndarray, most: int, seed: int) -> np.ndarray:
    return rows if len(rows) <= most else np.sort(item_rng(seed, _SCORED).permutation(rows)[:most])


def _score_part(
    model: Any, inputs: TrainingInputs, part: str, rows: np.ndarray, calibration: Mapping[str, Any], batch_size: int
) -> list[PartScores]:
    texts = [inputs.table.sequences[row] for row in rows]
    predictions = predict_properties(
        model,
        texts,
        batch_size=batch_size,
        calibration=calibration or None,
        level=_LEVEL,
        status=["ok"] * len(texts),
    )
    found = []
    for name, column in inputs.table.values.items():
        entry, measured = predictions[name], column[rows]
        known = predictions.ok & ~np.isnan(measured) & ~np.isnan(entry.values)
        if not known.any():
            continue
        truth, training = measured[known], column[inputs.rows("train")]
        binary = entry.probability is not None
        predicted = entry.probability[known] if entry.probability is not None else entry.values[known]
        scores = classification_scores(truth, predicted) if binary else regression_scores(truth, predicted)
        inside = (entry.low[known] <= truth) & (truth <= entry.high[known])
        found.append(
            PartScores(
                part=part,
                property=name,
                scores=scores,
                mean_rmse=float(np.sqrt(np.mean((truth - np.nanmean(training)) ** 2))),
                invalid=math.nan if entry.invalid is None else float(entry.invalid[known].mean()),
                coverage=None if binary else float(inside.mean()),
                measured=truth,
                predicted=predicted,
                std=entry.std[known],
                rows=rows[known],
            )
        )
    return found
