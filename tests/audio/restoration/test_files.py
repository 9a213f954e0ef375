"""`seqaudio restore` and `restore-train` from files to files, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import seqsuite
from seqaudio.cli import main
from seqaudio.configs.restore import RestoreConfig, RestoreTrainConfig
from seqaudio.restoration import Degradation, restore, restore_files, restore_train
from seqaudio.restoration.files import output_names
from seqaudio.restoration.results import score
from seqsuite.errors import UserError

from .conftest import RATE, SMALL, music, perturbed

pytestmark = pytest.mark.usefixtures("announced")

OPTIONS = {**SMALL, "band_hz": 1000.0}


def flags(folder: Path, out: Path, *more: str) -> list[str]:
    options = json.dumps(OPTIONS)
    run = ("--steps", "4", "--batch_size", "2", "--seconds", "0.5", "--valid_windows", "2", "--threads", "1")
    split = ("--valid_fraction", "0.2", "--test_fraction", "0.2", "--log_every", "1", "--checkpoint_every", "2")
    return ["restore-train", str(folder), "--out", str(out), "--model_options", options, *run, *split, *more]


@pytest.fixture
def model(tmp_path) -> Path:
    torch.manual_seed(0)
    made = perturbed(seqsuite.create_model("restoration_debug", **OPTIONS), 0.05)
    made.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_files_become_files_of_the_same_length_and_shape(folder, model, tmp_path, capsys):
    (folder / "deep").mkdir()
    soundfile.write(folder / "deep" / "stereo.flac", music(0.7, channels=2), RATE)
    out = tmp_path / "out"
    assert main(["restore", str(folder), "--model", str(model), "--out", str(out), "--sample_format", "float"]) == 0
    assert "wrote 6 files" in capsys.readouterr().out
    for name, ending in (("clip0", "wav"), ("clip4", "wav"), ("deep/stereo", "flac")):
        given, _ = soundfile.read(folder / f"{name}.{ending}", dtype="float32", always_2d=True)
        got, rate = soundfile.read(out / f"{name}.wav", dtype="float32", always_2d=True)
        assert rate == RATE
        assert np.array_equal(got, restore(seqsuite.load_model(model), given, RATE))
    assert not list(out.rglob("*.tmp"))


def test_degrade_scores_the_degraded_and_the_restored_signal(folder, model, tmp_path):
    config = RestoreConfig(str(folder), model=str(model), out=str(tmp_path / "out"), degrade="bandlimit", cutoff=3000.0)
    result = restore_files(config)
    assert len(result.files) == 5
    for item in result.files:
        clean, _ = soundfile.read(item.file, dtype="float32", always_2d=True)
        degraded = Degradation("bandlimit", 3000.0).apply(clean, RATE)
        assert item.before == score(clean, degraded)
        assert item.after == score(clean, restore(seqsuite.load_model(model), degraded, RATE))
        written, _ = soundfile.read(item.out.with_suffix(".degraded.wav"), dtype="float32", always_2d=True)
        np.testing.assert_allclose(written, degraded, atol=1e-4)
    rows = result.table()
    assert [row["file"] for row in rows] == [*(f"clip{number}.wav" for number in range(5)), "mean"]
    mean = np.mean([item.after.lsd for item in result.files])
    assert float(rows[-1]["log-spectral distance after"]) == pytest.approx(mean, abs=1e-3)
    assert len(result.figure().axes) == 4  # before, after, reference, and the scale
    page = (tmp_path / "out" / "report.html").read_text()
    assert "bandlimit 3000 Hz" in page
    assert "<img" in page


def test_a_reference_is_found_by_name_and_a_delay_taken_off(folder, model, tmp_path):
    late = tmp_path / "late"
    late.mkdir()
    for number in (0, 3):
        clean, _ = soundfile.read(folder / f"clip{number}.wav", dtype="float32")
        soundfile.write(late / f"clip{number}.flac", np.concatenate((np.zeros(1105, np.float32), clean)), RATE)
    result = restore_files(RestoreConfig(str(late), model=str(model), out=str(tmp_path / "out"), reference=str(folder)))
    # Only the rounding of the files separates the input from its reference.
    assert all(item.before.sdr > 60 for item in result.files)
    assert all(item.after.sdr < 60 for item in result.files)


def test_json_has_no_nan(folder, model, tmp_path, capsys):
    soundfile.write(folder / "clip0.wav", np.zeros(8000), RATE)
    out = str(tmp_path / "out")
    arguments = ["restore", str(folder / "clip0.wav"), "--model", str(model), "--out", out, "--degrade", "quantize"]
    assert main([*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(name))
    assert told["files"][0]["before"]["sdr"] is None
    assert told["files"][0]["after"]["lsd"] == 0
    silent, _ = soundfile.read(Path(out) / "clip0.wav")
    assert not silent.any()


def test_other_rates_are_refused_and_resampled_when_asked(folder, model, tmp_path, capsys):
    path = folder / "clip1.wav"
    soundfile.write(path, music(1.0, rate=44100), 44100)
    arguments = ["restore", str(path), "--model", str(model), "--out", str(tmp_path / "out")]
    assert main(arguments) == 2
    assert f"{path} has 44100 samples a second, the model was trained on 16000" in capsys.readouterr().err
    assert not (tmp_path / "out" / "clip1.wav").exists()
    assert main([*arguments, "--resample"]) == 0
    assert soundfile.info(tmp_path / "out" / "clip1.wav").frames == RATE


def test_unreadable_files_are_skipped_only_when_asked(folder, model, tmp_path, capsys):
    (folder / "clip2.wav").write_bytes(b"no sound at all")
    soundfile.write(folder / "clip3.wav", np.full(8000, np.nan, np.float32), RATE, subtype="FLOAT")
    arguments = ["restore", str(folder), "--model", str(model), "--out", str(tmp_path / "out")]
    assert main(arguments) == 2
    assert "clip2.wav" in capsys.readouterr().err
    assert main([*arguments, "--on_error", "skip", "--overwrite"]) == 0
    told = capsys.readouterr()
    assert "wrote 3 files" in told.out
    assert told.err.count("skipped") == 2


@pytest.mark.parametrize(("change", "message"), [
    ({"input": "nowhere"}, "nowhere"),
    ({"model": "nowhere"}, "nowhere: there is no such folder"),
    ({"device": "meta"}, "device 'meta' cannot be used here"),
    ({"reference": "{folder}", "degrade": "mp3"}, "--reference and --degrade exclude each other"),
    ({"reference": "{folder}/clip0.wav"}, "has no file of that name"),
    ({"degrade": "bandlimit", "cutoff": 9000.0}, "a cutoff of 9000 Hz does not fit audio of 16000 Hz"),
    ({"degrade": "mp3", "compression": 1.5}, "below 1, not 1.5"),
    ({"chunk_seconds": 1.0, "overlap_seconds": 0.7}, "--chunk_seconds 1 and --overlap_seconds 0.7"),
    ({"batch": 0}, "--batch is 0"),
])  # fmt: skip
def test_refusals_of_restore_are_one_line(folder, model, tmp_path, change, message):
    options = {"input": str(folder), "model": str(model), "out": str(tmp_path / "out")} | change
    options = {k: v.format(folder=folder) if isinstance(v, str) else v for k, v in options.items()}
    with pytest.raises(UserError, match=message) as caught:
        restore_files(RestoreConfig(**options))
    assert "\n" not in str(caught.value)


def test_outputs_are_not_overwritten(folder, model, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "clip3.wav").write_text("mine")
    arguments = ["restore", str(folder), "--model", str(model), "--out", str(out)]
    assert main(arguments) == 2
    assert "clip3.wav exists; add --overwrite" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["clip3.wav"]
    assert (out / "clip3.wav").read_text() == "mine"


def test_a_model_that_restores_nothing_is_refused(folder, tmp_path):
    seqsuite.create_model("mamba_lm_debug").save_pretrained(tmp_path / "other")
    with pytest.raises(UserError, match="holds a MixerLM, which restores nothing"):
        restore_files(RestoreConfig(str(folder), model=str(tmp_path / "other"), out=str(tmp_path / "out")))


def test_a_reference_of_other_length_or_channels_is_refused(folder, model, tmp_path):
    long, wide = tmp_path / "long.wav", tmp_path / "wide.wav"
    soundfile.write(long, music(3.0), RATE)
    soundfile.write(wide, music(2.0, channels=2), RATE)
    for path, message in ((long, "this cannot be its reference"), (wide, "has 2 channels")):
        config = RestoreConfig(
            str(folder / "clip0.wav"), model=str(model), out=str(tmp_path / "out"), reference=str(path)
        )
        with pytest.raises(UserError, match=message):
            restore_files(config)


def test_names_keep_their_place_and_their_ending_where_it_tells_them_apart():
    root = Path("in")
    files = [root / "a.wav", root / "a.mp3", root / "b" / "c.ogg"]
    assert output_names(root, files) == ["a.wav", "a.mp3", "b/c"]
    assert output_names(root / "a.wav", [root / "a.wav"]) == ["a"]
    with pytest.raises(UserError, match=r"would both be written as c\.wav\.wav"):
        output_names(Path("list.csv"), [Path("x/c.wav"), Path("y/c.wav")])


def test_a_run_is_trained_measured_and_used(folder, tmp_path, capsys):
    run = tmp_path / "run"
    assert main(flags(folder, run, "--degrade", "bandlimit,quantize", "--cutoff", "3000,5000")) == 0
    told = capsys.readouterr().out
    assert "bandlimit 3872.98 Hz" in told
    assert "quantize 8 bits" in told
    summary = json.loads((run / "summary.json").read_text())
    limited = "bandlimit 3872.98 Hz"
    assert set(summary["scores"]) == {limited, f"{limited}, noise instead of the model", "quantize 8 bits"}
    assert "si_sdr_gain" in (run / "metrics.csv").read_text()
    assert (run / "report.html").stat().st_size > 10_000
    out = str(tmp_path / "out")
    assert main(["restore", str(folder), "--model", str(run), "--out", out, "--degrade", "bandlimit"]) == 0


def test_training_skips_unreadable_files_only_when_asked_and_lists_them(folder, tmp_path, capsys):
    (folder / "clip9.wav").write_bytes(b"no sound at all")
    soundfile.write(folder / "short.wav", music(0.2), RATE)
    run = tmp_path / "run"
    assert main(flags(folder, run)) == 2
    assert "clip9.wav" in capsys.readouterr().err
    assert main(flags(folder, run, "--on_error", "skip", "--degrade", "quantize", "--overwrite")) == 0
    told = capsys.readouterr().err
    assert "skipped" in told
    summary = json.loads((run / "summary.json").read_text())
    assert str(folder / "clip9.wav") in {item["file"] for item in summary["skipped"]}
    assert "clip9.wav" in (run / "report.html").read_text()


def test_a_run_resumes_to_the_same_weights(folder, tmp_path):
    straight, cut = tmp_path / "straight", tmp_path / "cut"
    assert main(flags(folder, straight)) == 0
    assert main(flags(folder, cut)) == 0
    (cut / "checkpoints" / "step-00000004.ckpt").unlink()  # as if it had been killed after step 3
    assert main(flags(folder, cut, "--resume")) == 0
    one, two = ((path / "model" / "model.safetensors").read_bytes() for path in (straight, cut))
    assert one == two


def test_training_lowers_the_spectral_distance_of_band_limited_sound(folder, tmp_path):
    options = {"d_model": 12, "n_layer": 1, "band_hz": 1000.0, "mixer_options": {"d_state": 8}}
    config = RestoreTrainConfig(
        str(folder), out=str(tmp_path / "run"), model_options=options, steps=80, batch_size=4, seconds=0.5, lr=1e-2,
        degrade="bandlimit", cutoff=(3000.0, 3000.0), valid_fraction=0.2, test_fraction=0.2, threads=1,
    )  # fmt: skip
    result = restore_train(config)
    before, after = result.scores["bandlimit 3000 Hz"]
    assert after.lsd < 0.75 * before.lsd


@pytest.mark.parametrize(("more", "message"), [
    (("--model", "mamba_lm_debug", "--model_options", "{}"), "--model mamba_lm_debug restores nothing"),
    (("--degrade", "bandlimt"), "--degrade 'bandlimt'. Did you mean 'bandlimit'"),
    (("--cutoff", "2000,9000"), "--cutoff 9000 is not below half the model's rate, 8000 Hz"),
    (("--seconds", "5"), r"clip\d.wav is 2 s long, shorter than a window of 5 s"),
    (("--seconds", "0"), "--seconds is 0"),
    (("--valid_fraction", "1.5"), "--valid_fraction is 1.5"),
    (("--spectral_weight", "0", "--wave_weight", "0", "--si_sdr_weight", "0"), "nothing would be learned"),
])  # fmt: skip
def test_refusals_of_training_are_one_line_and_cost_no_folder(folder, tmp_path, capsys, more, message):
    import re

    assert main(flags(folder, tmp_path / "run", *more)) == 2
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("seqaudio:")]
    assert len(told) == 1
    assert re.search(message, told[0])
    assert not (tmp_path / "run").exists()


def test_help_of_both_verbs(capsys):
    for verb in ("restore", "restore-train"):
        assert main([verb, "--help"]) == 0
        assert "--degrade" in capsys.readouterr().out
