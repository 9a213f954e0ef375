"""The synthetic motion: single frames say nothing, orders say all, clips are functions of (seed, number)."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest

from seqsuite.errors import UserError
from seqvision.data.motion import MOTIONS, REVERSED, MotionSet, drawn, textures


def made(count: int = 400, **options) -> MotionSet:
    return MotionSet(textures("digits").train, **{"seed": 0, "first": 0, "count": count, **options})


@pytest.fixture(scope="module")
def clips() -> tuple[np.ndarray, np.ndarray]:
    """2,000 clips (n, 6, 16, 16) and their classes."""
    found = made(2000, frames=6, size=16)
    return np.stack([found.frames(index) for index in range(2000)]), found.labels


def test_each_frame_is_the_texture_at_a_place_and_an_angle():
    found = made(20)
    for index in range(20):
        begin, motion = found.start(index), MOTIONS[found.classes[found.labels[index]]]
        for step, frame in enumerate(found.frames(index)):
            picture = drawn(found.pictures[begin.texture], found.size, begin.angle + step * motion.turn)
            rows = (np.arange(found.size) - begin.top - step * motion.down) % found.size
            columns = (np.arange(found.size) - begin.left - step * motion.right) % found.size
            np.testing.assert_array_equal(frame, picture[np.ix_(rows, columns)])


def test_the_start_is_uniform_and_knows_no_class():
    """With the law above: place and angle of every frame are uniform in each class, hence one frame says nothing."""
    found = made(4000)
    starts = [found.start(index) for index in range(len(found))]
    for name, top in (("top", 32), ("left", 32), ("angle", 360), ("texture", len(found.pictures))):
        values = np.array([getattr(start, name) for start in starts])
        counts = np.histogram(values, bins=8, range=(0, top))[0]
        # A chi-squared of 7 degrees of freedom exceeds 24.3 once in a thousand.
        assert ((counts - 500) ** 2 / 500).sum() < 24.3, name
        means = np.array([values[found.labels == label].mean() for label in range(10)])
        assert np.abs(means - top / 2).max() < 4 * top / np.sqrt(12 * 400), name


def test_labels_change_nothing_else():
    """The same clip number in sets of other classes has the same texture, angle and place."""
    one, other = made(), made(classes=("left_slow", "clockwise"))
    assert [one.start(index) for index in range(50)] == [other.start(index) for index in range(50)]


@pytest.mark.parametrize("name", MOTIONS)
def test_backwards_is_the_reversed_class(name):
    motion, back = MOTIONS[name], MOTIONS[REVERSED[name]]
    assert (motion.down + back.down, motion.right + back.right, motion.turn + back.turn) == (0, 0, 0)
    assert REVERSED[REVERSED[name]] == name != REVERSED[name]


@pytest.mark.parametrize(("name", "axis", "sign"), [("down_fast", 0, 1), ("left_slow", 1, -1), ("right_fast", 1, 1)])
def test_names_say_what_is_seen(name, axis, sign):
    found = made(2, classes=(name, "clockwise"))
    first, second = found.frames(0)[:2]
    steps = {step: np.array_equal(np.roll(first, step, axis), second) for step in (-3, -1, 1, 3)}
    assert [step for step, equal in steps.items() if equal] == [sign * (3 if "fast" in name else 1)]


def test_clockwise_is_clockwise():
    texture = np.zeros((28, 28), np.uint8)
    texture[2:8, 12:16] = 255  # a mark at the top
    found = MotionSet(texture[None], seed=0, first=0, count=2, classes=("clockwise", "left_slow"))
    begin = found.start(0)
    centred = [np.roll(frame, (-begin.top, -begin.left), (0, 1)) for frame in found.frames(0)[:2]]
    angles = []
    for frame in centred:
        y, x = np.indices(frame.shape) - 15.5
        angles.append(np.degrees(np.arctan2((frame * x).sum(), -(frame * y).sum())))  # 0 at the top, rising clockwise
    assert (angles[1] - angles[0]) % 360 == pytest.approx(15, abs=1.5)


def _accuracy(features: np.ndarray, labels: np.ndarray, *, spread: bool = False) -> float:
    """Held-out accuracy of a random forest on half of the clips."""
    from sklearn.ensemble import RandomForestClassifier

    model = RandomForestClassifier(100, random_state=0, n_jobs=1, max_features="sqrt")
    half = len(labels) // 2
    return float(model.fit(features[:half], labels[:half]).score(features[half:], labels[half:]))


def _spectra(clips: np.ndarray) -> np.ndarray:
    """Products of neighbouring frames' Fourier coefficients: what changes from one to the next, wherever it is."""
    values = np.fft.fft2(clips / 255.0)[..., :5, :5]
    cross = (values[:, 1:] * values[:, :-1].conj()).mean(1)
    cross /= np.abs(cross) + 1e-9
    flat = cross.reshape(len(clips), -1)
    return np.concatenate((flat.real, flat.imag), axis=1)


def test_one_frame_is_at_chance_and_the_whole_clip_is_not(clips):
    frames, labels = clips
    margin = 4 * np.sqrt(0.1 * 0.9 / 1000)
    assert _accuracy(frames[:, 3].reshape(len(frames), -1), labels) < 0.1 + margin
    assert _accuracy(_spectra(frames), labels) > 0.7


def test_shuffled_frames_cannot_tell_a_class_from_its_reverse(clips):
    frames, labels = clips
    names = list(MOTIONS)
    pair = np.isin(labels, [names.index("clockwise"), names.index("anticlockwise")])
    pair |= np.isin(labels, [names.index("left_fast"), names.index("right_fast")])
    ahead = np.isin(labels, [names.index("clockwise"), names.index("left_fast")])[pair]
    rng = np.random.default_rng(0)
    shuffled = np.stack([clip[rng.permutation(len(clip))] for clip in frames[pair]])
    margin = 4 * np.sqrt(0.25 / (pair.sum() / 2))
    assert _accuracy(_spectra(shuffled), ahead) < 0.5 + margin
    assert _accuracy(_spectra(frames[pair]), ahead) > 0.75


def test_clips_depend_on_seed_and_number_alone():
    one, other = made(), made(seed=1)
    whole = made(400)
    later = made(100, first=100)
    np.testing.assert_array_equal(whole.frames(150), later.frames(50))
    np.testing.assert_array_equal(one.frames(7), one.frames(7))
    assert not np.array_equal(one.frames(7), other.frames(7))
    np.testing.assert_array_equal(one.frames(9, [5, 1, 5]), one.frames(9)[[5, 1, 5]])
    assert np.bincount(whole.labels).tolist() == [40] * 10


def test_training_and_test_textures_differ():
    for name in ("digits", "auto"):
        found = textures(name)
        train = {picture.tobytes() for picture in found.train}
        both = sum(picture.tobytes() in train for picture in found.test)
        assert both / len(found.test) < 0.001, name


def test_what_is_not_installed_falls_back_under_its_name(tmp_path):
    assert textures("auto", tmp_path).name == "scikit-learn digits"
    with pytest.raises(UserError, match="dataset-fashion-mnist"):
        textures("fashion", tmp_path)


def test_idx_files_are_read_and_checked(tmp_path):
    pictures = np.arange(2 * 28 * 28, dtype=np.uint32).astype(np.uint8).reshape(2, 28, 28)
    content = b"\0\0\x08\x03" + struct.pack(">III", 2, 28, 28) + pictures.tobytes()
    for file in ("train-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte.gz"):
        (tmp_path / file).write_bytes(gzip.compress(content))
    np.testing.assert_array_equal(textures("fashion", tmp_path).train, pictures)
    for bad in (gzip.compress(content[:-1]), gzip.compress(b"no idx"), b"no gzip", gzip.compress(content)[:-9]):
        (tmp_path / file).write_bytes(bad)
        with pytest.raises(UserError, match="t10k-images"):
            textures("fashion", tmp_path)


@pytest.mark.parametrize(
    ("options", "say"),
    [
        ({"classes": ("left_slow", "clockwize")}, "Did you mean 'clockwise'"),
        ({"classes": ("left_slow",)}, "two different ones"),
        ({"classes": ("left_slow", "left_slow")}, "two different ones"),
        ({"size": 8}, "16 pixels"),
        ({"frames": 1}, "2 frames"),
    ],
)
def test_options_that_make_no_sense(options, say):
    with pytest.raises(UserError, match=say):
        made(**options)
