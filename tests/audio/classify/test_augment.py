"""Changes of training clips: each does what it says, and all of it follows from the generator."""

from __future__ import annotations

import numpy as np
import pytest

from seqaudio.classification.augment import Augmentation, masked, noisy, shifted, sped, tilted, without_band
from seqaudio.classification.batches import TrainingClips
from seqaudio.classification.clips import Clips
from seqaudio.classification.sources import Stretch

RATE = 8000


@pytest.fixture
def clip() -> np.ndarray:
    return np.random.default_rng(0).standard_normal(4000).astype(np.float32)


def test_nothing_is_changed_by_nothing(clip: np.ndarray) -> None:
    none = Augmentation(speed=0, shift_ms=0, gain_db=0, tilt=0, noise_db=(300, 300), mask=0, band=0)
    for seed in range(4):
        np.testing.assert_allclose(none(clip, RATE, np.random.default_rng(seed)), clip, atol=1e-5)


def test_the_generator_decides(clip: np.ndarray) -> None:
    change = Augmentation()
    first, again, other = (change(clip, RATE, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first.dtype == np.float32
    assert len(first) != len(other) or not np.allclose(first, other)


def test_position_decides(clip: np.ndarray) -> None:
    clips = Clips([Stretch(str(n), clip[: 1000 + n], RATE, 1000 + n) for n in range(5)], RATE)
    made = [TrainingClips(clips, np.arange(5), np.arange(5), seed=3, augment=Augmentation()) for _ in range(2)]
    made[1][0]  # what was read before does not matter
    np.testing.assert_array_equal(made[0][7]["wave"], made[1][7]["wave"])
    epoch = [made[0][position]["label"] for position in range(5, 10)]
    assert sorted(epoch) == [0, 1, 2, 3, 4]


def test_speed_changes_pitch_and_length() -> None:
    tone = np.sin(2 * np.pi * 500 * np.arange(4000) / RATE)
    fast = sped(tone, 1.25)
    assert len(fast) == 3200
    peak = np.abs(np.fft.rfft(fast * np.hanning(len(fast)))).argmax() * RATE / len(fast)
    assert peak == pytest.approx(625, abs=RATE / len(fast))


def test_shift(clip: np.ndarray) -> None:
    np.testing.assert_array_equal(shifted(clip, 10, least=5), np.concatenate((np.zeros(10), clip)))
    np.testing.assert_array_equal(shifted(clip, -10, least=5), clip[10:])
    assert len(shifted(clip, -5000, least=5)) == 5
    assert len(shifted(clip[:3], -5000, least=5)) == 3


def test_tilt_keeps_power_and_moves_the_spectrum(clip: np.ndarray) -> None:
    for coefficient, side in ((0.5, 1), (-0.5, -1)):
        changed = tilted(clip, coefficient)
        assert np.square(changed).mean() == pytest.approx(np.square(clip).mean(), rel=1e-5)
        low, high = np.split(np.abs(np.fft.rfft(changed))[:2000] ** 2, 2)
        assert np.sign(high.sum() - low.sum()) == side


def test_noise_has_its_power(clip: np.ndarray) -> None:
    added = noisy(clip, 20.0, np.random.default_rng(1)) - clip
    ratio = 10 * np.log10(np.square(clip).mean() / np.square(added).mean())
    assert ratio == pytest.approx(20, abs=0.3)


def test_mask_and_band(clip: np.ndarray) -> None:
    for place in (0.0, 0.4, 1.0):
        changed = masked(clip, 0.25, place)
        assert (changed == 0).sum() == 1000
        assert np.isin(changed, [0, *clip]).all()
        spectrum, before = np.fft.rfft(without_band(clip, 0.25, place)), np.fft.rfft(clip)
        gone = np.abs(spectrum) < 1e-6 * np.abs(before).mean()
        assert gone.sum() == int(0.25 * len(before))
        np.testing.assert_allclose(spectrum[~gone], before[~gone], rtol=1e-5, atol=1e-5)
