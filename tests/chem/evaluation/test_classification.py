"""Metrics of probabilities against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from seqchem.evaluation import classification_scores
from seqchem.evaluation.classification import is_binary


def test_metrics_are_those_of_the_library() -> None:
    generator = np.random.default_rng(0)
    labels = (generator.random(300) < 0.3).astype(float)
    chance = np.clip(np.round(0.3 * labels + generator.random(300) * 0.7, 2), 0, 1)
    found, said = classification_scores(labels, chance), chance >= 0.5
    assert found.roc_auc == pytest.approx(metrics.roc_auc_score(labels, chance))
    assert found.pr_auc == pytest.approx(metrics.average_precision_score(labels, chance))
    assert found.accuracy == pytest.approx(metrics.accuracy_score(labels, said))
    assert found.balanced_accuracy == pytest.approx(metrics.balanced_accuracy_score(labels, said))
    assert found.f1 == pytest.approx(metrics.f1_score(labels, said))
    assert found.mcc == pytest.approx(metrics.matthews_corrcoef(labels, said))
    assert found.brier == pytest.approx(metrics.brier_score_loss(labels, chance))
    assert (found.rows, found.positives) == (300, int(labels.sum()))
    for name in ("roc_auc", "pr_auc", "accuracy"):
        low, high = found.intervals[name]
        assert low < getattr(found, name) < high
        assert high - low < 0.25
    assert classification_scores(labels, chance) == found


def test_one_class_has_no_areas() -> None:
    found = classification_scores([1, 1, 1], [0.2, 0.9, 0.6])
    assert np.isnan([found.roc_auc, found.pr_auc, found.mcc, found.balanced_accuracy]).all()
    assert found.accuracy == pytest.approx(2 / 3)
    assert "roc_auc" not in found.intervals


def test_what_is_a_column_of_classes() -> None:
    assert is_binary([0, 1, np.nan, 1])
    assert not is_binary([0, 0, 0])
    assert not is_binary([0, 1, 2])
    assert not is_binary([0, 0.5, 1])
    with pytest.raises(ValueError, match="labels must be 0 or 1"):
        classification_scores([0, 2], [0.1, 0.2])
    with pytest.raises(ValueError, match="n > 0"):
        classification_scores([], [])
