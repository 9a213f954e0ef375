"""Measuring a model on rows of known properties, beside baselines that were trained on its own training rows.

    result = evaluate_properties(model, test, {"logs": z}, train=train, train_values={"logs": y}, baselines=True)
    result["logs"].models[0].seeds[0].rmse

Rows without a value of a property count nowhere for that property; rows that cannot be predicted count nowhere at all,
for the baselines neither.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from seqchem.evaluation.baselines import BaselineFit, run_baselines
from seqchem.evaluation.classification import classification_scores
from seqchem.evaluation.regression import paired_rmse, regression_scores
from seqchem.evaluation.results import OURS, ModelScores, PropertyEvaluation, PropertyTest
from seqchem.prediction.results import PredictedProperty
from seqsuite.errors import UserError

__all__ = ["evaluate_properties"]


def evaluate_properties(
    model: Any,
    sequences: Sequence[str],
    values: Mapping[str, Any],
    *,
    train: Sequence[str] = (),
    train_values: Mapping[str, Any] | None = None,
    baselines: bool = False,
    seeds: Sequence[int] = (0,),
    threads: int = 1,
    calibration: Mapping[str, Any] | None = None,
    rows: Sequence[int] = (),
    name: str = OURS,
    source: str = "the rows given",
    status: Sequence[str] | None = None,
    left_out: int = 0,
    tell: Callable[[str], None] | None = None,
    **options: Any,
) -> PropertyEvaluation:
    """Predict rows and compare with what was measured.

    Args:
        model: A Regression Transformer.
        sequences: n test sequences.
        values: Property -> (n,) measured, NaN where missing.
        train: Training sequences of the baselines; test rows among them are counted.
        train_values: Property -> their values.
        baselines: Train random forests and gradient boosting on the training rows.
        seeds: Of the baselines, one fit for each.
        threads: Of the forests.
        calibration: Of the model's intervals, from `calibrate`.
        rows: Line numbers of the test rows.
        name: Of the model.
        source: Of the rows, in words.
        status: See `predict_properties`.
        left_out: Rows that could not be read, to be told.
        tell: Takes lines on what is being done.
        options: Further ones of `predict_properties`: batch_size, decode, point, clip, device.

    Raises:
        UserError: No row has a value, the model has no such property, or there are no training rows for baselines.
    """
    from seqchem.prediction.predict import predict_properties

    begun = time.perf_counter()
    if baselines and not len(seeds):
        raise UserError("--seeds: baselines need at least one seed")
    if baselines and not len(train):
        raise UserError("--baselines: there are no training rows to fit them on")
    found = predict_properties(model, sequences, list(values), calibration=calibration, status=status, **options)
    numbers = list(rows) or list(range(1, len(sequences) + 1))
    fits: dict[str, dict[str, BaselineFit]] = {}
    if baselines:
        given = {prop: np.asarray((train_values or {})[prop], dtype=np.float64) for prop in values}
        readable = [sequences[index] for index in np.flatnonzero(found.ok).tolist()]
        language = model.config.language
        fits = run_baselines(train, given, readable, language=language, seeds=seeds, threads=threads, tell=tell)
    known, tests = set(train), []
    place = np.cumsum(found.ok) - 1  # where a row stands among those the baselines predict
    for prop, measured in values.items():
        truth = np.asarray(measured, dtype=np.float64)
        chosen = np.flatnonzero(found.ok & np.isfinite(truth))
        if not len(chosen):
            raise UserError(f"{source}: no row that can be predicted has a value of {prop}")
        others = [(fit, fit.predictions[:, place[chosen]]) for fit in fits.get(prop, {}).values()]
        coverage = _coverage(model, found[prop], truth, chosen, calibration, options)
        test = _measured(found[prop], truth, chosen, others, name=name)
        seen = sum(sequences[index] in known for index in chosen.tolist())
        lines = tuple(numbers[index] for index in chosen)
        tests.append(dataclasses.replace(test, rows=lines, coverage=coverage, seen=seen))
    refused = len(sequences) - int(found.ok.sum()) + left_out
    return PropertyEvaluation(name, source, tuple(tests), refused, time.perf_counter() - begun)


def _measured(
    entry: PredictedProperty,
    truth: np.ndarray,
    chosen: np.ndarray,
    others: Sequence[tuple[BaselineFit, np.ndarray]],
    *,
    name: str,
) -> PropertyTest:
    """Return the scores of one property on some rows, beside baselines that predicted these rows."""
    binary = entry.probability is not None and set(np.unique(truth[chosen]).tolist()) <= {0.0, 1.0}
    predicted = (entry.probability if binary and entry.probability is not None else entry.values)[chosen]
    return PropertyTest(
        name=entry.name,
        rows=(),
        truth=truth[chosen],
        predicted=predicted,
        std=entry.std[chosen],
        models=_models(truth[chosen], predicted, others, name=name, binary=binary),
        binary=binary,
        invalid_rate=float("nan") if entry.invalid is None else float(entry.invalid[chosen].mean()),
    )


def _models(
    truth: np.ndarray,
    predicted: np.ndarray,
    baselines: Sequence[tuple[BaselineFit, np.ndarray]],
    *,
    name: str,
    binary: bool,
) -> tuple[ModelScores, ...]:
    measure: Callable[..., Any] = classification_scores if binary else regression_scores
    ours = measure(truth, predicted)
    models = [ModelScores(name, (ours,))]
    for fit, guesses in baselines:
        seeds = tuple(measure(truth, guess) for guess in guesses)
        difference = interval = None
        if not binary:
            difference = ours.rmse - float(np.mean([scores.rmse for scores in seeds]))
            interval = paired_rmse(truth, predicted, guesses[0])[1]
        models.append(ModelScores(fit.name, seeds, difference, interval, fit.left_out, fit.train_rows))
    return tuple(models)


def _coverage(
    model: Any,
    entry: PredictedProperty,
    truth: np.ndarray,
    chosen: np.ndarray,
    calibration: Mapping[str, Any] | None,
    options: Mapping[str, Any],
) -> dict[float, float]:
    """Return the covered share of the rows at every calibrated level."""
    from seqchem.prediction.calibration import LEVELS, interval_scale
    from seqchem.prediction.predict import settled_point

    known = (calibration or {}).get(entry.name)
    if known is None or entry.probability is not None:
        return {}
    decode = options.get("decode", "independent")
    form = model.tokenizer.number_formats[entry.name]
    point = settled_point(options.get("point", "auto"), form)
    errors, width = np.abs(entry.values - truth)[chosen], (entry.std + form.resolution)[chosen]
    scales = {level: interval_scale(known, level, point, decode)[0] for level in LEVELS}
    return {level: float(np.mean(errors <= scale * width)) for level, scale in scales.items() if scale > 0}
