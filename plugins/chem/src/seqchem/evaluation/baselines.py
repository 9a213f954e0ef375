"""Random forest and gradient boosting on descriptors and fingerprints, trained on the rows the model was trained on.

    result = run_baselines(train, {"logs": y}, test, {"logs": z}, language="smiles", seeds=(0, 1, 2))
    result["logs"]["random forest, descriptors"].predictions       # (S, n)

Molecules: RDKit's two-dimensional descriptors and Morgan fingerprints (radius 2, 2048 bits). Proteins: composition
descriptors. Nothing but the sequence enters: no other column of a file, and no descriptor that is the target itself
(a forest that is given QED predicts QED). What is not a number becomes the median of the training rows; a column that
is constant there, or has no number, is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from seqchem.evaluation.classification import is_binary
from seqsuite.errors import UserError

__all__ = ["BaselineFit", "FeatureTable", "features_of", "fit_baseline", "run_baselines"]

_SAME = 0.9999
"""Correlation with the target from which on a descriptor is taken for the target."""


@dataclass(frozen=True)
class FeatureTable:
    """Numbers that describe sequences.

    Attributes:
        name: What they are, in words.
        values: (n, F) float64; NaN where one is not defined.
        columns: F names.
        bits: They are bits of a fingerprint, none of which can be the target.
    """

    name: str
    values: np.ndarray = field(repr=False)
    columns: tuple[str, ...] = field(repr=False)
    bits: bool = False

    def rows(self, chosen: np.ndarray) -> FeatureTable:
        """Return some of the rows."""
        return FeatureTable(self.name, self.values[chosen], self.columns, self.bits)


@dataclass(frozen=True)
class BaselineFit:
    """What one baseline predicts for the test rows, a row of predictions for each seed.

    Attributes:
        name: The model and its features, in words.
        predictions: (S, n): numbers, or probabilities of 1.
        left_out: Descriptors that are the target itself.
        train_rows: Rows it was trained on.
    """

    name: str
    predictions: np.ndarray = field(repr=False)
    left_out: tuple[str, ...] = ()
    train_rows: int = 0


def features_of(sequences: Sequence[str], language: str) -> list[FeatureTable]:
    """Describe sequences by every kind of feature that suits them.

    Args:
        sequences: SMILES, or letters of amino acids.
        language: Of the model: "protein", or one of molecules; SMILES are given for SELFIES too.

    Raises:
        UserError: A language without descriptors (reactions).
    """
    if language == "reaction":
        raise UserError("--baselines: there are no descriptors of reactions; leave it out")
    if language == "protein":
        from seqchem.proteins import protein_descriptors

        values, names = protein_descriptors(list(sequences))
        return [FeatureTable("composition", np.asarray(values, dtype=np.float64), tuple(names))]
    from seqchem.chemistry.fingerprints import descriptors, morgan

    bits = morgan(list(sequences))
    described, columns = descriptors(list(sequences))
    return [
        FeatureTable("descriptors", described, tuple(columns)),
        FeatureTable("Morgan", bits, tuple(f"bit {number}" for number in range(bits.shape[1])), bits=True),
    ]


def run_baselines(
    train: Sequence[str],
    train_values: Mapping[str, np.ndarray],
    test: Sequence[str],
    *,
    language: str,
    seeds: Sequence[int] = (0,),
    threads: int = 1,
    tell: Callable[[str], None] | None = None,
) -> dict[str, dict[str, BaselineFit]]:
    """Fit every baseline for every property and predict the test rows.

    Args:
        train: Training sequences.
        train_values: Property -> (n,) numbers, NaN where missing.
        test: Test sequences.
        language: Of the model.
        seeds: One fit for each.
        threads: Of the forests.
        tell: Takes a line for each fit.

    Returns:
        Property -> name of the baseline -> its predictions. "training mean" is among them.

    Raises:
        UserError: A property has fewer than two training values.
    """
    described, asked = features_of(train, language), features_of(test, language)
    result: dict[str, dict[str, BaselineFit]] = {}
    for name, values in train_values.items():
        known = np.flatnonzero(np.isfinite(values))
        if len(known) < 2:
            raise UserError(f"--baselines: {name} has {len(known)} training values; at least 2 are needed")
        target = np.asarray(values, dtype=np.float64)[known]
        mean = np.full((1, len(test)), target.mean())
        result[name] = {"training mean": BaselineFit("training mean", mean, (), len(known))}
        for features, inputs in zip(described, asked, strict=True):
            for kind in ("random forest", "gradient boosting"):
                if tell is not None:
                    tell(f"baseline of {name}: {kind} on {features.name}, {len(known):,} rows")
                fit = fit_baseline(kind, features.rows(known), target, inputs, seeds=seeds, threads=threads)
                result[name][fit.name] = fit
    return result


def fit_baseline(
    kind: str, train: FeatureTable, target: np.ndarray, test: FeatureTable, *, seeds: Sequence[int], threads: int = 1
) -> BaselineFit:
    """Fit one baseline with each seed and predict the test rows.

    Args:
        kind: "random forest" or "gradient boosting".
        train: (n, F) features of the training rows.
        target: (n,) finite numbers; zeros and ones alone make it a classifier.
        test: (m, F) features of the same columns.
        seeds: One fit for each.
        threads: Of the forest.
    """
    inputs, asked, left_out = _prepared(train, target, test)
    binary, found = is_binary(target), []
    for seed in seeds:
        model = _model(kind, binary, seed, threads)
        model.fit(inputs, target.astype(int) if binary else target)
        found.append(model.predict_proba(asked)[:, 1] if binary else model.predict(asked))
    return BaselineFit(f"{kind}, {train.name}", np.stack(found), left_out, len(target))


def _prepared(
    train: FeatureTable, target: np.ndarray, test: FeatureTable
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Return inputs without gaps, constants and the target itself, and the names of what was the target."""
    if train.bits:
        return train.values, test.values, ()
    values = np.where(np.isfinite(train.values), train.values, np.nan)
    some = np.isfinite(values).any(0)
    medians = np.zeros(values.shape[1])
    medians[some] = np.nanmedian(values[:, some], axis=0)
    filled = [np.where(np.isfinite(part), part, medians) for part in (values, test.values)]
    low, high = filled[0].min(0), filled[0].max(0)
    same = _is_target(filled[0], target, low < high)
    kept = (low < high) & ~same
    names = tuple(name for name, out in zip(train.columns, same, strict=True) if out)
    # Trees look at the order alone, and take float32.
    limit = float(np.finfo(np.float32).max)
    first, second = (np.clip(part[:, kept], -limit, limit).astype(np.float32) for part in filled)
    return first, second, names


def _is_target(values: np.ndarray, target: np.ndarray, varies: np.ndarray) -> np.ndarray:
    """Return for each column (n, F) whether it is the target up to scale, shift and rounding: (F,) bool."""
    same = np.zeros(values.shape[1], dtype=bool)
    if len(target) < 10 or np.ptp(target) == 0:  # few rows correlate by chance
        return same
    for column in np.flatnonzero(varies):
        found = values[:, column] / np.abs(values[:, column]).max()
        same[column] = abs(np.corrcoef(found, target)[0, 1]) > _SAME
    return same


def _model(kind: str, binary: bool, seed: int, threads: int) -> Any:
    from sklearn import ensemble

    if kind == "random forest":
        share = "sqrt" if binary else 1 / 3
        make = ensemble.RandomForestClassifier if binary else ensemble.RandomForestRegressor
        return make(n_estimators=500, max_features=share, random_state=seed, n_jobs=threads)
    make = ensemble.HistGradientBoostingClassifier if binary else ensemble.HistGradientBoostingRegressor
    options = {"max_iter": 300, "learning_rate": 0.05, "max_features": 0.3, "early_stopping": False}
    return make(random_state=seed, **options)
