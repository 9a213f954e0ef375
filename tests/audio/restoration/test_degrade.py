"""Degradations: what they take away, that they keep lengths and places, that they are drawn reproducibly."""

from __future__ import annotations

import numpy as np
import pytest

from seqaudio.data import Windows, find_audio
from seqaudio.metrics import si_sdr
from seqaudio.restoration import Degradation, DegradationRange, DegradedWindows, band_limit, codec_round_trip, quantize
from seqaudio.restoration.degrade import KINDS, delay, fitted, level_above, noise_fill, parse_kinds
from seqsuite.data.order import item_rng
from seqsuite.errors import UserError

from .conftest import RATE, music


def energy(samples: np.ndarray, low: float, high: float, rate: int = RATE) -> float:
    spectrum = np.abs(np.fft.rfft(samples[:, 0] * np.hanning(len(samples)))) ** 2
    frequency = np.fft.rfftfreq(len(samples), 1 / rate)
    return float(spectrum[(frequency >= low) & (frequency < high)].sum())


@pytest.mark.parametrize("cutoff", [1000.0, 2500.0, 4000.0, 6100.0])
@pytest.mark.parametrize("rate", [8000 * 2, 44100])
def test_a_band_limit_keeps_what_is_below_and_takes_what_is_above(cutoff, rate):
    noise = 0.1 * np.random.default_rng(0).standard_normal((rate, 2)).astype(np.float32)
    limited = band_limit(noise, rate, cutoff)
    assert limited.shape == noise.shape
    kept = energy(limited, 0, 0.9 * cutoff, rate) / energy(noise, 0, 0.9 * cutoff, rate)
    left = energy(limited, 1.1 * cutoff, rate / 2, rate) / energy(noise, 1.1 * cutoff, rate / 2, rate)
    assert kept == pytest.approx(1, abs=0.02)
    assert left < 1e-5


def test_noise_fills_what_is_missing_at_the_level_of_other_clips():
    clips = [music(0.5, seed=seed) for seed in range(3)]
    lows = [band_limit(clip, RATE, 3000.0) for clip in clips]
    level = level_above(iter(clips), RATE, 3000.0)
    ratios = [np.std(clip - low) / np.std(low) for clip, low in zip(clips, lows, strict=True)]
    assert level == pytest.approx(np.prod(ratios) ** (1 / 3), rel=1e-5)
    filled = noise_fill(lows[0], RATE, 3000.0, level, item_rng(0, 1))
    assert np.std(filled - lows[0]) == pytest.approx(level * np.std(lows[0]), rel=1e-4)
    assert energy(filled - lows[0], 0, 2700) < 1e-3 * energy(filled - lows[0], 3300, 8000)
    assert level_above([np.zeros((800, 1), np.float32)], RATE, 3000.0) == 0


@pytest.mark.parametrize("cutoff", [8000.0, 9000.0, 1.0])
def test_a_cutoff_that_does_not_fit_is_one_line(cutoff):
    with pytest.raises(UserError, match="does not fit audio of 16000 Hz"):
        band_limit(music(0.1), RATE, cutoff)


@pytest.mark.parametrize("codec", ["mp3", "vorbis", "opus"])
@pytest.mark.parametrize(("rate", "channels"), [(16000, 1), (44100, 2)])
def test_a_codec_keeps_length_and_place_and_loses_more_with_more_compression(codec, rate, channels):
    samples = music(1.5, channels=channels, rate=rate)
    ratios = []
    for compression in (0.5, 0.95):
        coded = codec_round_trip(samples, rate, codec, compression)
        assert coded.shape == samples.shape
        assert coded.dtype == np.float32
        # A frame of misplacement would cost nearly everything in signals of such high frequencies.
        assert abs(delay(samples, coded)) <= 1
        ratios.append(float(si_sdr(samples.T, coded.T, joint_channels=True)))
    assert ratios[0] > ratios[1] > 3


def test_quantisation_has_its_steps_and_their_noise():
    samples = 0.8 * np.random.default_rng(0).uniform(-1, 1, (20000, 1)).astype(np.float32)
    for bits in (4, 8, 12):
        coarse = quantize(samples, bits)
        step = 2.0 ** (1 - bits)
        assert np.abs(coarse - samples).max() <= step / 2 + 1e-7
        assert np.array_equal(coarse / step, np.rint(coarse / step))
        assert np.sqrt(((coarse - samples) ** 2).mean()) == pytest.approx(step / 12**0.5, rel=0.02)
    assert quantize(np.array([[1.5], [-2.0]], np.float32), 8).ravel().tolist() == [127 / 128, -1.0]


@pytest.mark.parametrize("shift", [-300, 0, 1, 1105])
def test_a_delay_is_found_and_taken_off(shift):
    samples = music(1.0)
    late = fitted(samples, len(samples) + 2000, -shift)
    assert delay(samples, late) == shift
    back = fitted(late, len(samples), shift)
    inner = slice(400, -400)
    assert np.array_equal(back[inner], samples[inner])


def test_silence_has_no_delay():
    assert delay(np.zeros((100, 1)), np.zeros((150, 1))) == 0


def test_draws_stay_in_their_range_and_reach_every_kind():
    kinds = DegradationRange(cutoff=(1000, 3000), compression=(0.8, 0.9))
    drawn = [kinds.draw(item_rng(0, number)) for number in range(200)]
    assert {one.kind for one in drawn} == set(KINDS)
    assert all(1000 <= one.value <= 3000 for one in drawn if one.kind == "bandlimit")
    assert all(0.8 <= one.value <= 0.9 for one in drawn if one.kind in ("mp3", "vorbis", "opus"))
    assert all(one.value == 8 for one in drawn if one.kind == "quantize")


def test_pairs_are_a_function_of_seed_and_position(folder):
    windows = Windows(find_audio(folder).files, length=3200, rate=RATE, train=True, seed=5)
    make = lambda seed: DegradedWindows(windows, DegradationRange(), seed=seed)  # noqa: E731
    first, again, other = make(1), make(1), make(2)
    backwards = {position: again[position] for position in reversed(range(6))}
    for position in range(6):
        pair = first[position]
        assert {name: tuple(value.shape) for name, value in pair.items()} == {"degraded": (3200,), "clean": (3200,)}
        for name, value in pair.items():
            assert np.array_equal(value, backwards[position][name])
        assert np.array_equal(pair["clean"], windows[position]["samples"][:, 0])
        assert not np.array_equal(pair["degraded"], pair["clean"])
    assert any(not np.array_equal(first[p]["degraded"], other[p]["degraded"]) for p in range(6))


@pytest.mark.parametrize(("make", "message"), [
    (lambda: Degradation("mp4", 0.5), "Unknown degradation 'mp4'. Did you mean 'mp3'"),
    (lambda: Degradation("mp3", 1.0), "degradation mp3: the compression must be 0 to below 1, not 1"),
    (lambda: Degradation("bandlimit", 0.0), "the cutoff must be above 0 Hz"),
    (lambda: Degradation("quantize", 1), "the bits must be a whole number from 2 to 24"),
    (lambda: DegradationRange(cutoff=(3000, 2000)), "cutoff: the lower end 3000 is above the upper end 2000"),
    (lambda: DegradationRange(kinds=()), "no degradation to draw"),
    (lambda: DegradationRange(compression=(0.5, 1.5)), "below 1, not 1.5"),
    (lambda: parse_kinds("mp3, bandlimt"), "--degrade 'bandlimt'. Did you mean 'bandlimit'"),
    (lambda: parse_kinds(" , "), "--degrade names no degradation"),
])  # fmt: skip
def test_bad_settings_are_one_line(make, message):
    with pytest.raises(UserError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
