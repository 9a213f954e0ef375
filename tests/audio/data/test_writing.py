"""Written files come back, clip where they must and say so, and are whole or absent."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from seqaudio.data import read_audio
from seqaudio.writing import write_wav
from seqsuite.errors import UserError

from .conftest import noise

STEPS = {"int16": 2.0**-16, "int24": 2.0**-24, "float": 0.0}
SUBTYPES = {"int16": "PCM_16", "int24": "PCM_24", "float": "FLOAT"}


@pytest.mark.parametrize("kind", STEPS)
@pytest.mark.parametrize("channels", [1, 2])
def test_samples_come_back_to_half_a_step(tmp_path, kind, channels):
    given = noise(1000, channels)
    written = write_wav(tmp_path / "new" / "a.wav", given, 22050, kind=kind)
    assert (written.frames, written.clipped, written.note()) == (1000, 0, "")
    info = soundfile.info(written.path)
    assert (info.samplerate, info.channels, info.subtype) == (22050, channels, SUBTYPES[kind])
    assert np.abs(read_audio(written.path, rate=22050, channels=channels) - given).max() <= STEPS[kind]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.wav"]


@pytest.mark.parametrize("kind", ["int16", "int24"])
def test_what_was_read_is_written_bit_for_bit(tmp_path, kind):
    bits = int(kind[3:])
    whole = np.array([-(2 ** (bits - 1)), -1, 0, 1, 2 ** (bits - 1) - 1, 1234])
    write_wav(tmp_path / "a.wav", whole / 2.0 ** (bits - 1), 8000, kind=kind)
    stored, _ = soundfile.read(tmp_path / "a.wav", dtype="int32")
    assert np.array_equal(stored >> (32 - bits), whole)


def test_clipped_samples_are_counted_and_stay_at_full_scale(tmp_path):
    given = np.array([[0.5, 1.0], [1.5, -1.0], [-2.0, 0.0]])
    written = write_wav(tmp_path / "a.wav", given, 8000)
    assert written.clipped == 2
    assert written.note() == f"{tmp_path / 'a.wav'}: 2 samples lay beyond full scale and were cut off there"
    np.testing.assert_allclose(read_audio(written.path, rate=8000, channels=2), given.clip(-1, 1), atol=2.0**-15)
    kept = write_wav(tmp_path / "b.wav", given, 8000, kind="float")
    assert kept.clipped == 0
    assert np.array_equal(read_audio(kept.path, rate=8000, channels=2), given.astype(np.float32))


def test_a_vector_is_one_channel(tmp_path):
    write_wav(tmp_path / "a.wav", noise(50)[:, 0], 8000)
    assert soundfile.info(tmp_path / "a.wav").channels == 1


def test_an_existing_file_is_kept_unless_asked(tmp_path):
    write_wav(tmp_path / "a.wav", noise(50), 8000)
    with pytest.raises(UserError, match=r"a\.wav exists; add --overwrite"):
        write_wav(tmp_path / "a.wav", noise(60), 8000)
    assert soundfile.info(tmp_path / "a.wav").frames == 50
    write_wav(tmp_path / "a.wav", noise(60), 8000, overwrite=True)
    assert soundfile.info(tmp_path / "a.wav").frames == 60


def test_a_failure_leaves_the_old_file_and_nothing_half_written(tmp_path, monkeypatch):
    write_wav(tmp_path / "a.wav", noise(50), 8000)

    def full(aside, *_: object, **__: object) -> None:
        with open(aside, "wb") as handle:
            handle.write(b"RIFF")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(soundfile, "write", full)
    with pytest.raises(UserError, match=r"a\.wav: cannot be written \(No space left on device\)"):
        write_wav(tmp_path / "a.wav", noise(60), 8000, overwrite=True)
    assert soundfile.info(tmp_path / "a.wav").frames == 50
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


@pytest.mark.parametrize(
    ("name", "samples", "options", "message"),
    [
        ("a.flac", noise(5), {}, r"a\.flac: what is written is a \.wav file; name it a\.wav"),
        ("a.wav", noise(5) * np.nan, {}, r"a\.wav: there are NaN or infinite samples"),
        ("a.wav", noise(0), {}, r"a\.wav: there are no samples"),
        ("a.wav", noise(5), {"kind": "int8"}, "Unknown kind of samples 'int8'. Did you mean"),
        ("file/a.wav", noise(5), {}, r"file/a\.wav: cannot be written"),
    ],
)
def test_what_cannot_be_written_is_told(tmp_path, name, samples, options, message):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=message):
        write_wav(tmp_path / name, samples, 8000, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_integers_are_no_samples(tmp_path):
    with pytest.raises(ValueError, match="samples are floats"):
        write_wav(tmp_path / "a.wav", np.zeros(5, dtype=np.int16), 8000)
