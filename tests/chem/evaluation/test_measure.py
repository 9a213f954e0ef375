"""A model beside baselines: the same rows, the metrics of the numbers that `predict` gives."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqchem.evaluation import classification_scores, evaluate_properties, regression_scores
from seqchem.prediction import calibrate, predict_properties
from seqsuite.errors import UserError


def _values(smiles: list[str]) -> dict[str, np.ndarray]:
    x = np.array([len(text) / 3 for text in smiles])
    return {"x": x, "active": (x > np.median(x)).astype(float)}


def test_scores_are_those_of_the_predictions(network: Any, smiles: list[str]) -> None:
    values = _values(smiles)
    values["x"][3] = np.nan
    rows = [*smiles, "C1CC"]
    measured = {name: np.append(column, 1.0) for name, column in values.items()}
    result = evaluate_properties(network, rows, measured)
    found = predict_properties(network, smiles)
    known = ~np.isnan(values["x"])
    assert result["x"].models[0].seeds[0] == regression_scores(values["x"][known], found["x"].values[known])
    assert result["active"].binary
    assert result["active"].models[0].seeds[0] == classification_scores(values["active"], found["active"].probability)
    assert result["x"].rows == tuple(number for number in range(1, 21) if number != 4)
    assert result.refused == 1
    assert found["x"].invalid is not None
    assert result["x"].invalid_rate == found["x"].invalid[known].mean()


def test_baselines_stand_beside_on_the_same_rows(network: Any, smiles: list[str]) -> None:
    values = _values(smiles)
    test = [*smiles[:6], "not a molecule"]
    measured = {"x": np.append(values["x"][:6], 2.0)}
    given: dict[str, Any] = {"train": smiles[4:], "train_values": {"x": values["x"][4:]}}
    result = evaluate_properties(network, test, measured, baselines=True, seeds=(0, 1), **given)["x"]
    assert len(result.models) == 6
    mean = result.models[1]
    assert mean.name == "training mean"
    guess = np.full(6, values["x"][4:].mean())
    assert mean.mean("rmse") == pytest.approx(regression_scores(values["x"][:6], guess).rmse)
    ours = result.models[0].mean("rmse")
    for model in result.models[1:]:
        assert len(model.seeds) == (1 if model is mean else 2)
        assert {scores.rows for scores in model.seeds} == {6}
        assert model.difference == pytest.approx(ours - model.mean("rmse"))
    assert result.seen == 2
    assert "2 of 6 test rows are training rows as well" in "\n".join(result.notes())
    best = result.best_baseline
    assert best is not None
    assert best.mean("rmse") == min(model.mean("rmse") for model in result.models[1:])
    assert [row["model"] for row in result.table()] == [model.name for model in result.models]


def test_coverage_is_that_of_the_intervals(network: Any, smiles: list[str]) -> None:
    values = {"x": _values(smiles)["x"]}
    calibration = calibrate(network, smiles[:10], {"x": values["x"][:10]})
    rest, truth = smiles[10:], values["x"][10:] + 0.01  # a row that set a scale would lie on the very end
    result = evaluate_properties(network, rest, {"x": truth}, calibration=calibration)
    for level, share in result["x"].coverage.items():
        entry = predict_properties(network, rest, ["x"], calibration=calibration, level=level)["x"]
        assert share == np.mean((entry.low <= truth) & (truth <= entry.high))
    assert list(result["x"].coverage) == [0.5, 0.8, 0.9, 0.95]
    assert result.calibration_figure() is not None
    assert evaluate_properties(network, smiles, values).calibration_figure() is None


def test_peptides_have_baselines_of_their_own() -> None:
    import seqsuite
    from seqchem.tokenizers import NumberFormat, build_vocabulary

    letters = "ACDEFGHIKLMNPQRSTVWY"
    peptides = [letters[i:] + "K" * (i % 3) for i in range(18)]
    labels = np.array([float(i % 3 == 2) for i in range(18)])
    model = seqsuite.create_model(
        "rt_debug",
        vocabulary=build_vocabulary(peptides, "protein", ["active"]),
        language="protein",
        number_formats={"active": NumberFormat.from_values([0, 1]).to_dict()},
    )
    given: dict[str, Any] = {"train": peptides[6:], "train_values": {"active": labels[6:]}}
    test = evaluate_properties(model, peptides[:6], {"active": labels[:6]}, baselines=True, **given)["active"]
    assert [entry.name for entry in test.models[2:]] == [
        "random forest, composition",
        "gradient boosting, composition",
    ]
    assert test.binary
    assert test.models[1].mean("brier") == pytest.approx(np.mean((labels[6:].mean() - labels[:6]) ** 2))
    assert [entry.difference for entry in test.models] == [None] * 4


def test_everything_is_written(network: Any, smiles: list[str], tmp_path: Path) -> None:
    result = evaluate_properties(network, smiles, _values(smiles), source="twenty rows")
    result.save(tmp_path / "out")
    with open(tmp_path / "out" / "predictions.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["property"] == "x"]
    truth, predicted = (np.array([float(row[name]) for row in rows]) for name in ("measured", "predicted"))
    kept = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    rmse = kept["properties"][0]["models"][0]["seeds"][0]["rmse"]
    assert rmse == pytest.approx(regression_scores(truth, predicted).rmse, rel=1e-5)
    assert (tmp_path / "out" / "parity.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "invalid-number rate" in page
    assert "twenty rows" in page
    assert "<img" in result._repr_html_()


def test_what_cannot_be_measured(network: Any, smiles: list[str]) -> None:
    with pytest.raises(UserError, match="no row that can be predicted has a value of x"):
        evaluate_properties(network, smiles, {"x": np.full(20, np.nan)})
    with pytest.raises(UserError, match="no training rows to fit them on"):
        evaluate_properties(network, smiles, _values(smiles), baselines=True)
    with pytest.raises(UserError, match="Unknown property of this model 'y'"):
        evaluate_properties(network, smiles, {"y": np.ones(20)})
