"""Clips: prompts, independence, likelihood, interruption, runaways, diffusion; files and the command."""

from __future__ import annotations

import csv
import json
import math

import numpy as np
import pytest
import soundfile
import torch
from _small import RATE, small, tone

import seqsuite
from seqaudio.api import AudioModel
from seqaudio.cli import main
from seqaudio.generation import generate, stream
from seqaudio.generation import run as run_module
from seqsuite.errors import UserError

SHORT = {"seconds": 0.05, "monitor": "off"}


@pytest.fixture
def clip_file(tmp_path):
    path = tmp_path / "start.wav"
    soundfile.write(path, tone(0.05), RATE, subtype="FLOAT")
    return path


def likelihood(model: AudioModel, codes: np.ndarray, first: int) -> float:
    """The log-likelihood of codes[first:] by the parallel form."""
    inputs = torch.from_numpy(np.concatenate(([128], codes[:-1])))[None]
    with torch.inference_mode():
        log_p = model.model(inputs).double().log_softmax(-1)[0]
    return float(log_p[torch.arange(first, len(codes)), torch.from_numpy(codes[first:])].sum())


@pytest.mark.parametrize("how", ["on", "off"])
@pytest.mark.parametrize("frames", [0, 1, 7, 400])
def test_prompt_and_continuation_are_one_sequence(model, how, frames):
    """With the likeliest code each time, prompt + continuation is what the parallel form prefers, sample by sample."""
    prompt = tone(0.05)[:frames, 0] if frames else None
    made = generate(model, prompt=prompt, temperature=0.0, compile=how, **SHORT)
    before = model.codes(prompt) if frames else np.zeros(0, np.int64)
    np.testing.assert_array_equal(made.prompt[:, 0], model.quantizer.decode(before))
    codes = np.concatenate((before, made.clips[0].codes))
    inputs = torch.from_numpy(np.concatenate(([128], codes[:-1])))[None]
    with torch.inference_mode():
        logits = model.model(inputs)[0]
    gap = logits.max(-1).values - logits[torch.arange(len(codes)), torch.from_numpy(codes)]
    assert float(gap[frames:].max()) < 1e-4


def test_likelihood_is_that_of_the_parallel_form(model):
    before = model.codes(tone(0.02)[:, 0])
    made = generate(model, prompt=tone(0.02)[:, 0], n=3, temperature=0.7, top_k=80, **SHORT)
    for clip in made.clips:
        np.testing.assert_array_equal(clip.samples[:, 0], model.quantizer.decode(clip.codes))
        codes, first = np.concatenate((before, clip.codes)), len(before)
        wanted = likelihood(model, codes, first)
        assert clip.log_likelihood == pytest.approx(wanted, abs=2e-3)
        assert clip.bits_per_sample == pytest.approx(-wanted / (len(codes) - first) / math.log(2), rel=1e-5)
    scores = [clip.log_likelihood for clip in made.clips]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("how", ["on", "off"])
def test_a_clip_does_not_depend_on_its_neighbours(model, how):
    by_number = [
        {clip.number: clip.samples for clip in generate(model, n=n, batch=batch, seed=4, compile=how, **SHORT).clips}
        for n, batch in ((5, 16), (5, 2), (2, 1))
    ]
    for number, samples in by_number[0].items():
        for other in by_number[1:]:
            if number in other:
                np.testing.assert_array_equal(samples, other[number])
    assert not np.array_equal(by_number[0][1], by_number[0][2])
    other_seed = generate(model, seed=5, **SHORT).clips[0].samples
    assert not np.array_equal(other_seed, by_number[0][1])


def test_stream_gives_pieces_while_it_runs(model):
    found = list(stream(model, seconds=0.05, n=2, seed=3, piece_seconds=0.02))
    assert [piece.shape for piece in found] == [(2, 160), (2, 160), (2, 80)]
    assert found[0].dtype == np.float32
    clips = sorted(generate(model, n=2, seed=3, **SHORT).clips, key=lambda clip: clip.number)
    np.testing.assert_array_equal(np.concatenate(found, 1), np.stack([clip.samples[:, 0] for clip in clips]))
    endless = stream(model, seconds=1e6)
    assert next(endless).shape == (1, RATE // 10)
    with pytest.raises(UserError, match="at least a sample"):
        next(stream(model, seconds=0))


def biased(code: int) -> AudioModel:
    """A model that says one code for ever."""
    model = small()
    with torch.no_grad():
        model.model.head.bias[code] += 100
    return model


@pytest.mark.parametrize(("code", "why"), [(255, "stuck"), (200, "stuck")])
def test_runaway_stops_and_names_clip_and_second(code, why):
    with pytest.raises(UserError, match=rf"clip 1 ran away at 0\.2\d s: {why}.*--monitor drop") as caught:
        generate(biased(code), seconds=1.0, n=2)
    assert "\n" not in str(caught.value)
    made = generate(biased(code), seconds=0.5, n=2, monitor="drop")
    assert len(made) == 0
    assert all(why in clip.state for clip in made.clips)
    assert made.figure() is None
    assert len(generate(biased(128), seconds=0.5)) == 1  # silence is no fault


def test_weights_that_give_nan_are_named():
    model = small()
    with torch.no_grad():
        model.model.head.weight[3, 3] = float("nan")
    for how in ("on", "off"):
        with pytest.raises(UserError, match=r"clip 1, 0\.00 s: the model gives NaN"):
            generate(model, compile=how, **SHORT)


def test_ctrl_c_keeps_what_there_is(model, monkeypatch, tmp_path):
    true, count = run_module.pieces, [0]

    def breaking(*args, **options):
        for piece in true(*args, **options):
            count[0] += 1
            if count[0] == 4:
                raise KeyboardInterrupt
            yield piece

    monkeypatch.setattr(run_module, "pieces", breaking)
    made = generate(model, seconds=0.2, n=4, batch=2, monitor="off")
    assert made.interrupted
    assert sorted(len(clip.samples) for clip in made.clips) == [800, 800, 1600, 1600]
    saved = made.save(tmp_path / "out")
    assert len(list((tmp_path / "out").glob("*.wav"))) == 4
    assert any("interrupted" in note for note in saved.notes)


def diffusion(**options) -> AudioModel:
    torch.manual_seed(0)
    options = {"sample_rate": RATE, "diffusion_steps": 50, "beta_last": 0.05, "kernel_length": 64, **options}
    model = seqsuite.create_model("diffwave_sashimi_debug", **options)
    with torch.no_grad():
        model.head.weight.normal_(std=0.1)
    return AudioModel(model)


def test_diffusion_full_and_fast():
    model = diffusion()
    full = generate(model, seconds=0.02, n=3, batch=2)
    fast = generate(model, seconds=0.02, n=3, batch=3, schedule="fast")
    again = generate(model, seconds=0.02, n=1, schedule="fast")
    assert full.path == "diffusion"
    assert full.clips[0].log_likelihood is None
    assert full.clips[0].samples.shape == (160, 1)
    np.testing.assert_allclose(fast.clips[0].samples, again.clips[0].samples, atol=1e-5)
    assert not np.allclose(full.clips[0].samples, fast.clips[0].samples)
    with pytest.raises(UserError, match="--temperature is for models of samples"):
        generate(model, temperature=0.5)
    with pytest.raises(UserError, match="continues nothing"):
        generate(model, prompt="x.wav")
    with pytest.raises(UserError, match="no fast schedule is known for a model trained with 30"):
        generate(diffusion(diffusion_steps=30), schedule="fast")
    with pytest.raises(UserError, match="takes no mel"):
        generate(model, mel="x.wav")


def test_diffusion_follows_the_mel_of_a_file(clip_file, tmp_path):
    model = diffusion(mel_upsample=(4, 4), n_mels=8, mel_fft=128, mel_window=128, mel_fmax=4000.0)
    made = generate(model, mel=str(clip_file), schedule="fast", n=2)
    assert made.clips[0].samples.shape == (400, 1)
    soundfile.write(tmp_path / "other.wav", tone(0.05)[::-1] * np.linspace(0, 1, 400)[:, None], RATE)
    other = generate(model, mel=str(tmp_path / "other.wav"), schedule="fast", n=2)
    assert not np.allclose(made.clips[0].samples, other.clips[0].samples)
    with pytest.raises(UserError, match="give --mel FILE"):
        generate(model)


def test_notebook_view_has_table_figure_and_sound(model):
    page = generate(model, n=2, **SHORT)._repr_html_()
    assert page.count("<audio controls src='data:audio/wav;base64,") == 2
    assert "log-likelihood" in page
    assert "data:image" in page


def test_command_writes_clips_in_order(run_folder, clip_file, tmp_path, capsys):
    out = tmp_path / "out"
    command = [
        "generate",
        str(run_folder),
        "--out",
        str(out),
        "--n",
        "5",
        "--seconds",
        "0.05",
        "--prompt",
        str(clip_file),
    ]
    command += ["--temperature", "0.95", "--reject_bottom", "0.4", "--reject_top", "0.2", "--monitor", "off", "--json"]
    assert main(command) == 0
    told = json.loads(capsys.readouterr().out)
    rows = list(csv.DictReader((out / "likelihoods.csv").open()))
    assert [row["state"].split(":")[0] for row in rows] == ["rejected", "kept", "kept", "rejected", "rejected"]
    scores = [float(row["log_likelihood"]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert [row["file"] for row in rows if row["file"]] == ["clip_001.wav", "clip_002.wav"]
    assert json.loads((out / "likelihoods.json").read_text())["clips"] == told["clips"]
    samples, rate = soundfile.read(out / "clip_001.wav")
    assert (len(samples), rate) == (800, RATE)
    prompt, _ = soundfile.read(clip_file)
    assert np.abs(samples[:400] - prompt).max() < 0.03  # as quantised
    assert (out / "clips.png").stat().st_size > 1000
    assert main([*command]) == 2
    assert "is not empty; add --overwrite" in capsys.readouterr().err
    assert main([*command, "--overwrite", "--n", "1", "--reject_bottom", "0", "--reject_top", "0"]) == 0
    assert [path.name for path in sorted(out.glob("*.wav"))] == ["clip_001.wav"]


def fails(capsys, command: list[str]) -> str:
    """Run it, and return the one line that it says."""
    assert main(command) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = [line for line in captured.err.splitlines() if line.startswith("seqaudio: ")]
    return line


def test_a_slow_way_is_said():
    mamba = small(mixer="mamba", mixer_options={"d_state": 4})
    made = generate(mamba, seconds=0.01, monitor="off")
    assert made.path == "model"
    assert any("not run as machine code" in note and "mamba" in note for note in made.notes)
    assert generate(small(), seconds=0.01, monitor="off", compile="off").notes == ()


def test_bad_prompts(run_folder, tmp_path, capsys):
    def with_prompt(samples: np.ndarray, *more: str, rate: int = RATE) -> list[str]:
        path = tmp_path / "p.wav"
        soundfile.write(path, samples, rate, subtype="FLOAT")
        out = ["--out", str(tmp_path / "out"), "--seconds", "0.01", "--overwrite", "--monitor", "off"]
        return ["generate", str(run_folder), "--prompt", str(path), *out, *more]

    broken = tone(0.05)
    broken[7] = np.nan
    assert "sample 7" in fails(capsys, with_prompt(broken))
    assert "silent" in fails(capsys, with_prompt(np.zeros((400, 1), np.float32)))
    assert "has 2 channels and the model takes 1; add --mix" in fails(capsys, with_prompt(tone(0.05, channels=2)))
    assert main(with_prompt(tone(0.05, channels=2), "--mix", "true")) == 0
    assert "2 channels are averaged" in capsys.readouterr().err
    assert main(with_prompt(tone(0.05, 16000), rate=16000)) == 0
    assert f"resampled from 16000 to {RATE}" in capsys.readouterr().err
    command = with_prompt(tone(0.05))
    command[command.index("--prompt") + 1] = str(tmp_path / "none.wav")
    assert "there is no such file" in fails(capsys, command)


def test_bad_models_and_options(run_folder, tmp_path, capsys):
    base = ["--out", str(tmp_path / "out")]
    assert "there is no such folder" in fails(capsys, ["generate", str(tmp_path / "nowhere"), *base])
    classifier = tmp_path / "classifier"
    small(head="classification").model.save_pretrained(classifier)
    assert "does not predict the next sample" in fails(capsys, ["generate", str(classifier), *base])
    other = tmp_path / "other"
    seqsuite.create_model("mamba_lm_debug").save_pretrained(other)
    assert "is no audio model" in fails(capsys, ["generate", str(other), *base])
    assert "--top_p is 0" in fails(capsys, ["generate", str(run_folder), *base, "--top_p", "0"])
    assert "--n is 0" in fails(capsys, ["generate", str(run_folder), *base, "--n", "0"])
    assert "--schedule is for diffusion" in fails(capsys, ["generate", str(run_folder), *base, "--schedule", "fast"])
    assert "less than a sample" in fails(capsys, ["generate", str(run_folder), *base, "--seconds", "1e-6"])
    (tmp_path / "file").write_text("x")
    assert "is a file" in fails(capsys, ["generate", str(run_folder), "--out", str(tmp_path / "file")])
    assert not (tmp_path / "out").exists()
