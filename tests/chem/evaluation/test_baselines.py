"""Baselines: what they may see, what they make of gaps, and that they learn."""

from __future__ import annotations

import numpy as np
import pytest

from seqchem.evaluation.baselines import FeatureTable, features_of, fit_baseline, run_baselines
from seqchem.evaluation.regression import regression_scores
from seqsuite.errors import UserError

KINDS = ("random forest", "gradient boosting")


def _features(values: np.ndarray) -> FeatureTable:
    return FeatureTable("descriptors", values, tuple(f"d{number}" for number in range(values.shape[1])))


def _table(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    values = generator.normal(size=(rows, 6))
    return values, values[:, 0] ** 2 + values[:, 1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_descriptor_that_is_the_target_is_left_out(kind: str) -> None:
    values, target = _table(80, 0)
    given = np.column_stack([values, np.round(3 * target - 2, 2)])  # up to scale, shift and rounding
    test, truth = _table(40, 1)
    asked = np.column_stack([test, np.round(3 * truth - 2, 2)])
    fit = fit_baseline(kind, _features(given), target, _features(asked), seeds=(0,))
    assert fit.left_out == ("d6",)
    alone = fit_baseline(kind, _features(values), target, _features(test), seeds=(0,))
    assert alone.left_out == ()
    np.testing.assert_array_equal(fit.predictions, alone.predictions)


def test_rdkits_own_qed_is_no_feature_for_qed(smiles: list[str]) -> None:
    from rdkit import Chem
    from rdkit.Chem import QED

    target = np.array([round(QED.qed(Chem.MolFromSmiles(text)), 3) for text in smiles])
    table = features_of(smiles, "selfies")[0]
    assert "qed" in table.columns
    fit = fit_baseline("gradient boosting", table, target, table, seeds=(0,))
    assert fit.left_out == ("qed",)


@pytest.mark.parametrize("kind", KINDS)
def test_gaps_and_overflow_become_numbers(kind: str) -> None:
    values, target = _table(60, 0)
    test, _ = _table(20, 1)
    values[:30, 2], test[:10, 2] = np.nan, np.inf
    values[:, 3], test[:, 3] = np.nan, 1.0  # no number in training
    values[:, 4], test[:, 4] = 7.0, -7.0  # constant in training
    values[:5, 5], test[:5, 5] = 1e300, -1e300  # beyond float32
    fit = fit_baseline(kind, _features(values), target, _features(test), seeds=(0,))
    assert np.isfinite(fit.predictions).all()
    other = test.copy()
    other[:10, 2], other[:, 3], other[:, 4] = np.nan, 5.0, 100.0
    again = fit_baseline(kind, _features(values), target, _features(other), seeds=(0,))
    np.testing.assert_array_equal(fit.predictions, again.predictions)


def test_gaps_are_filled_from_training_rows_alone() -> None:
    values, target = _table(60, 0)
    test = np.full((1, 6), np.nan)
    many = np.concatenate([test, np.full((50, 6), 99.0)])
    first = fit_baseline("random forest", _features(values), target, _features(test), seeds=(0,)).predictions
    second = fit_baseline("random forest", _features(values), target, _features(many), seeds=(0,)).predictions
    np.testing.assert_allclose(first[:, 0], second[:, 0])


def test_seeds_are_repeated_and_differ() -> None:
    (values, target), (test, truth) = _table(80, 0), _table(80, 1)
    fit = fit_baseline("random forest", _features(values), target, _features(test), seeds=(3, 4))
    again = fit_baseline("random forest", _features(values), target, _features(test), seeds=(4,))
    np.testing.assert_array_equal(fit.predictions[1], again.predictions[0])
    assert not np.array_equal(fit.predictions[0], fit.predictions[1])
    assert regression_scores(truth, fit.predictions[0], resamples=0).r2 > 0.5


def test_zeros_and_ones_make_classifiers() -> None:
    (values, target), (test, truth) = _table(80, 0), _table(40, 1)
    fit = fit_baseline("random forest", _features(values), (target > 1).astype(float), _features(test), seeds=(0,))
    assert ((fit.predictions >= 0) & (fit.predictions <= 1)).all()
    assert fit.predictions[0][truth > 1.5].mean() > fit.predictions[0][truth < 0.5].mean() + 0.3


def test_all_baselines_of_molecules(smiles: list[str]) -> None:
    lengths = np.array([float(len(text)) for text in smiles])
    lengths[0] = np.nan
    told: list[str] = []
    found = run_baselines(smiles, {"x": lengths}, smiles[:5], language="smiles", tell=told.append)["x"]
    assert list(found) == [
        "training mean",
        "random forest, descriptors",
        "gradient boosting, descriptors",
        "random forest, Morgan",
        "gradient boosting, Morgan",
    ]
    assert len(told) == 4
    np.testing.assert_allclose(found["training mean"].predictions, np.nanmean(lengths))
    assert {fit.train_rows for fit in found.values()} == {len(smiles) - 1}
    assert {fit.predictions.shape for fit in found.values()} == {(1, 5)}


def test_proteins_have_their_own_features() -> None:
    letters = "ACDEFGHIKLMNPQRSTVWY"
    peptides = [letters[i:] + letters[:i] + "K" * (i % 5) for i in range(20)]
    target = np.array([float(text.count("K")) for text in peptides])
    found = run_baselines(peptides, {"k": target}, peptides, language="protein")["k"]
    assert list(found) == ["training mean", "random forest, composition", "gradient boosting, composition"]
    assert regression_scores(target, found["random forest, composition"].predictions[0]).r2 > 0.8


def test_what_has_no_baseline(smiles: list[str]) -> None:
    with pytest.raises(UserError, match="no descriptors of reactions"):
        run_baselines(["CCO>>CC=O"], {"y": np.ones(1)}, ["CCO>>CC=O"], language="reaction")
    with pytest.raises(UserError, match="y has 1 training values; at least 2"):
        run_baselines(smiles, {"y": np.array([1.0] + [np.nan] * (len(smiles) - 1))}, smiles, language="smiles")
