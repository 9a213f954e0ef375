"""`seqaudio.load`, and `seqaudio evaluate` on what it finds."""

from __future__ import annotations

import json
import shutil

import pytest
import soundfile

import seqaudio
from seqaudio.cli import main
from seqsuite import create_model
from seqsuite.errors import UserError

RATE = 8000


def test_a_model_shows_what_it_is(load_debug) -> None:
    model = load_debug("sashimi_debug", normalize="minmax", bits=6, quantization="linear")
    facts = model.table()
    assert facts["model"] == "sashimi_debug"
    assert (facts["bits"], facts["quantization"], facts["normalize"], facts["window"]) == (6, "linear", "minmax", 600)
    assert "sashimi_debug" in model._repr_html_()
    assert not model.model.training


@pytest.mark.parametrize(("name", "why"), [("missing", "no such folder"), ("empty", "holds no model")])
def test_there_must_be_a_model(tmp_path, name, why) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=why):
        seqaudio.load(tmp_path / name)


def test_a_model_of_another_domain_is_refused(tmp_path) -> None:
    create_model("mamba_lm_debug").save_pretrained(tmp_path / "text")
    with pytest.raises(UserError, match="no audio model"):
        seqaudio.load(tmp_path / "text")


@pytest.mark.parametrize(("name", "verb"), [("restoration_debug", "restore"), ("wave_classifier_debug", "predict")])
def test_other_models_of_sound_name_their_command(tmp_path, name, verb) -> None:
    create_model(name).save_pretrained(tmp_path / "model")
    with pytest.raises(UserError, match=f"seqaudio {verb}"):
        seqaudio.load(tmp_path / "model")


def test_a_run_that_is_not_complete_says_so(tmp_path) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    with pytest.raises(UserError, match="--resume"):
        seqaudio.load(tmp_path / "run")


def test_a_run_is_measured_on_its_own_test_files(tmp_path, sources, capsys) -> None:
    sound = tmp_path / "sound"
    shutil.copytree(sources, sound)
    (sound / "clip2.wav").unlink()
    run = str(tmp_path / "run")
    flags = "--model sashimi_debug --model_options.d_model 8 --length 500 --steps 2 --batch_size 2 --threads 1"
    small = [*flags.split(), "--sample_rate", str(RATE), "--baselines", "false", "--test_seconds", "0"]
    assert main(["train", str(sound), *small, "--out", run, "--json"]) == 0
    trained = json.loads(capsys.readouterr().out)
    assert main(["evaluate", run, "held-out", "--json", "--block_seconds", "0.02"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["bits_per_sample"] == pytest.approx(trained["bits_per_sample"], rel=1e-6)
    assert set(found["differences"]) == {"order_0", "order_1", "lpc", "frame_lpc", "nlms"}
    assert found["notes"][-1].startswith("FLAC")
    # All files, of which the model was trained on most.
    assert main(["evaluate", run, str(sound), "--baselines", "false", "--json"]) == 0
    assert "no held-out figure" in json.loads(capsys.readouterr().out)["notes"][0]
    # The files of the training are gone: there is nothing to fit on, unless others are given.
    held_out = tmp_path / "held"
    held_out.mkdir()
    for number in (1, 3):
        (held_out / f"clip{number}.wav").write_bytes((sources / f"clip{number}.wav").read_bytes())
    shutil.rmtree(sound)
    assert main(["evaluate", run, str(held_out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["baselines"] is None
    others = tmp_path / "others"
    others.mkdir()
    for number in range(3):
        samples, _ = soundfile.read(sources / "clip4.wav")
        soundfile.write(others / f"{number}.wav", samples[:: number + 1], RATE)
    assert main(["evaluate", run, str(held_out), "--train", str(others), "--files"]) == 0
    told = capsys.readouterr().out
    assert "order_1" in told
    assert "Bits by file" in told
    assert main(["evaluate", run, str(held_out), "--train", str(held_out)]) == 2
    assert "keep them apart" in capsys.readouterr().err
