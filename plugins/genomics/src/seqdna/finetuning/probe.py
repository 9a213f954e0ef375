"""Linear models by scikit-learn: the probe on embeddings, and what the baselines share with it.

The strength of the regularisation is chosen on the validation rows. What is returned is a plain linear map,
outputs = x W^T + b, with the standardisation of the columns folded in.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np

from seqdna.finetuning.head import Head
from seqdna.finetuning.labelled import Problem
from seqdna.finetuning.metrics import lower_is_better, measure

STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0)
"""Inverse regularisation C of logistic regression; ridge regression takes 1 / C."""


class LinearModel(NamedTuple):
    """A fitted linear model.

    Attributes:
        weight: (K, D).
        bias: (K,).
        strength: The chosen inverse regularisation.
        valid: Its validation metrics.
    """

    weight: np.ndarray
    bias: np.ndarray
    strength: float
    valid: dict[str, float]

    def outputs(self, inputs: Any) -> np.ndarray:
        """Return (n, K) outputs of (n, D) inputs, dense or sparse."""
        return np.asarray(inputs @ self.weight.T) + self.bias


def fit_linear(
    problem: Problem,
    train: tuple[Any, np.ndarray],
    valid: tuple[Any, np.ndarray],
    *,
    metric: str,
    outputs: int,
    standardise: bool = True,
) -> LinearModel:
    """Fit logistic or ridge regression, choosing the strength on the validation rows.

    Args:
        problem: What is asked.
        train: Inputs (n, D), dense or sparse, and targets.
        valid: The same for the validation rows.
        metric: What chooses.
        outputs: K.
        standardise: Centre and scale the columns; for dense inputs.
    """
    from sklearn.preprocessing import StandardScaler

    inputs, targets = train
    mean, scale = np.zeros(1), np.ones(1)
    if standardise:
        scaler = StandardScaler().fit(inputs)
        mean, scale = scaler.mean_, scaler.scale_
        inputs = (inputs - mean) / scale
    head = Head(problem, tuple(str(k) for k in range(outputs)))
    best: LinearModel | None = None
    for strength in STRENGTHS:
        weight, bias = _fit(problem, inputs, targets, strength, outputs)
        weight = weight / scale
        bias = bias - weight @ np.broadcast_to(mean, weight.shape[1])
        model = LinearModel(weight.astype(np.float32), bias.astype(np.float32), strength, {})
        model = model._replace(valid=measure(problem, head.scores(model.outputs(valid[0])), valid[1]))
        if best is None or _better(metric, model.valid, best.valid):
            best = model
    assert best is not None
    return best


def _better(metric: str, new: dict[str, float], old: dict[str, float]) -> bool:
    if metric not in new or metric not in old:
        return False
    return new[metric] < old[metric] if lower_is_better(metric) else new[metric] > old[metric]


def _fit(
    problem: Problem, inputs: Any, targets: np.ndarray, strength: float, outputs: int
) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.linear_model import LogisticRegression, Ridge

    if problem == "regression":
        ridge = Ridge(alpha=1 / strength).fit(inputs, targets)
        return np.atleast_2d(ridge.coef_), np.atleast_1d(ridge.intercept_)
    if problem == "classification":
        return _logistic(LogisticRegression(C=strength, max_iter=300), inputs, targets, outputs)
    weight, bias = np.zeros((outputs, inputs.shape[1])), np.zeros(outputs)
    for k in range(outputs):
        on = targets[:, k].astype(int)
        if 0 < on.sum() < len(on):
            both = _logistic(LogisticRegression(C=strength, max_iter=300), inputs, on, 2)
            weight[k], bias[k] = both[0][1] - both[0][0], both[1][1] - both[1][0]
        else:
            bias[k] = 10.0 if on.sum() else -10.0
    return weight, bias


def _logistic(model: Any, inputs: Any, targets: np.ndarray, outputs: int) -> tuple[np.ndarray, np.ndarray]:
    """Fit and return one row of weights a class; classes without a training row are never predicted."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the strength is chosen by its validation metric
        model.fit(inputs, targets)
    weight, bias = np.zeros((outputs, inputs.shape[1])), np.full(outputs, -1e3)
    classes = model.classes_
    if len(classes) == 2:
        weight[classes[1]], bias[classes[0]], bias[classes[1]] = model.coef_[0], 0.0, model.intercept_[0]
    else:
        weight[classes], bias[classes] = model.coef_, model.intercept_
    return weight, bias
