"""Training, measuring, resuming and predicting, on two tones that are learned in seconds."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from safetensors.numpy import load_file
from sklearn import metrics as reference

from seqaudio.classification import Clips, classify, embed_clips, load_classifier, predict, read_clips, read_labelled
from seqaudio.classification.metrics import confusion, measure
from seqaudio.classification.splits import plan_runs
from seqaudio.cli import main
from seqaudio.configs.classify import ClassifyConfig
from seqsuite.errors import UserError

from .conftest import RATE, write_manifest, write_tones


def options(tones: Path, out: Path, **changes: object) -> ClassifyConfig:
    known = ClassifyConfig(
        str(tones), model="wave_classifier_debug", steps=25, lr=1e-2, batch_size=8, accelerator="cpu", out=str(out)
    )
    return dataclasses.replace(known, baselines=False, **{"log_every": 10, **changes})


def weights(folder: Path) -> dict[str, np.ndarray]:
    return load_file(folder / "model" / "model.safetensors")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of a classifier of the tones, with baselines."""
    folder = tmp_path_factory.mktemp("classify")
    tones = write_tones(folder / "tones")
    result = classify(dataclasses.replace(options(tones, folder / "run"), baselines=True, cnn_lr=1e-2))
    assert result is not None
    return folder / "run"


def test_tones_are_learned(run: Path) -> None:
    summary = json.loads((run / "summary.json").read_text())
    assert summary["mean"]["wave_classifier_debug"] == {"accuracy": 1.0, "macro_f1": 1.0}
    assert summary["confusion"] == [[4, 0], [0, 4]]
    assert set(summary["mean"]) == {
        "wave_classifier_debug", "log-mel CNN", "log-mel mean and deviation, logistic regression"
    }  # fmt: skip
    assert all(found["accuracy"] >= 0.75 for found in summary["mean"].values())
    assert (run / "report.html").is_file()


def test_prediction_of_files(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "found.csv"
    assert main(["predict", str(run), str(run.parent / "tones"), "--out", str(out)]) == 0
    rows = list(csv.DictReader(out.open(encoding="utf-8")))
    assert len(rows) == 32
    for row in rows:
        assert row["predicted"] in Path(row["file"]).name
        assert float(row[row["predicted"]]) > 0.5
        assert float(row["low"]) + float(row["high"]) == pytest.approx(1, abs=1e-5)
    capsys.readouterr()
    assert main(["predict", str(run), str(run.parent / "tones"), "--out", str(out)]) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_features_and_probabilities(run: Path) -> None:
    classifier = load_classifier(run)
    clips, _ = read_clips(run.parent / "tones", rate=RATE)
    waves = [clips.samples(index) for index in range(5)]
    features, probs = embed_clips(run, waves, rate=RATE)
    assert features.shape == (5, 16)
    assert probs.shape == (5, 2)
    np.testing.assert_allclose(probs.sum(1), 1)
    head = classifier.model.head
    scores = features @ head.weight.double().detach().numpy().T + head.bias.double().detach().numpy()
    np.testing.assert_allclose(np.exp(scores) / np.exp(scores).sum(1, keepdims=True), probs, atol=1e-5)
    alone = np.concatenate([embed_clips(classifier, [wave], rate=RATE)[1] for wave in waves])
    np.testing.assert_allclose(alone, probs, atol=1e-5)
    np.testing.assert_allclose(predict(run, clips).probs[:5], probs, atol=1e-5)
    twice = [np.repeat(wave, 2) for wave in waves]  # another rate, nearly the same sound
    assert (embed_clips(run, twice, rate=2 * RATE)[1].argmax(1) == probs.argmax(1)).all()
    with pytest.raises(UserError, match="clip 1 must be"):
        embed_clips(run, [waves[0], np.array([np.nan])], rate=RATE)


def test_predictions_of_the_test_clips_are_those_of_the_model(run: Path) -> None:
    rows = list(csv.DictReader((run / "runs" / "seed_0" / "predictions.csv").open(encoding="utf-8")))
    data = read_labelled(run.parent / "tones" / "tones.csv", rate=RATE)
    test = [index for index, split in enumerate(data.splits) if split == "test"]
    assert [row["file"] for row in rows] == [data.clips.names[index] for index in test]
    found = embed_clips(run, [data.clips.samples(index) for index in test], rate=RATE)[1]
    np.testing.assert_allclose([[float(row[name]) for name in data.classes] for row in rows], found, atol=1e-5)


def test_a_stopped_run_goes_on_exactly(tones: Path, tmp_path: Path) -> None:
    whole = classify(options(tones, tmp_path / "whole", steps=6))
    stopped = classify(options(tones, tmp_path / "parts", steps=6, max_minutes=1e-9))
    assert whole is not None
    assert stopped is None
    assert not (tmp_path / "parts" / "runs" / "seed_0" / "result.json").exists()
    resumed = classify(options(tones, tmp_path / "parts", steps=6, resume=True))
    assert resumed is not None
    first, second = weights(whole.folder), weights(resumed.folder)
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert resumed.runs[0].confusion == whole.runs[0].confusion


def test_finished_runs_are_kept(tones: Path, tmp_path: Path) -> None:
    classify(options(tones, tmp_path / "run", steps=2, seeds=2))
    marks = [tmp_path / "run" / "runs" / f"seed_{seed}" / "result.json" for seed in (0, 1)]
    times = [mark.stat().st_mtime_ns for mark in marks]
    marks[1].unlink()
    result = classify(options(tones, tmp_path / "run", steps=2, seeds=2, resume=True))
    assert result is not None
    assert len(result.runs) == 2
    assert marks[0].stat().st_mtime_ns == times[0]
    assert marks[1].is_file()
    assert not np.array_equal(*(load_file(m.parent / "model" / "model.safetensors")["head.weight"] for m in marks))
    with pytest.raises(UserError, match="already holds a run"):
        classify(options(tones, tmp_path / "run", steps=2))


def test_other_clips_end_a_resume(tones: Path, tmp_path: Path) -> None:
    classify(options(tones, tmp_path / "run", steps=2))
    lines = tones.read_text().splitlines()
    tones.write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(UserError, match="clips has changed"):
        classify(options(tones, tmp_path / "run", steps=2, resume=True))


def test_held_out_speakers(tones: Path, tmp_path: Path) -> None:
    result = classify(options(tones, tmp_path / "run", steps=2, hold_out="speaker"))
    assert result is not None
    assert [run.held_out for run in result.runs] == ["ann", "bob"]
    assert result.confusion.sum() == 32
    for run in result.runs:
        rows = csv.DictReader((tmp_path / "run" / "runs" / run.name / "predictions.csv").open(encoding="utf-8"))
        assert {Path(row["file"]).name[:3] for row in rows} == {run.held_out}
    assert [row["held out"] for row in result.run_table()] == ["ann", "bob"]
    assert result.figure() is not None


def test_drawn_splits(tones: Path, tmp_path: Path) -> None:
    data = dataclasses.replace(read_labelled(tones, rate=RATE), splits=("",) * 32)
    config = options(tones, tmp_path, test_fraction=0.25, valid_fraction=0.25)
    plan, again = (plan_runs(data, config)[0] for _ in range(2))
    parts = [plan.train, plan.valid, plan.test]
    assert sorted(np.concatenate(parts).tolist()) == list(range(32))
    assert [len(part) for part in parts] == [18, 6, 8]
    assert all(np.bincount(data.labels[part]).tolist() == [len(part) // 2] * 2 for part in parts)
    np.testing.assert_array_equal(plan.test, again.test)
    other = plan_runs(data, dataclasses.replace(config, seed=1))[0]
    assert not np.array_equal(plan.test, other.test)


def test_metrics_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    truth, found = rng.integers(0, 4, 60), rng.integers(0, 4, 60)
    matrix = confusion(truth, found, 5)  # class 4 never occurs and does not count
    np.testing.assert_array_equal(matrix[:4, :4], reference.confusion_matrix(truth, found))
    scores = measure(matrix)
    assert scores["accuracy"] == pytest.approx(reference.accuracy_score(truth, found))
    assert scores["macro_f1"] == pytest.approx(reference.f1_score(truth, found, average="macro"))


def test_classifier_of_codes(tones: Path, tmp_path: Path) -> None:
    changes = {"sample_rate": RATE, "d_model": 8}
    result = classify(options(tones, tmp_path / "run", steps=1, model="sashimi_debug", model_options=changes))
    assert result is not None
    assert result.confusion.sum() == 8
    assert load_classifier(tmp_path / "run").classes == ("high", "low")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere.csv"], "nowhere.csv: there is no such file"),
        (["TONES", "--hold_out", "speeker"], "Did you mean 'speaker'"),
        (["TONES", "--label_column", "lable"], "no column 'lable'"),
        (["TONES", "--label_column", "file"], "no training clip has the label"),
        (["TONES", "--model", "diffwave_sashimi_debug"], "does not classify sound"),
        (["TONES", "--hold_out", "speaker", "--seeds", "2"], "exclude each other"),
        (["TONES", "--noise_db", "20,10"], "the least first"),
        (["TONES", "--label_smoothing", "1"], "below 1"),
    ],
)
def test_wrong_options_are_one_line(
    tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    arguments = [str(tones) if word == "TONES" else word for word in words]
    assert main(["classify", *arguments, "--out", str(tmp_path / "run")]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert said in lines[-1], lines
    assert len(lines) == 1
    assert not (tmp_path / "run").exists()


def test_files_that_cannot_be_read(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    soundfile.write(folder / "good.wav", np.sin(np.arange(2000) * 0.3), RATE)
    (folder / "bad.wav").write_bytes(b"no sound at all")
    out = tmp_path / "found.csv"
    assert main(["predict", str(run), str(folder), "--out", str(out)]) == 2
    assert "bad.wav" in capsys.readouterr().err
    assert not out.exists()
    assert main(["predict", str(run), str(folder), "--out", str(out), "--on_error", "skip"]) == 0
    assert "skipped" in capsys.readouterr().err
    assert len(out.read_text().splitlines()) == 2
    assert main(["predict", str(tmp_path), str(folder), "--out", str(out), "--overwrite"]) == 2
    assert "holds no classifier" in capsys.readouterr().err


def test_predict_takes_stretches_of_a_manifest(run: Path, tmp_path: Path) -> None:
    t = np.arange(RATE) / RATE
    soundfile.write(
        tmp_path / "both.wav", np.where(t < 0.5, np.sin(2 * np.pi * 400 * t), np.sin(2 * np.pi * 1600 * t)), RATE
    )
    rows = [
        {"file": "both.wav", "start": "0", "seconds": "0.4"},
        {"file": "both.wav", "start": "0.6", "seconds": "0.4"},
    ]
    clips, _ = read_clips(write_manifest(tmp_path / "m.csv", rows), rate=RATE)
    assert isinstance(clips, Clips)
    found = predict(run, clips)
    assert found.predicted == ("low", "high")
    assert found.table()[0]["file"].endswith("both.wav@0.000")
