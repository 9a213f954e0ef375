"""What a new user gives `classify` and `predict` by mistake: one line that says the way out."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from seqaudio.classification import read_clips
from seqaudio.classification.clips import read_labelled
from seqaudio.classification.splits import plan_runs
from seqaudio.cli import main
from seqaudio.configs.classify import ClassifyConfig
from seqsuite.errors import UserError

from .conftest import RATE, tone, write_manifest


def rows_of(manifest: Path) -> list[dict[str, str]]:
    with manifest.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("change", [{}, {"label": "high"}, {"split": "test"}])
def test_a_clip_is_listed_once(tones: Path, change: dict[str, str]) -> None:
    rows = rows_of(tones)
    write_manifest(tones, [*rows, rows[0] | change])
    last, first = f"line {len(rows) + 2}", "line 2"
    with pytest.raises(UserError, match=rf"{last}: the same clip is listed already \(.*{first}\)"):
        read_labelled(tones, rate=RATE)
    found = read_labelled(tones, rate=RATE, on_error="skip")
    assert (len(found), len(found.skipped)) == (len(rows), 1)
    assert len(read_clips(tones, rate=RATE)[0]) == len(rows) + 1  # without labels there is no harm in it


def test_a_clip_lies_in_one_folder(tmp_path: Path) -> None:
    for label in ("low", "high"):
        (tmp_path / label).mkdir()
        soundfile.write(tmp_path / label / "a.wav", tone(400, 0.1, np.random.default_rng(0)), RATE)
    os.symlink(tmp_path / "low" / "a.wav", tmp_path / "high" / "b.wav")
    with pytest.raises(UserError, match="the same clip is listed already"):
        read_labelled(tmp_path, rate=RATE)


def write_stretches(folder: Path, starts: list[float], splits: list[str]) -> Path:
    soundfile.write(folder / "long.wav", tone(400, 2.0, np.random.default_rng(0)), RATE)
    rows = [
        {"file": "long.wav", "label": "ab"[number % 2], "start": str(start), "seconds": "0.2", "split": split}
        for number, (start, split) in enumerate(zip(starts, splits, strict=True))
    ]
    return write_manifest(folder / "list.csv", rows)


def test_overlapping_clips_are_in_one_part(tmp_path: Path) -> None:
    config = ClassifyConfig(source="x", steps=1)
    marks = ["train", "train", "train", "test"]
    data = read_labelled(write_stretches(tmp_path, [0, 0.2, 0.4, 0.6], marks), rate=RATE)
    assert len(plan_runs(data, config)[0].test) == 1
    data = read_labelled(write_stretches(tmp_path, [0, 0.1, 0.4, 0.6], marks), rate=RATE)
    assert len(plan_runs(data, config)[0].test) == 1  # they overlap in training only
    data = read_labelled(write_stretches(tmp_path, [0, 0.2, 0.5, 0.6], marks), rate=RATE)
    with pytest.raises(UserError, match=r"list.csv: clips of .*long.wav overlap .* column split"):
        plan_runs(data, config)


def test_a_column_with_a_hole_names_the_row(tones: Path) -> None:
    rows = rows_of(tones)
    rows[4]["speaker"] = ""
    with pytest.raises(UserError, match="line 6: the column 'speaker' is empty or missing"):
        read_labelled(write_manifest(tones, rows), rate=RATE).column("speaker")


def test_other_speakers_are_other_data(tones: Path) -> None:
    before = read_labelled(tones, rate=RATE).fingerprint()
    rows = rows_of(tones)
    rows[0]["speaker"] = "cyd"
    assert read_labelled(write_manifest(tones, rows), rate=RATE).fingerprint() != before


@pytest.mark.parametrize("rate", [0, -8000, np.nan, 8000.5, "fast", [8000, 8000]])
def test_an_npz_has_one_rate(tmp_path: Path, rate: object) -> None:
    audio, offsets = np.ones(20, dtype=np.int16), np.array([0, 10, 20])
    np.savez(tmp_path / "a.npz", audio=audio, offsets=offsets, label=np.array([0, 1]), rate=np.array(rate))
    with pytest.raises(UserError, match=r"a.npz: rate must be one number"):
        read_labelled(tmp_path / "a.npz", rate=RATE)


def test_a_text_is_no_npz(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_text("hello")
    with pytest.raises(UserError, match=r"a.npz: no readable .npz file \(it holds no arrays of numbers\)"):
        read_labelled(tmp_path / "a.npz", rate=RATE)


def test_names_that_are_no_utf8_and_silence_in_predictions(
    tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    small = ["--model", "wave_classifier_debug", "--steps", "1", "--baselines", "false", "--threads", "1"]
    os.rename(tones.parent / "ann_low_7.wav", os.fsencode(tones.parent) + b"/odd\xff.wav")
    labelled = tmp_path / "labelled"
    for path in sorted(tones.parent.glob("*.wav")):
        place = labelled / ("low" if "_high_" not in path.name else "high")
        place.mkdir(parents=True, exist_ok=True)
        os.rename(path, place / path.name)
    assert main(["classify", str(labelled), *small, "--test_fraction", "0.9", "--out", str(run)]) == 0
    assert main(["predict", str(run), str(labelled), "--out", str(tmp_path / "p.csv")]) == 0
    assert b"odd" in (tmp_path / "p.csv").read_bytes()
    capsys.readouterr()
    soundfile.write(labelled / "silent.wav", np.zeros(800), RATE)
    flags = ["predict", str(run), str(labelled), "--out", str(tmp_path / "q.csv")]
    assert main(flags) == 2
    assert "silent.wav: the clip is silent" in capsys.readouterr().err
    assert not (tmp_path / "q.csv").exists()
    assert main([*flags, "--on_error", "skip"]) == 0
    assert capsys.readouterr().err.count("silent.wav") == 1
    assert "silent.wav" not in (tmp_path / "q.csv").read_text(encoding="utf-8", errors="replace")
    assert main([*flags, "--on_error", "skip", "--overwrite", "--device", "meta"]) == 2
