"""Sound that cannot be used, through both commands: one line that names the file, exit code 2, nothing left behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

import seqaudio
from seqaudio.cli import main
from seqsuite import create_model

RATE = 8000


def zero_length(path: Path) -> Path:
    soundfile.write(path.with_suffix(".wav"), np.zeros((0, 1)), RATE)
    return path.with_suffix(".wav")


def no_bytes(path: Path) -> Path:
    path.with_suffix(".flac").touch()
    return path.with_suffix(".flac")


def silent(path: Path) -> Path:
    soundfile.write(path.with_suffix(".wav"), np.zeros(9000), RATE)
    return path.with_suffix(".wav")


def not_a_number(path: Path) -> Path:
    samples = np.sin(np.arange(9000)) / 2
    samples[4321] = np.nan
    soundfile.write(path.with_suffix(".wav"), samples, RATE, subtype="FLOAT")
    return path.with_suffix(".wav")


def truncated(path: Path) -> Path:
    place = path.with_suffix(".flac")
    soundfile.write(place, np.random.default_rng(0).normal(0, 0.1, 90_000), RATE)
    place.write_bytes(place.read_bytes()[: place.stat().st_size // 2])
    return place


def other_codec(path: Path) -> Path:
    path.with_suffix(".m4a").write_bytes(b"\0\0\0\x20ftypM4A " + bytes(100))
    return path.with_suffix(".m4a")


BAD = [zero_length, no_bytes, silent, not_a_number, truncated, other_codec]


def said(capsys) -> str:
    """The one line on stderr that is the error; it is the last."""
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith("seqaudio: ")] == lines[-1:]
    return lines[-1]


@pytest.fixture
def model(tmp_path) -> Path:
    """A model folder of 8000 samples a second."""
    create_model("sashimi_debug", d_model=8, sample_rate=RATE).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("spoil", BAD)
def test_a_bad_file_ends_training_before_it_begins(folder, flags, tmp_path, capsys, spoil) -> None:
    bad = spoil(folder / "odd")
    assert main(["train", str(folder), *flags]) == 2
    assert str(bad) in said(capsys)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("spoil", BAD)
def test_a_bad_file_ends_an_evaluation(folder, model, capsys, spoil) -> None:
    bad = spoil(folder / "odd")
    assert main(["evaluate", str(model), str(folder), "--baselines", "false"]) == 2
    assert str(bad) in said(capsys)


def test_bad_files_are_skipped_counted_and_listed_when_asked(folder, flags, tmp_path) -> None:
    bad = [spoil(folder / f"odd_{spoil.__name__}") for spoil in BAD]
    assert main(["train", str(folder), *flags, "--on_error", "skip"]) == 0
    report = (tmp_path / "run" / "report.html").read_text()
    assert f"{len(bad)} files were left out" in report
    for path in bad:
        assert path.name in report
    used = seqaudio.load(tmp_path / "run").files()
    assert {file.path.name for file in (*used.train, *used.valid, *used.test)}.isdisjoint(path.name for path in bad)


def test_skipping_leaves_the_figure_of_the_good_files(folder, model, capsys) -> None:
    def figure(*more: str) -> str:
        assert main(["evaluate", str(model), str(folder), "--baselines", "false", *more]) == 0
        return next(line for line in capsys.readouterr().out.splitlines() if line.startswith("sashimi_debug"))

    clean = figure()
    not_a_number(folder / "odd")
    assert figure("--on_error", "skip") == clean


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_an_empty_and_a_missing_folder(command, flags, model, tmp_path, capsys) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("empty", "missing"):
        place = str(tmp_path / name)
        given = ["train", place, *flags] if command == "train" else ["evaluate", str(model), place]
        assert main(given) == 2
        assert place in said(capsys)


def test_a_clip_shorter_than_a_window(folder, flags, capsys) -> None:
    soundfile.write(folder / "brief.wav", np.sin(np.arange(100)) / 2, RATE)
    # Held-out files are padded: with every file in the training part but two, the short one is met there.
    for seed in range(3):
        code = main(["train", str(folder), *flags, "--seed", str(seed), "--length", "900", "--overwrite"])
        if code:
            break
    assert code == 2
    assert "brief.wav" in said(capsys)


def test_another_rate_is_told_once_or_refused_when_asked(folder, model, flags, capsys) -> None:
    for number in range(2):
        soundfile.write(folder / f"fast{number}.wav", np.sin(np.arange(30_000) / 9) / 2, 16000)
    assert main(["evaluate", str(model), str(folder), "--baselines", "false"]) == 0
    assert capsys.readouterr().out.count("2 of 8 files are resampled from 16000 to 8000") == 1
    assert main(["evaluate", str(model), str(folder), "--strict_rate"]) == 2
    assert "fast0.wav has 16000 samples a second" in said(capsys)
    assert main(["train", str(folder), *flags, "--strict_rate"]) == 2
    assert "fast0.wav has 16000 samples a second" in said(capsys)


def test_stereo_is_mixed_or_refused_when_asked(folder, model, capsys) -> None:
    soundfile.write(folder / "wide.wav", np.sin(np.arange(18_000) / 9).reshape(-1, 2) / 2, RATE)
    assert main(["evaluate", str(model), str(folder), "--baselines", "false"]) == 0
    assert capsys.readouterr().out.count("1 of 7 files are mixed") == 1
    assert main(["evaluate", str(model), str(folder), "--strict_rate"]) == 2
    assert "wide.wav" in said(capsys)


def test_channels_that_do_not_fit(folder, flags, capsys) -> None:
    soundfile.write(folder / "wide.wav", np.sin(np.arange(27_000) / 9).reshape(-1, 3) / 2, RATE)
    assert main(["train", str(folder), *flags, "--model", "diffwave_sashimi_debug", "--channels", "2"]) == 2
    assert "wide.wav has 3 channels" in said(capsys)


@pytest.mark.parametrize(
    ("wrong", "names"),
    [
        (["--channels", "2"], "--channels"),
        (["--objective", "diffusion"], "--objective"),
        (["--model", "diffwave_sashimi_debug", "--bits", "8"], "--bits"),
        (["--model", "sashimi_debgu"], "sashimi_debug"),
        (["--bits", "3"], "--bits"),
        (["--model_options.head", "classification"], "next_sample"),
        (["--model_options.bits", "9", "--bits", "8"], "bits"),
        (["--valid_fraction", "0.6", "--test_fraction", "0.6"], "fractions"),
    ],
)
def test_options_that_do_not_fit(clean, flags, capsys, wrong, names) -> None:
    assert main(["train", str(clean), *flags, *wrong]) == 2
    assert names in said(capsys)
