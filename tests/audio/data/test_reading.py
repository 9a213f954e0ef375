"""Laws of reading: a window equals that part of the whole, at any rate, in any format."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from seqaudio.data import (
    check_signal,
    find_audio,
    probe,
    read_audio,
    read_window,
    resample,
    stream_audio,
)
from seqaudio.data.torch_audio import torchaudio
from seqaudio.sources import open_source
from seqsuite.errors import UserError

from .conftest import noise, put

FORMATS = ["wav", "flac", "ogg", "mp3", "opus", "aiff", "caf", "au"]
KINDS = {"PCM_U8": 2**-7, "PCM_16": 2**-15, "PCM_24": 2**-23, "PCM_32": 2**-24, "FLOAT": 0, "DOUBLE": 0}


def refusal(*args: object, **options: object) -> str:
    with pytest.raises(UserError) as caught:
        read_audio(*args, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("kind", "step"), KINDS.items())
def test_sample_types_of_wav_come_back_to_their_step(tmp_path, kind, step):
    given = noise(500, 2)
    read = read_audio(put(tmp_path / "a.wav", given, subtype=kind), rate=8000, channels=2)
    assert read.dtype == np.float32
    assert np.abs(read - given).max() <= step


@pytest.mark.parametrize("ending", FORMATS)
def test_a_window_is_that_part_of_the_file_in_every_format(tmp_path, ending):
    path = put(tmp_path / f"a.{ending}", noise(24000, 2), 48000)
    whole, rate = soundfile.read(path, dtype="float32", always_2d=True)
    assert np.array_equal(read_audio(path, rate=rate, channels=2), whole)
    for start in (0, 1, 999, 11111, 23990):
        part = read_audio(path, rate=rate, channels=2, start=start / rate, seconds=700 / rate)
        # The last bits of lossy decoders depend on where decoding began.
        np.testing.assert_allclose(part, whole[start : start + 700], atol=1e-6)


@pytest.mark.parametrize(
    ("rate", "to"),
    [(44100, 16000), (16000, 44100), (48000, 16000), (8000, 16000), (11025, 16000), (96000, 8000), (22050, 22049)],
)
def test_a_window_of_the_resampled_signal_is_that_part_of_it_resampled_whole(tmp_path, rate, to):
    frames = rate // 2 + 7
    file = probe(put(tmp_path / "a.wav", noise(frames, 2), rate, subtype="FLOAT"))
    whole = read_audio(file, rate=to, channels=2)
    total = -(-frames * to // rate)
    assert whole.shape == (total, 2) == (file.frames_at(to), 2)
    for first, count in ((0, 1), (0, 100), (1, 333), (total // 3, 1500), (total - 100, 100), (total - 1, 1)):
        part = read_window(file, first, count, rate=to, channels=2)
        np.testing.assert_allclose(part, whole[first : first + count], atol=2e-6)
    np.testing.assert_allclose(
        np.concatenate(list(stream_audio(file, rate=to, channels=2, block_seconds=0.037))), whole, atol=2e-6
    )


@pytest.mark.parametrize(("rate", "to"), [(44100, 16000), (16000, 44100), (8000, 16000), (12000, 8000)])
def test_resampling_is_that_of_torchaudio(rate, to):
    import torch

    given = noise(100_000, 2)
    theirs = torchaudio().functional.resample(
        torch.from_numpy(given.T.copy()).double(), rate, to, lowpass_filter_width=32, rolloff=0.95
    )
    np.testing.assert_allclose(resample(given, rate, to), theirs.numpy().T, atol=2e-6)


def test_rates_without_a_common_divisor_use_the_same_filter(monkeypatch):
    from seqaudio.data import resampling

    given = noise(30_000, 2)
    for rate, to in ((44100, 16000), (16000, 44100), (12000, 8000)):
        banked = resample(given, rate, to)
        with monkeypatch.context() as patch:
            patch.setattr(resampling, "_LARGEST_BANK", 0)
            np.testing.assert_allclose(resample(given, rate, to), banked, atol=2e-6)


@pytest.mark.parametrize(("rate", "to"), [(44100, 16000), (44099, 16000), (16000, 44100), (48000, 16000)])
def test_tones_below_the_limit_stay_and_those_above_vanish(rate, to):
    def level(hertz: float) -> float:
        tone = np.sin(2 * np.pi * hertz * np.arange(rate // 4) / rate)[:, None]
        made = resample(tone, rate, to)[:, 0]
        middle = np.arange(len(made))[len(made) // 4 : -len(made) // 4]
        wave = np.exp(-2j * np.pi * hertz * middle / to) * np.hanning(len(middle))
        if hertz < min(rate, to) / 2:
            return float(20 * np.log10(2 * abs(made[middle] @ wave) / np.hanning(len(middle)).sum()))
        return float(20 * np.log10(np.sqrt(2) * made[middle].std()))

    limit = min(rate, to) / 2
    assert all(abs(level(share * limit)) < 0.1 for share in (0.1, 0.5, 0.9))
    if to < rate:
        assert all(level(share * limit) < -60 for share in (1.05, 1.2))


def test_channels_are_averaged_or_copied_and_nothing_else(tmp_path):
    given = noise(600, 3)
    path = put(tmp_path / "three.wav", given, subtype="FLOAT")
    np.testing.assert_allclose(read_audio(path, rate=8000), given.mean(1, keepdims=True), atol=1e-7)
    assert np.array_equal(read_audio(path, rate=8000, channels=3), given)
    assert "three.wav has 3 channels, 2 are wanted" in refusal(path, rate=8000, channels=2)
    one = put(tmp_path / "one.wav", given[:, :1], subtype="FLOAT")
    assert np.array_equal(read_audio(one, rate=8000, channels=4), np.repeat(given[:, :1], 4, axis=1))


def test_mixing_and_resampling_can_be_swapped(tmp_path):
    path = put(tmp_path / "a.wav", noise(9000, 2), 44100, subtype="FLOAT")
    both = read_audio(path, rate=16000, channels=2)
    np.testing.assert_allclose(read_audio(path, rate=16000), both.mean(1, keepdims=True), atol=1e-6)


def test_a_stretch_is_a_signal_of_its_own(tmp_path):
    from dataclasses import replace

    given = noise(9000)
    file = probe(put(tmp_path / "a.wav", given, 44100, subtype="FLOAT"))
    stretch = replace(file, first=3000, frames=4000)
    assert np.array_equal(read_audio(stretch, rate=44100), given[3000:7000])
    np.testing.assert_allclose(read_audio(stretch, rate=16000), resample(given[3000:7000], 44100, 16000), atol=1e-6)


def test_windows_beyond_the_end_are_cut_and_those_outside_refused(tmp_path):
    given = noise(800)
    path = put(tmp_path / "a.wav", given, subtype="FLOAT")
    assert np.array_equal(read_audio(path, rate=8000, start=0.09, seconds=5), given[720:])
    assert "a.wav: a window from 0.1 s does not start in its 0.100 s" in refusal(path, rate=8000, start=0.1)
    assert "does not start" in refusal(path, rate=8000, start=-1)
    assert "does not start" in refusal(path, rate=8000, start=float("nan"))
    assert "a length above 0" in refusal(path, rate=8000, seconds=0)
    with pytest.raises(ValueError, match="no 10 samples from 795 on"):
        read_window(probe(path), 795, 10, rate=8000)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rate", [8000, 16000])
def test_a_sample_that_is_no_number_is_found_where_it_is(tmp_path, value, rate):
    given = noise(4000, 2)
    given[2400, 1] = value
    path = put(tmp_path / "a.wav", given, subtype="FLOAT")
    assert f"{path}: sample 2400 (0.300 s) is NaN or infinite" in refusal(path, rate=rate)
    assert read_audio(path, rate=rate, seconds=0.25).shape == (rate // 4, 1)


def cut(path, share=0.5):
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    return path


@pytest.mark.parametrize("ending", ["flac", "mp3"])
def test_a_file_cut_off_is_named_and_its_start_still_read(tmp_path, ending):
    path = cut(put(tmp_path / f"a.{ending}", noise(80_000), 16000))
    assert probe(path).frames == 80_000
    assert f"{path}: " in refusal(path, rate=16000)
    assert "cut off" in refusal(path, rate=16000, start=4.0, seconds=0.5)
    assert len(read_audio(path, rate=16000, seconds=0.5)) == 8000


def test_all_files_are_checked_in_one_pass(tmp_path):
    put(tmp_path / "good.wav", noise(5000, 2), 44100)
    put(tmp_path / "silent.wav", noise(5000) * 0)
    put(tmp_path / "loud.wav", noise(5000) * 8, subtype="FLOAT")
    cut(put(tmp_path / "cut.flac", noise(80_000), 16000))
    put(tmp_path / "nan.wav", noise(300) * np.nan, subtype="FLOAT")
    checked = open_source(tmp_path, rate=16000, on_error="skip")
    assert [file.path.name for file in checked.files] == ["good.wav", "loud.wav"]
    assert [path.name for path, _ in checked.skipped] == ["cut.flac", "nan.wav", "silent.wav"]
    assert all(str(path) in why for path, why in checked.skipped)
    assert f"{tmp_path / 'silent.wav'}: the clip is silent" in checked.skipped[2][1]
    assert any("loud.wav: samples reach" in note for note in checked.notes)
    with pytest.raises(UserError, match=r"cut\.flac"):
        open_source(tmp_path, rate=16000)
    for name in ("good.wav", "loud.wav"):
        (tmp_path / name).unlink()
    with pytest.raises(UserError, match="none of its 3 sound files can be used"):
        open_source(tmp_path, rate=16000, on_error="skip")


def test_notes_and_faults_of_a_signal():
    assert check_signal(noise(100), "a.wav") == ()
    assert check_signal(np.zeros(5), "a.wav") == ("a.wav: the clip is silent",)
    assert "all samples are 0.25" in check_signal(np.full((5, 2), 0.25), "a.wav")[0]
    assert "reach 1.5" in check_signal(np.array([0.1, -1.5]), "a.wav")[0]
    for samples, message in ((np.zeros(0), "no sound in it"), (np.array([1, np.nan]), "NaN or infinite")):
        with pytest.raises(UserError, match=f"a.wav: .*{message}"):
            check_signal(samples, "a.wav")


def test_real_recordings_are_read_and_resampled(real_data):
    files = find_audio(real_data / "audio" / "music_16khz").files
    assert len(files) == 5
    whole = read_audio(files[0], rate=22050)
    part = read_audio(files[0], rate=22050, start=20.0, seconds=0.1)
    np.testing.assert_allclose(part, whole[441000 : 441000 + 2205], atol=1e-6)
    manifest = find_audio(real_data / "audio" / "speech_prompts_16khz" / "index.csv", label_column="name")
    assert len(manifest.files) == 189
    labels = {file.path.stem: file.label for file in manifest.files}
    assert labels["digits_7"] == "7"
    assert labels["letters_a"] == "a"
