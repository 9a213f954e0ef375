"""Metrics, linear models, baselines, low-rank changes and heads, against independent references."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import seqsuite
from seqdna.configs.finetune import FinetuneConfig
from seqdna.finetuning.baselines import SmallCNN, kmer_counts, linear_baselines, majority, one_hot
from seqdna.finetuning.head import Head, load_head, scaled
from seqdna.finetuning.labelled import Rows, decide
from seqdna.finetuning.metrics import choose, measure
from seqdna.finetuning.predict import embeddings, outputs_of
from seqdna.finetuning.probe import STRENGTHS, fit_linear
from seqdna.finetuning.published import (
    GENOMIC_BENCHMARKS,
    GENOMIC_BENCHMARKS_MODELS,
    NUCLEOTIDE_TRANSFORMER,
    NUCLEOTIDE_TRANSFORMER_MODELS,
)
from seqdna.finetuning.start import new_classifier, open_start
from seqdna.tokenizers import NucleotideTokenizer
from seqsuite.errors import UserError
from seqsuite.models.lora import add_lora, merge_lora, merged

from .conftest import motif_rows, random_sequence


def set_of(rows):
    texts, labels = zip(*rows, strict=True)
    return decide(Rows("x", tuple(map(str, range(len(rows)))), texts, tuple((label,) for label in labels), ("label",)))


def test_classification_metrics_by_hand() -> None:
    # Confusion of two classes: 4 true positives, 3 true negatives, 2 false positives, 1 false negative.
    targets = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 1])
    found = np.array([1, 1, 1, 1, 0, 0, 0, 1, 1, 0])
    scores = np.stack((1 - found * 0.8 - 0.1, found * 0.8 + 0.1), axis=1)
    result = measure("classification", scores, targets)
    assert result["accuracy"] == pytest.approx(0.7)
    assert result["f1_binary"] == pytest.approx(2 * 4 / (2 * 4 + 2 + 1))
    assert result["f1"] == pytest.approx((8 / 11 + 2 * 3 / (2 * 3 + 1 + 2)) / 2)
    assert result["mcc"] == pytest.approx((4 * 3 - 2 * 1) / math.sqrt(6 * 5 * 5 * 4))
    pairs = [
        1.0 if a > b else 0.5 if a == b else 0.0
        for a, b in itertools.product(scores[targets == 1, 1], scores[targets == 0, 1])
    ]
    assert result["auroc"] == pytest.approx(np.mean(pairs))


def test_undefined_metrics_are_left_out() -> None:
    one = measure("classification", np.array([[0.2, 0.8], [0.4, 0.6]]), np.array([1, 1]))
    assert "auroc" not in one
    assert one["accuracy"] == 1
    flat = measure("regression", np.array([[1.0], [1.0]]), np.array([[1.0], [3.0]]))
    assert set(flat) == {"mse", "r2"}
    assert "auroc" not in measure("multi_label", np.array([[0.2], [0.4]]), np.array([[1.0], [1.0]]))


def test_regression_metrics_by_hand() -> None:
    truth, guess = np.array([[1.0], [2.0], [4.0]]), np.array([[1.5], [2.0], [3.0]])
    result = measure("regression", guess, truth)
    assert result["mse"] == pytest.approx((0.25 + 0 + 1) / 3)
    assert result["r2"] == pytest.approx(1 - 1.25 / ((truth - truth.mean()) ** 2).sum())
    assert result["pearson"] == pytest.approx(np.corrcoef(truth[:, 0], guess[:, 0])[0, 1])
    assert result["spearman"] == pytest.approx(1)


def test_metric_names() -> None:
    assert choose("auto", "classification", 3) == "accuracy"
    with pytest.raises(UserError, match="Did you mean 'auroc'"):
        choose("aurocc", "classification", 2)
    with pytest.raises(UserError, match="'f1_binary'"):
        choose("f1_binary", "classification", 3)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_folded_probe_is_scikit_learns(classes) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(0)
    x = rng.normal(3, 2, (120, 5)).astype(np.float32)
    y = (x[:, 0] + rng.normal(0, 1, 120) > 3).astype(int) + (classes == 3) * (x[:, 1] > 4)
    model = fit_linear("classification", (x[:80], y[:80]), (x[80:], y[80:]), metric="accuracy", outputs=classes)
    reference = make_pipeline(StandardScaler(), LogisticRegression(C=model.strength, max_iter=300)).fit(x[:80], y[:80])
    ours = Head("classification", tuple("abc"[:classes])).scores(model.outputs(x))
    np.testing.assert_allclose(ours, reference.predict_proba(x), atol=1e-4)
    assert model.strength in STRENGTHS
    assert model.valid["accuracy"] == reference.score(x[80:], y[80:])


def test_probes_of_numbers_and_of_several_labels() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(0, 1, (200, 4)).astype(np.float32)
    y = (x @ rng.normal(0, 1, (4, 2)) + 5).astype(np.float32)
    model = fit_linear("regression", (x[:150], y[:150]), (x[150:], y[150:]), metric="r2", outputs=2)
    np.testing.assert_allclose(model.outputs(x), y, atol=0.1)
    on = (y > 5).astype(np.float32)
    labels = fit_linear("multi_label", (x[:150], on[:150]), (x[150:], on[150:]), metric="auroc", outputs=2)
    assert labels.valid["auroc"] > 0.98


def test_counts_and_one_hot_by_brute_force() -> None:
    texts = [random_sequence(np.random.default_rng(k), 40) + "NacgtuA" for k in range(3)]
    counts = kmer_counts(texts, 3).toarray()
    for row, text in zip(counts, texts, strict=True):
        upper = text.upper().replace("U", "T")
        for number, word in enumerate(itertools.product("ACGT", repeat=3)):
            joined = "".join(word)
            assert row[number] == sum(upper[i : i + 3] == joined for i in range(len(upper)))
    hot = one_hot(texts).toarray().reshape(3, -1, 4)
    assert (hot.sum(2) == [[text[i] not in "N" for i in range(len(text))] for text in texts]).all()
    assert all("ACGT"[hot[0, i].argmax()] == texts[0][i] for i in range(40))


def test_baselines_find_what_they_can() -> None:
    data = set_of(motif_rows(600))
    train, valid, test = data.take(range(400)), data.take(range(400, 500)), data.take(range(500, 600))
    found = linear_baselines(train, valid, test, metric="accuracy")
    assert found["6-mer counts, linear"]["accuracy"] > 0.9
    assert found["one-hot bases, linear"]["accuracy"] < 0.8
    assert majority(train, test)["accuracy"] == 0.5


def test_one_hot_needs_equal_lengths() -> None:
    data = set_of(motif_rows(60, lengths=(40, 60)))
    assert list(linear_baselines(data, data, data, metric="accuracy")) == ["6-mer counts, linear"]


def test_the_small_network_takes_every_length() -> None:
    network = SmallCNN([7, 8, 9, 10], 4, 3).eval()
    for length in (1, 3, 20, 501):
        assert network(torch.full((2, length), 7)).shape == (2, 3)


@pytest.mark.parametrize("length", [1, 2, 7, 31, 64, 129])
def test_padding_does_not_change_what_the_small_network_says(length: int) -> None:
    torch.manual_seed(0)
    network = SmallCNN([7, 8, 9, 10], 4, 3).eval()
    ids = torch.randint(7, 11, (1, length), generator=torch.Generator().manual_seed(length))
    padded = torch.cat([F.pad(ids, (left, 40 - left), value=4) for left in (0, 13, 40)])
    torch.testing.assert_close(network(padded), network(ids).expand(3, -1))


def test_lora_changes_nothing_at_first_and_merges_exactly() -> None:
    torch.manual_seed(0)
    model = seqsuite.create_model("caduceus_ps_debug", head="sequence_classification", num_classes=3).eval()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    ids = torch.randint(7, 11, (2, 20), generator=torch.Generator().manual_seed(1))
    first = model(ids)
    changed = add_lora(model, rank=2, trainable=("score",))
    assert any(name.endswith("in_proj") for name in changed)
    assert any(name.endswith("dt_proj") for name in changed)
    assert not any("score" in name for name in changed)
    torch.testing.assert_close(model(ids), first, rtol=0, atol=0)
    trainable = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert all(name.endswith((".A", ".B")) or name == "score.weight" for name in trainable)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    for _ in range(2):
        model(ids).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    copy = merged(model)
    torch.testing.assert_close(copy(ids), model(ids))
    assert (copy(ids) - first).abs().max() > 1e-3
    plain = merge_lora(model)
    assert set(plain.state_dict()) == set(before)
    touched = {f"{name}.weight" for name in changed} | {"score.weight"}
    for name, weight in plain.state_dict().items():
        rank = torch.linalg.matrix_rank((weight - before[name]).double(), atol=1e-5) if weight.ndim == 2 else 0
        assert torch.equal(weight, before[name]) == (name not in touched)
        assert name == "score.weight" or rank <= 2


def test_lora_names_layers() -> None:
    model = seqsuite.create_model("caduceus_ps_debug")
    assert all(name.endswith("out_proj") for name in add_lora(model, targets=("out_proj",)))
    with pytest.raises(UserError, match="Did you mean 'in_proj'"):
        add_lora(seqsuite.create_model("caduceus_ps_debug"), targets=("inproj",))


def test_scores_of_a_head() -> None:
    outputs = np.array([[0.0, math.log(3.0)], [1000.0, 0.0]])
    np.testing.assert_allclose(Head("classification", ("a", "b")).scores(outputs), [[0.25, 0.75], [1, 0]])
    np.testing.assert_allclose(Head("multi_label", ("a", "b")).scores(outputs[:1]), [[0.5, 0.75]])
    several = Head("multi_label", ("a", "b"))
    assert several.said(np.array([[0.6, 0.9], [0.1, 0.2]])) == ["a;b", ""]


def test_a_regression_head_undoes_its_scale(tmp_path) -> None:
    rows = [("ACGT", str(value)) for value in (1.5, 2.5, 9.0)]
    data = set_of(rows)
    head = scaled(data)
    standard = (data.targets - head.mean) / head.scale
    assert standard.mean() == pytest.approx(0, abs=1e-6)
    assert standard.std() == pytest.approx(1)
    head.save(tmp_path)
    np.testing.assert_allclose(load_head(tmp_path).scores(standard), data.targets, rtol=1e-6)


def test_a_probe_survives_its_files(tmp_path) -> None:
    head = Head("classification", ("a", "b"), 7, pooling=("mean", "max"), weight=np.eye(2, 4), bias=np.zeros(2))
    head.save(tmp_path)
    again = load_head(tmp_path)
    np.testing.assert_array_equal(again.weight, head.weight)
    assert (again.crop, again.pooling) == (7, ("mean", "max"))
    (tmp_path / "head.json").write_text('{"problem": "divination", "classes": ["a"]}')
    with pytest.raises(UserError, match=r"head.json is damaged"):
        load_head(tmp_path)


@pytest.mark.parametrize("name", ["caduceus_ps_debug", "caduceus_ph_debug", "leave_one_out_debug"])
def test_company_and_padding_change_no_prediction(name) -> None:
    torch.manual_seed(0)
    model = seqsuite.create_model(name, head="sequence_classification", pooling="centre", vocab_size=12)
    texts = [text for text, _ in motif_rows(12, lengths=(20, 60))]
    head, tokenizer = Head("classification", ("a", "b")), NucleotideTokenizer()
    together = outputs_of(model, tokenizer, texts, head)
    alone = outputs_of(model, tokenizer, texts, head, batch_tokens=1)
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_a_conjoined_embedding_has_no_strand() -> None:
    from seqdna.finetuning.labelled import reverse_complement

    torch.manual_seed(0)
    model = seqsuite.create_model("caduceus_ph_debug", vocab_size=12)
    texts = [text for text, _ in motif_rows(4)]
    others = [reverse_complement(text) for text in texts]

    def vectors(which, conjoin):
        return embeddings(model, NucleotideTokenizer(), which, ("mean", "max"), conjoin=conjoin)

    np.testing.assert_allclose(vectors(texts, True), vectors(others, True), atol=1e-6)
    assert np.abs(vectors(texts, False) - vectors(others, False)).max() > 1e-3
    assert vectors(texts, True).shape == (4, 32)


@pytest.mark.parametrize(
    "name",
    ["caduceus_ps_debug", "caduceus_ph_debug", "mamba_dna_debug", "bimamba_dna_debug", "leave_one_out_debug",
     "hyenadna_debug"],
)  # fmt: skip
def test_every_family_gives_its_backbone(name, tmp_path) -> None:
    torch.manual_seed(0)
    model = seqsuite.create_model(name, vocab_size=12)
    model.save_pretrained(tmp_path / "m")
    config = FinetuneConfig("x", model=str(tmp_path / "m"))
    start = open_start(config)
    classifier = new_classifier(start, dataclasses.replace(config, pooling="max", seed=1), outputs=3)
    before, after = model.state_dict(), classifier.state_dict()
    heads = {key for key in after if key.startswith("score.")}
    assert heads
    assert all(torch.equal(after[key], before[key]) for key in set(after) - heads)
    ids = torch.randint(7, 11, (2, 20), generator=torch.Generator().manual_seed(0))
    assert classifier(ids).shape == (2, 3)
    other = new_classifier(start, dataclasses.replace(config, pooling="max", seed=2), outputs=3)
    assert not torch.equal(other.state_dict()["score.weight"], after["score.weight"])


def test_published_tables_are_whole() -> None:
    assert len(GENOMIC_BENCHMARKS) == 8
    assert len(NUCLEOTIDE_TRANSFORMER) == 18
    assert all(len(row.values) == len(GENOMIC_BENCHMARKS_MODELS) for row in GENOMIC_BENCHMARKS.values())
    assert all(len(row.values) == len(NUCLEOTIDE_TRANSFORMER_MODELS) for row in NUCLEOTIDE_TRANSFORMER.values())
    metrics = [row.metric for row in NUCLEOTIDE_TRANSFORMER.values()]
    assert [metrics.count(name) for name in ("mcc", "f1_binary", "accuracy")] == [12, 5, 1]
