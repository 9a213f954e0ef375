"""What a new user does by mistake with `train` and `evaluate`: one line that says the way out, nothing lost."""

from __future__ import annotations

import os
import shutil
import warnings

import numpy as np
import pytest
import soundfile

from seqaudio.cli import main
from seqaudio.data import find_audio
from seqaudio.training.result import sound_figure
from seqsuite import create_model

RATE = 8000


def refused(capsys, *arguments: object) -> str:
    """The last line on stderr of a command that ends with exit code 2."""
    assert main([str(argument) for argument in arguments]) == 2
    return capsys.readouterr().err.splitlines()[-1]


@pytest.fixture
def run(tmp_path):
    """A model folder without training, next-sample; `run("diffwave_sashimi_debug")` another."""

    def make(name: str = "sashimi_debug"):
        create_model(name, d_model=8, sample_rate=RATE).save_pretrained(tmp_path / name)
        return tmp_path / name

    return make


def test_a_short_file_names_the_flags_that_help(folder, flags, capsys) -> None:
    soundfile.write(folder / "short.wav", np.sin(np.arange(100.0)) / 2, RATE)
    line = refused(capsys, "train", folder, *flags)
    assert "short.wav" in line
    assert "--length" in line
    assert "--short skip or pad" in line


def test_a_window_of_padding_is_no_memory_error(clean, flags, capsys) -> None:
    line = refused(capsys, "train", clean, *flags, "--length", 10**10, "--short", "pad")
    assert "12,000" in line
    assert "--length" in line


def test_a_file_of_somebody_else_is_not_written_over(clean, flags, tmp_path, capsys) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "files.json").write_text("mine")
    assert "files.json" in refused(capsys, "train", clean, *flags)
    assert (tmp_path / "run" / "files.json").read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("sashimi_debug", "--length", 100), "--length"),
        (("sashimi_debug", "--train", "{sound}", "--baselines", "false"), "--train"),
        (("diffwave_sashimi_debug", "--train", "{sound}"), "--train"),
        (("diffwave_sashimi_debug", "--length", 10**11), "choose a shorter --length"),
    ],
)
def test_flags_that_would_be_passed_over_or_fill_the_memory(clean, run, capsys, options, why) -> None:
    model, *rest = options
    more = [str(word).format(sound=clean) for word in rest]
    assert why in refused(capsys, "evaluate", run(model), clean, *more)


def test_generated_clips_are_looked_at_before_the_measuring(clean, run, tmp_path, capsys) -> None:
    options = ("--baselines", "false", "--generated", clean, "--classifier", tmp_path / "none")
    assert main([str(word) for word in ("evaluate", run(), clean, *options)]) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert "holds no classifier" in told[0]


def test_a_link_that_leads_nowhere_says_so(folder, flags, capsys) -> None:
    os.symlink("gone.wav", folder / "link.wav")
    assert "leads nowhere" in refused(capsys, "train", folder, *flags)


def test_a_cut_off_flac_says_between_what_and_what_to_do(folder, flags, capsys) -> None:
    place = folder / "cut.flac"
    soundfile.write(place, np.random.default_rng(0).normal(0, 0.1, 20_000), RATE)
    place.write_bytes(place.read_bytes()[: place.stat().st_size // 2])
    line = refused(capsys, "train", folder, *flags)
    assert "between 0.00 and 2.50 s" in line
    assert "leave it out" in line


@pytest.mark.parametrize("frames", [1, 2, 3, 40, 5000])
def test_the_figure_of_a_tiny_file_does_not_warn(tmp_path, frames) -> None:
    soundfile.write(tmp_path / "tiny.wav", np.full(frames, 0.1), RATE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(sound_figure(find_audio(tmp_path).files[0], RATE).axes) == 2


def test_a_name_that_begins_like_a_home_is_a_file(folder, flags, capsys) -> None:
    shutil.copy(folder / "clip0.wav", folder / "~nobody.wav")
    (folder / "list.csv").write_text("file\n~nobody.wav\nmissing.wav\n")
    assert "list.csv, line 3" in refused(capsys, "train", folder / "list.csv", *flags)
    assert "no such" in refused(capsys, "train", "~no-such-user/sound", *flags)
