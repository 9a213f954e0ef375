"""Runs as functions: typed results, and a validation that says what a prediction says."""

from __future__ import annotations

import numpy as np
import pytest

import seqchem.training.run as running
from seqchem.prediction import predict_properties
from seqchem.training import finetune, pretrain
from seqsuite.errors import UserError
from seqsuite.models import load_model
from seqsuite.reports import TableView, read_metrics


@pytest.mark.parametrize("mixer", ["xlnet", "mamba"])
def test_a_validation_is_a_prediction(options, mixer):
    """The error at the last step is that of the exported weights, predicted in another batching, row by row."""
    model = {"d_model": 16, "n_layer": 1, "mixer": mixer}
    result = finetune(options(export="last", model_options=model, split_sizes=(0.6, 0.3, 0.1)))
    metrics = read_metrics(result.fit.folder)
    for score in result.scores:
        if score.part == "valid":
            assert metrics[f"valid_rmse_{score.property}"][1][-1] == pytest.approx(score.scores.rmse, rel=1e-4)
    network = load_model(result.fit.folder / "model")
    score = next(score for score in result.scores if (score.part, score.property) == ("test", "weight"))
    rows = [row.split(",") for row in (result.fit.folder / "predictions.csv").read_text().splitlines()[1:]]
    texts = [row[2] for row in rows if (row[1], row[3]) == ("test", "weight")]
    found = predict_properties(network, texts, ["weight"], batch_size=3)["weight"].values
    np.testing.assert_allclose(found, score.predicted, rtol=1e-4)


def test_results_show_themselves(options, pretraining):
    first = pretrain(pretraining())
    assert isinstance(first, TableView)
    assert first.finished
    assert {row["what"] for row in first.table()} >= {"steps", "parameters", "train loss", "valid perplexity"}
    assert first.figure() is not None
    assert "<table" in first._repr_html_()
    result = finetune(options(start=str(first.fit.folder), model_options={"dropout": 0.0}))
    assert [(row["part"], row["property"]) for row in result.table()] == [
        (part, name) for part in ("valid", "test") for name in ("weight", "other")
    ]
    assert result.data["start"] == "pretrained"
    assert "<img" in result._repr_html_()
    assert load_model(result.fit.folder / "model").config.dropout == 0.0


def test_the_best_weights_are_exported(options):
    result = finetune(options(steps=9, lr=0.05, warmup=0.0))
    errors = read_metrics(result.fit.folder)["valid_relative_rmse"]
    assert len(errors[1]) == 3
    best = {score.property: score.scores.rmse for score in result.scores if score.part == "valid"}
    place = int(np.argmin(errors[1]))
    for name, value in best.items():
        assert read_metrics(result.fit.folder)[f"valid_rmse_{name}"][1][place] == pytest.approx(value, rel=1e-4)


def test_without_held_out_rows_there_are_losses_only(options):
    result = finetune(options(split_sizes=(1, 0, 0)))
    assert result.weights == "last"
    assert result.scores == ()
    assert any(row["what"] == "train property loss" for row in result.table())
    assert result.figure() is not None


def test_a_limit_draws_rows(options):
    result = finetune(options(limit=20, steps=1))
    assert result.data["rows"] == 20


def test_formats_come_from_the_training_rows_alone(options, write_table, molecules):
    """A value of the test that is far away changes neither the format nor the vocabulary."""
    rows = [(text, f"{index}.5", "train" if index < 60 else "test") for index, text in enumerate(molecules)]
    far = [*rows[:-1], ("[SeH]C[SiH3]", "1e6", "test")]
    models = []
    for name, table in (("near", rows), ("far", far)):
        path = write_table(("smiles", "y", "split"), table, name=f"{name}.csv")
        more = {"source": str(path), "properties": ("y",), "steps": 1, "alphabet": False}
        models.append(load_model(finetune(options(name, **more)).fit.folder / "model"))
    assert models[0].config.vocabulary == models[1].config.vocabulary
    assert models[0].config.number_formats == models[1].config.number_formats


def test_options_of_a_start(options, pretraining, tmp_path, monkeypatch):
    pretrain(pretraining(language="smiles"))
    start = str(tmp_path / "pretrained")
    with pytest.raises(UserError, match="--start says it; only dropout and max_length"):
        finetune(options(start=start, model_options={"n_layer": 2}))
    with pytest.raises(UserError, match="reads smiles; --language selfies does not fit it"):
        finetune(options(start=start, model_options={}, language="selfies"))
    monkeypatch.setattr(running, "fit", lambda *_, **__: pytest.fail("it trains"))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "calibration.json").write_text("{}")
    with pytest.raises(UserError, match=r"calibration\.json"):
        finetune(options())
