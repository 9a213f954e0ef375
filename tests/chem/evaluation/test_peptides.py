"""Measures of generated peptides, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from seqchem.evaluation import evaluate_peptides
from seqsuite.errors import UserError


def test_measures_by_hand():
    made = ["ACDEFGHIKL", "ACDEFGHIKL", "ACDEYGHIKL", "WWWWW", "ACX", "", "acde"]
    train = ["ACDEFGHIKL", "GGGGGGGG"]
    found = evaluate_peptides(made, train=train, reference=["ACDE", "WWWWWW"]).values
    assert found["valid"] == pytest.approx(4 / 7)
    assert found["unique"] == pytest.approx(3 / 4)
    assert found["novel"] == pytest.approx(2 / 3)
    assert found["nearest_train"] == pytest.approx((1 + 0.9 + 0) / 3)
    assert found["near_copies"] == pytest.approx(2 / 3)
    assert found["nearest_reference"] == pytest.approx((0.4 + 0.4 + 1) / 3)
    # Lengths 10, 10, 10 and 5 beside 4 and 6: the sorted halves are 7.5 and 10 beside 4 and 6.
    assert found["distance_length"] == pytest.approx(0.5 * (7.5 - 4) + 0.5 * (10 - 6))


def test_asked_and_obtained_are_compared():
    asked = {"boman": np.array([1.0, 2.0, 3.0])}
    scores = evaluate_peptides(["ACD", "CDE", "DEF"], asked=asked, obtained={"boman": np.array([0.0, 1.0, math.nan])})
    assert scores.asked["boman"]["spearman"] == pytest.approx(1)
    assert scores.asked["boman"]["rmse"] == pytest.approx(1)
    assert {"measure": "boman peptides", "value": 2.0, "meaning": "asked and obtained boman"} in scores.table()
    assert set(scores.values) == {"valid", "unique"}
    assert scores.to_dict()["count"] == 3


def test_nothing_valid_and_nothing_at_all():
    found = evaluate_peptides(["1", ""], train=["ACD"], reference=["ACD"]).values
    assert found["valid"] == 0
    assert all(math.isnan(value) for name, value in found.items() if name != "valid")
    with pytest.raises(UserError, match="no generated sequences"):
        evaluate_peptides([])
