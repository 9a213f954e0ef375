"""`seqvision.load`: what a notebook does with a trained classifier."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import seqvision
from seqsuite.errors import UserError
from seqsuite.models import create_model
from seqvision.configs.train import VisionTrainConfig
from seqvision.evaluation import measure
from seqvision.training import train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one step."""
    folder = tmp_path_factory.mktemp("api") / "run"
    train(VisionTrainConfig("digits", model="test_resnet", hflip=0.0, steps=1, batch_size=8, out=str(folder)))
    return folder


def test_the_package_loads_no_torch():
    code = (
        "import sys, seqvision, seqvision.data, seqvision.training, seqvision.evaluation; print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def test_a_run_shows_itself(run):
    model = seqvision.load(run)
    table = model.table()
    assert table["inputs"] == "1 x 8 x 8"
    assert table["classes"] == 10
    assert "test_resnet" in model._repr_html_()
    assert not model.model.training


def test_features_are_what_the_last_map_reads(run):
    model = seqvision.load(run)
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8), dtype=np.uint8)
    features = torch.from_numpy(model.features(images, batch=2)).float()
    net = model.model.net
    found = model.predict(images, batch=3)
    assert torch.allclose(net.fc(features).double().softmax(1), torch.from_numpy(found.probs), atol=1e-5)
    assert features.shape == (5, net.num_features)


def test_predictions_do_not_depend_on_the_batch(run):
    model = seqvision.load(run)
    images = np.random.default_rng(0).integers(0, 256, (7, 8, 8), dtype=np.uint8)
    one, other = model.predict(images, batch=1), model.predict(images, batch=7)
    assert np.allclose(one.probs, other.probs, atol=1e-6)
    assert np.allclose(one.probs.sum(1), 1)
    assert len(one.table()) == 7
    assert len(one.figure().axes) == 14


def test_arrays_that_do_not_fit(run):
    model = seqvision.load(run)
    with pytest.raises(UserError, match=r"must be \(n, height, width\)"):
        model.predict(np.zeros((2, 3, 4, 5, 6)))
    with pytest.raises(UserError, match="--top is 0"):
        model.predict(np.zeros((2, 8, 8)), top=0)


def test_a_bare_model_needs_a_source(tmp_path):
    create_model("test_mamba_nd", num_classes=10, in_chans=1, img_size=(16, 16)).save_pretrained(tmp_path / "m")
    model = seqvision.load(tmp_path / "m")
    assert model.classes == tuple("0123456789")
    with pytest.raises(UserError, match="comes without its run"):
        model.evaluate()
    assert model.evaluate("digits", split="all").count == 1797


def test_folders_without_a_classifier(tmp_path):
    with pytest.raises(UserError, match="holds no model"):
        seqvision.load(tmp_path)
    create_model("mamba_lm_debug").save_pretrained(tmp_path / "lm")
    with pytest.raises(UserError, match="holds a MixerLM, which is no classifier"):
        seqvision.load(tmp_path / "lm")


def test_figures_of_an_evaluation_follow_their_definitions():
    from sklearn.metrics import (
        balanced_accuracy_score,
        confusion_matrix,
        log_loss,
        precision_recall_fscore_support,
        top_k_accuracy_score,
    )

    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(7), 200)
    labels = rng.integers(0, 7, 200)
    result = measure(probs, labels, classes=tuple("abcdefg"), names=[str(n) for n in range(200)])
    assert np.array_equal(result.confusion, confusion_matrix(labels, probs.argmax(1)))
    assert result.top1 == pytest.approx((probs.argmax(1) == labels).mean())
    assert result.top5 == pytest.approx(top_k_accuracy_score(labels, probs, k=5))
    assert result.loss == pytest.approx(log_loss(labels, probs))
    assert result.balanced == pytest.approx(balanced_accuracy_score(labels, probs.argmax(1)))
    expected = precision_recall_fscore_support(labels, probs.argmax(1))
    for column, values in zip(("precision", "recall", "F1"), expected, strict=False):
        assert [row[column] for row in result.class_table()] == pytest.approx(list(values))
    low, high = result.interval
    assert low < result.top1 < high


def test_the_interval_is_wilsons():
    from scipy.stats import binomtest

    probs = np.eye(2)[np.repeat([0, 1], [30, 10])]
    result = measure(probs, np.zeros(40, dtype=int), classes=("a", "b"), names=[""] * 40)
    expected = binomtest(30, 40).proportion_ci(0.95, method="wilson")
    assert result.interval == pytest.approx((expected.low, expected.high), abs=1e-6)
