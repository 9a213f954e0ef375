"""`finetune` from end to end, at sizes that take seconds."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

import seqdna
import seqsuite
from seqdna.configs.finetune import FinetuneConfig
from seqdna.finetuning import finetune, one_run
from seqdna.finetuning.head import load_head
from seqdna.finetuning.labelled import reverse_complement
from seqdna.finetuning.metrics import measure
from seqdna.finetuning.predict import predict
from seqdna.finetuning.results import FinetuneResult
from seqsuite.errors import UserError
from seqsuite.training.run_folder import RunFolder

from .conftest import MOTIF, motif_rows, random_sequence, write_rows

QUICK = {"epochs": 1.0, "batch_size": 16, "threads": 1, "baselines": False, "lr": 0.01, "limit": 32}


def run(data: Path, model: object, out: Path, **options) -> FinetuneResult:
    result = finetune(FinetuneConfig(str(data), model=str(model), out=str(out), **{**QUICK, **options}))
    assert result is not None
    return result


def predicted(folder: Path) -> list[dict[str, str]]:
    with open(folder / "predictions.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def motif_run(tmp_path_factory) -> tuple[FinetuneResult, Path]:
    """A run that has learned a motif, and its data."""
    folder = tmp_path_factory.mktemp("motif")
    data = write_rows(folder / "data.csv", motif_rows(600))
    options = {"epochs": 7.0, "batch_size": 32, "pooling": "max", "limit": 0}
    return run(data, "caduceus_ps_debug", folder / "run", **options), data


def test_a_planted_motif_is_found(motif_run) -> None:
    result, data = motif_run
    assert result.values("accuracy")[0] > 0.95
    assert (result.problem, result.classes, result.metric) == ("classification", ("0", "1"), "accuracy")
    folder = result.folder
    assert {"summary.json", "predictions.csv", "report.html", "model"} <= {path.name for path in folder.iterdir()}
    rows = predicted(folder)
    scores = np.array([[float(row["score_0"]), float(row["score_1"])] for row in rows])
    again = measure("classification", scores, np.array([int(row["label"]) for row in rows]))
    assert again["accuracy"] == result.values("accuracy")[0]
    assert again["auroc"] == pytest.approx(result.values("auroc")[0])
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["test_mean"]["mcc"] == pytest.approx(again["mcc"])
    # What was exported is what was measured, and it knows both strands.
    lines = data.read_text().splitlines()
    texts = [lines[int(row["row"].removeprefix("line ")) - 1].partition(",")[0] for row in rows]
    model = seqdna.load(folder)
    found = predict(model.model, model.tokenizer, texts, load_head(folder))
    np.testing.assert_allclose(found.scores, scores, atol=1e-5)
    assert list(found.predicted) == [row["predicted"] for row in rows]
    others = predict(model.model, model.tokenizer, [reverse_complement(text) for text in texts], load_head(folder))
    np.testing.assert_allclose(others.scores, found.scores, atol=1e-5)
    assert "<table" in result._repr_html_()
    assert "data:image" in found._repr_html_()


def weights(folder: Path) -> dict[str, np.ndarray]:
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("mode", ["full", "frozen", "lora", "probe"])
def test_what_a_mode_changes(mode, table, tmp_path, pretrained) -> None:
    result = run(table(motif_rows(60)), pretrained, tmp_path / "run", mode=mode, lora_targets=("in_proj",))
    before, after = weights(pretrained), weights(tmp_path / "run" / "model")
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    names = {"full": set(before), "frozen": set(), "probe": set()}
    names["lora"] = {name for name in before if name.endswith("in_proj.weight")}
    assert changed == names[mode] or (mode == "full" and changed > names["lora"])
    assert set(after) - set(before) == (set() if mode == "probe" else {"score.weight"})
    model = seqdna.load(tmp_path / "run")
    head = load_head(tmp_path / "run")
    texts = [text for text, _ in motif_rows(60)]
    rows = predicted(tmp_path / "run")
    found = predict(model.model, model.tokenizer, texts, head)
    assert len(found) == 60
    places = [int(row["row"].removeprefix("line ")) - 2 for row in rows]
    np.testing.assert_allclose(found.scores[places, 1], [float(row["score_1"]) for row in rows], atol=1e-5)
    assert result.pretrained
    expected = {"frozen": 32, "probe": 34}
    assert result.trainable == expected.get(mode, result.trainable)


def test_a_fresh_head_over_the_backbone(table, pretrained, tmp_path) -> None:
    run(table(motif_rows(60)), pretrained, tmp_path / "still", lr=0.0, weight_decay=0.0)
    before, after = weights(pretrained), weights(tmp_path / "still" / "model")
    assert all(np.array_equal(before[name], after[name]) for name in before)
    run(table(motif_rows(60)), pretrained, tmp_path / "fresh", lr=0.0, weight_decay=0.0, from_scratch=True)
    fresh = weights(tmp_path / "fresh" / "model")
    assert not np.array_equal(before["embedding.weight"], fresh["embedding.weight"])


def test_numbers(table, tmp_path) -> None:
    rng = np.random.default_rng(0)
    texts = [random_sequence(rng, 30) for _ in range(300)]
    rows = [(text, f"{100 + 10 * sum(base in 'GC' for base in text) / 30:.4f}") for text in texts]
    result = run(table(rows), "caduceus_ps_debug", tmp_path / "run", epochs=6.0, limit=0)
    assert result.problem == "regression"
    assert result.values("r2")[0] > 0.8
    assert abs(float(predicted(tmp_path / "run")[0]["predicted"]) - 105) < 5


def test_several_labels(table, tmp_path) -> None:
    rng = np.random.default_rng(0)
    texts = [random_sequence(rng, 31) for _ in range(300)]
    rows = [(text, *(str(int(sum(base in bases for base in text) > 15)) for bases in ("GC", "AG"))) for text in texts]
    path = table(rows, header="sequence,strong,purine")
    result = run(path, "caduceus_ph_debug", tmp_path / "run", labels=("strong", "purine"), epochs=5.0, limit=0)
    assert result.problem == "multi_label"
    assert result.values("auroc")[0] > 0.9


def test_folds_hold_every_row_out_once(table, tmp_path) -> None:
    result = run(table(motif_rows(24)), "caduceus_ph_debug", tmp_path / "run", folds=3, limit=0)
    rows = predicted(tmp_path / "run")
    assert sorted(row["row"] for row in rows) == sorted(f"line {number + 2}" for number in range(24))
    assert len(result.runs) == 3
    assert {row["run"] for row in rows} == {run.name for run in result.runs}
    assert " to " in result.table()[-1]["accuracy"]


def test_the_model_is_the_run_with_the_best_validation(table, tmp_path) -> None:
    result = run(table(motif_rows(60)), "caduceus_ph_debug", tmp_path / "run", seeds=2, limit=0)
    best = max(result.runs, key=lambda each: each.valid["accuracy"])
    kept = next(each for each in result.runs if each.name == result.best)
    assert kept.valid["accuracy"] == best.valid["accuracy"]
    assert weights(tmp_path / "run" / "model").keys() == weights(tmp_path / "run" / "runs" / kept.name / "model").keys()
    for name, weight in weights(tmp_path / "run" / "model").items():
        np.testing.assert_array_equal(weight, weights(tmp_path / "run" / "runs" / kept.name / "model")[name])


def test_a_stopped_run_ends_with_the_figures_of_one_that_was_not(table, tmp_path) -> None:
    data = table(motif_rows(50))
    options = {"seeds": 2, "limit": 0, "checkpoint_every": 1}
    whole = run(data, "caduceus_ph_debug", tmp_path / "whole", **options)
    config = FinetuneConfig(
        str(data), model="caduceus_ph_debug", out=str(tmp_path / "cut"), **{**QUICK, **options, "max_minutes": 1e-4}
    )
    starts = 0
    while (result := finetune(config)) is None:
        config = dataclasses.replace(config, resume=True)
        starts += 1
        if starts > 3:
            config = dataclasses.replace(config, max_minutes=0.0)
    assert starts > 1
    assert [each.test for each in result.runs] == [each.test for each in whole.runs]
    assert predicted(tmp_path / "cut") == predicted(tmp_path / "whole")


def test_finished_runs_are_not_repeated(table, tmp_path) -> None:
    data = table(motif_rows(60))
    first = run(data, "caduceus_ph_debug", tmp_path / "run", seeds=2)
    times = {
        each.name: (tmp_path / "run" / "runs" / each.name / "result.json").stat().st_mtime_ns for each in first.runs
    }
    (tmp_path / "run" / "summary.json").unlink()
    again = run(data, "caduceus_ph_debug", tmp_path / "run", seeds=2, resume=True)
    assert [each.test for each in again.runs] == [each.test for each in first.runs]
    assert all((tmp_path / "run" / "runs" / name / "result.json").stat().st_mtime_ns == t for name, t in times.items())
    with pytest.raises(UserError, match="already holds a run"):
        run(data, "caduceus_ph_debug", tmp_path / "run", seeds=2)
    with pytest.raises(UserError, match="data has changed"):
        run(table(motif_rows(60, seed=1)), "caduceus_ph_debug", tmp_path / "run", seeds=2, resume=True)
    shutil.rmtree(tmp_path / "run" / "runs")
    run(data, "caduceus_ph_debug", tmp_path / "run", overwrite=True)
    assert [path.name for path in (tmp_path / "run" / "runs").iterdir()] == ["seed_0"]


def test_other_weights_to_start_from_are_noticed(table, tmp_path, pretrained) -> None:
    data, start = table(motif_rows(40)), tmp_path / "start"
    shutil.copytree(pretrained, start)
    run(data, start, tmp_path / "run", mode="probe")
    run(table(motif_rows(40), name="moved.csv"), start, tmp_path / "run", mode="probe", resume=True)
    torch.manual_seed(9)
    seqsuite.create_model("caduceus_ps_debug", vocab_size=12).save_pretrained(start)
    with pytest.raises(UserError, match="weights of --model has changed"):
        run(data, start, tmp_path / "run", mode="probe", resume=True)


def test_patience_ends_a_run_that_stands_still(table, tmp_path) -> None:
    options = {"lr": 0.0, "weight_decay": 0.0, "epochs": 20.0, "limit": 0}
    result = run(table(motif_rows(60)), "caduceus_ph_debug", tmp_path / "run", patience=2, **options)
    epoch = -(-result.runs[0].rows[0] // 16)
    assert result.runs[0].steps == 3 * epoch


def test_a_run_that_had_stopped_early_stays_stopped_when_resumed(table, tmp_path, monkeypatch) -> None:
    """A kill between the end of training and the result must not lead to more training, or to other weights."""
    options = {"lr": 0.0, "weight_decay": 0.0, "epochs": 20.0, "limit": 0, "patience": 2}
    data = table(motif_rows(60))
    whole = run(data, "caduceus_ph_debug", tmp_path / "whole", **options)

    def killed(*_words: object, **_options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(one_run, "_measured", killed)
        with pytest.raises(KeyboardInterrupt):
            run(data, "caduceus_ph_debug", tmp_path / "cut", **options)
    again = run(data, "caduceus_ph_debug", tmp_path / "cut", resume=True, **options)
    assert again.runs[0].steps == whole.runs[0].steps
    assert again.runs[0].test == whole.runs[0].test


def test_the_weights_with_less_loss_are_kept_between_equals(motif_run) -> None:
    folder = motif_run[0].folder / "runs" / "seed_0"
    with open(RunFolder(folder).metrics, newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["valid_accuracy"]]
    best = max(float(row["valid_accuracy"]) for row in rows)
    equals = [row for row in rows if float(row["valid_accuracy"]) == best]
    assert len(equals) > 1
    kept = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)["global_step"]
    assert kept == min((float(row["valid_loss"]), int(row["step"])) for row in equals)[1]


def test_a_conjoined_model_has_no_strand(table, tmp_path) -> None:
    run(table(motif_rows(60)), "caduceus_ph_debug", tmp_path / "run", conjoin=True, rc_augment=True)
    model, head = seqdna.load(tmp_path / "run"), load_head(tmp_path / "run")
    texts = [MOTIF * 4, "ACGTTTTACGCA"]
    given = predict(model.model, model.tokenizer, texts, head).scores
    other = predict(model.model, model.tokenizer, [reverse_complement(text) for text in texts], head).scores
    np.testing.assert_allclose(given, other, atol=1e-6)


def test_a_convolutional_head_knows_where_a_motif_stands(table, tmp_path) -> None:
    """The motif is in every sequence; the label says in which half."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(240):
        place = int(rng.integers(0, 14)) + 26 * (number % 2)
        text = "".join(rng.choice(list("ACGT"), 48))
        rows.append((text[:place] + MOTIF + text[place + len(MOTIF) :], str(number % 2)))
    found = run(
        table(rows), "caduceus_ph_debug", tmp_path / "run", classifier="conv", limit=0, epochs=20.0, lr=5e-3, steps=0,
    )  # fmt: skip
    assert found.values("accuracy")[0] > 0.85
    again = seqdna.load(tmp_path / "run")
    said = predict(again.model, again.tokenizer, [text for text, _ in rows[:4]], load_head(tmp_path / "run"))
    assert len(said) == 4


def test_labels_of_a_strand_take_a_strand_specific_head(table, tmp_path) -> None:
    """The same motif, on the given strand or on the other: a model that makes no difference cannot tell."""
    forward = [text for text, label in motif_rows(120) if label == "1"]
    rows = [pair for text in forward for pair in ((text, "given"), (reverse_complement(text), "other"))]
    accuracy = {
        specific: run(
            table(rows), "caduceus_ps_debug", tmp_path / f"run_{specific}", strand_specific=specific, limit=0, steps=60
        ).values("accuracy")[0]
        for specific in (False, True)
    }
    assert accuracy[False] == pytest.approx(0.5, abs=0.25)
    assert accuracy[True] > 0.9


def test_baselines_stand_in_the_table(table, tmp_path) -> None:
    result = run(table(motif_rows(120)), "caduceus_ph_debug", tmp_path / "run", baselines=True, limit=0)
    names = [row["model"] for row in result.table()]
    assert names[:-1] == ["majority class", "one-hot bases, linear", "6-mer counts, linear", "small CNN"]
    assert result.baselines["majority class"][0]["accuracy"] == pytest.approx(0.5)
    report = (tmp_path / "run" / "report.html").read_text()
    assert all(name in report for name in names)


def test_a_linear_probe_reads_composition(table, tmp_path) -> None:
    """Random features of a genome model still carry what bases a sequence has."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(200):
        weights_ = (0.3, 0.2, 0.2, 0.3) if number % 2 else (0.2, 0.3, 0.3, 0.2)
        rows.append(("".join(rng.choice(list("ACGT"), 100, p=weights_)), str(number % 2)))
    result = run(table(rows), "caduceus_ps_debug", tmp_path / "run", mode="probe", pooling="mean+max", limit=0, crop=90)
    assert result.values("accuracy")[0] > 0.85
    assert load_head(tmp_path / "run").crop == 90
    assert result.runs[0].steps == 0


def test_a_probe_of_several_poolings_stands_beside_the_baselines(table, tmp_path) -> None:
    flags = {"mode": "probe", "pooling": "mean+max", "baselines": True, "limit": 0}
    result = run(table(motif_rows(60)), "caduceus_ps_debug", tmp_path / "run", **flags)
    assert "small CNN" in result.baselines


def test_one_seed_gives_one_result(table, tmp_path) -> None:
    data = table(motif_rows(60))
    first, second = (run(data, "caduceus_ps_debug", tmp_path / name) for name in ("a", "b"))
    assert first.runs[0].test == second.runs[0].test
    for name, weight in weights(tmp_path / "a" / "model").items():
        np.testing.assert_array_equal(weight, weights(tmp_path / "b" / "model")[name])
