"""Labelled clips from manifests, folders and .npz files, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from seqaudio.classification import read_clips, read_labelled
from seqaudio.classification.clips import without_silence
from seqsuite.errors import UserError

from .conftest import RATE, write_manifest


def one_line(error: pytest.ExceptionInfo[UserError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def write_clip(path: Path, samples: np.ndarray, rate: int = RATE) -> np.ndarray:
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return samples.astype(np.float32)


@pytest.fixture
def recording(tmp_path: Path) -> np.ndarray:
    """A file long.wav of one second, and what it holds."""
    return write_clip(tmp_path / "long.wav", np.random.default_rng(1).uniform(-0.5, 0.5, RATE))


def test_manifest_stretches(tmp_path: Path, recording: np.ndarray) -> None:
    rows = [
        {"file": "long.wav", "label": "b", "start": "0.25", "seconds": "0.5", "split": "train", "speaker": "ann"},
        {"file": "long.wav", "label": "a", "start": "0.75", "seconds": "", "split": "test", "speaker": "bob"},
    ]
    data = read_labelled(write_manifest(tmp_path / "m.csv", rows), rate=RATE)
    assert data.classes == ("a", "b")
    assert data.labels.tolist() == [1, 0]
    assert data.splits == ("train", "test")
    assert data.column("speaker") == ("ann", "bob")
    np.testing.assert_array_equal(data.clips.samples(0), recording[2000:6000])
    np.testing.assert_array_equal(data.clips.samples(1), recording[6000:])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"label": ""}, "m.csv, line 3: the label is missing"),
        ({"file": "nowhere.wav"}, "nowhere.wav: there is no such file"),
        ({"label": "a"}, "all 2 clips have the label 'a'"),
        ({"split": "tset"}, "unknown split in"),
        ({"start": "0.9", "seconds": "0.2"}, "m.csv, line 3: the stretch does not lie in the 1.000 s"),
        ({"start": "soon"}, "m.csv, line 3: start is 'soon'"),
    ],
)
def test_manifest_errors(tmp_path: Path, recording: np.ndarray, change: dict[str, str], said: str) -> None:
    rows = [
        {"file": "long.wav", "label": name, "split": "train", "start": start, "seconds": "0.5"}
        for name, start in (("a", "0"), ("b", "0.5"))
    ]
    rows[1] |= change
    with pytest.raises(UserError) as error:
        read_labelled(write_manifest(tmp_path / "m.csv", rows), rate=RATE)
    assert said.lower() in one_line(error).lower()


def test_missing_label_column(tmp_path: Path, recording: np.ndarray) -> None:
    path = write_manifest(tmp_path / "m.csv", [{"file": "long.wav", "labels": "a"}])
    with pytest.raises(UserError) as error:
        read_labelled(path, rate=RATE)
    assert "no column 'label'" in one_line(error)
    assert "labels" in one_line(error)


def test_missing_source(tmp_path: Path) -> None:
    for name in ("nothing.csv", "nothing.npz", "nothing"):
        with pytest.raises(UserError, match="there is no such file"):
            read_labelled(tmp_path / name, rate=RATE)


def test_folder_of_classes(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    for label in ("10", "9", "zero"):
        (tmp_path / "set" / label).mkdir(parents=True)
        for number in range(2):
            write_clip(tmp_path / "set" / label / f"{number}.wav", rng.uniform(-1, 1, 800))
    data = read_labelled(tmp_path / "set", rate=RATE)
    assert data.classes == ("9", "10", "zero")  # numbers in their order, then names
    assert [Path(name).parent.name for name in data.clips.names] == [data.classes[i] for i in data.labels]
    with pytest.raises(UserError, match="there is no folder in it"):
        read_labelled(tmp_path / "set" / "9", rate=RATE)


def test_npz(tmp_path: Path) -> None:
    audio = np.arange(-1000, 1000, dtype=np.int16)
    arrays = {
        "audio": audio,
        "offsets": [0, 500, 2000],
        "digit": [3, 1],
        "is_test": [False, True],
        "speaker": ["x", "y"],
    }
    np.savez(tmp_path / "set.npz", **arrays)
    data = read_labelled(tmp_path / "set.npz", rate=RATE)
    assert (data.classes, data.labels.tolist(), data.splits) == (("1", "3"), [1, 0], ("train", "test"))
    assert data.column("speaker") == ("x", "y")
    np.testing.assert_array_equal(data.clips.samples(1), audio[500:] / np.float32(32768))
    clips, skipped = read_clips(tmp_path / "set.npz", rate=2 * RATE, npz_rate=RATE)
    assert not skipped
    assert len(clips.samples(0)) == 1000
    np.savez(tmp_path / "bad.npz", **{**arrays, "offsets": [0, 500, 2001]})
    with pytest.raises(UserError, match="offsets must be integers that rise from 0 to the 2000 samples"):
        read_labelled(tmp_path / "bad.npz", rate=RATE)


def test_silent_clip(tmp_path: Path) -> None:
    rows = []
    for number, label in enumerate(("a", "b", "b")):
        write_clip(tmp_path / f"{number}.wav", np.sin(np.arange(800)) * (number < 2))
        rows.append({"file": f"{number}.wav", "label": label})
    data = read_labelled(write_manifest(tmp_path / "m.csv", rows), rate=RATE)
    with pytest.raises(UserError) as error:
        without_silence(data, on_error="raise")
    assert "2.wav: the clip is silent" in one_line(error)
    left = without_silence(data, on_error="skip")
    assert len(left) == 2
    assert [name for name, _ in left.skipped] == [str(tmp_path / "2.wav")]
    assert left.fingerprint() != data.fingerprint()


def test_no_clip_of_a_class_left(tmp_path: Path) -> None:
    rows = []
    for number, label in enumerate(("a", "b")):
        write_clip(tmp_path / f"{number}.wav", np.sin(np.arange(800)) * number)
        rows.append({"file": f"{number}.wav", "label": label})
    data = read_labelled(write_manifest(tmp_path / "m.csv", rows), rate=RATE)
    with pytest.raises(UserError, match="no clip of 'a' can be used"):
        without_silence(data, on_error="skip")
