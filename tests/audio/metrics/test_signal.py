"""Distances of signals: closed forms, invariances, silence, and torchmetrics as the reference."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import stft
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

from seqaudio.metrics import log_spectral_distance, sdr, si_sdr


@pytest.fixture
def pair():
    generator = np.random.default_rng(0)
    truth = generator.normal(size=(3, 2, 4000))
    return truth, truth + 0.3 * generator.normal(size=truth.shape)


def test_sdr_of_a_tenth_of_noise_is_twenty_decibels():
    truth = np.array([1.0, -1, 1, -1])
    assert sdr(truth, truth * 1.1) == pytest.approx(20)
    assert sdr(truth, 0 * truth) == pytest.approx(0)


def test_shapes_keep_what_stands_before_time(pair):
    assert sdr(*pair).shape == si_sdr(*pair).shape == log_spectral_distance(*pair).shape == (3, 2)
    assert sdr(*pair, joint_channels=True).shape == si_sdr(*pair, joint_channels=True).shape == (3,)
    assert sdr(*pair)[1, 0] == pytest.approx(sdr(pair[0][1, 0], pair[1][1, 0]))


def test_joint_channels_add_energies(pair):
    truth, guess = pair
    expected = 10 * np.log10((truth**2).sum((1, 2)) / ((guess - truth) ** 2).sum((1, 2)))
    np.testing.assert_allclose(sdr(truth, guess, joint_channels=True), expected)


@pytest.mark.parametrize("scale", [1e-3, -2.0, 50.0])
def test_si_sdr_does_not_see_the_level(pair, scale):
    truth, guess = pair
    np.testing.assert_allclose(si_sdr(truth, scale * guess), si_sdr(truth, guess))
    np.testing.assert_allclose(si_sdr(scale * truth, guess), si_sdr(truth, guess))
    assert not np.allclose(sdr(truth, scale * guess), sdr(truth, guess))


@pytest.mark.parametrize("zero_mean", [False, True])
def test_si_sdr_agrees_with_torchmetrics(pair, zero_mean):
    truth, guess = (torch.from_numpy(x) + 0.2 for x in pair)
    expected = scale_invariant_signal_distortion_ratio(guess, truth, zero_mean=zero_mean)
    np.testing.assert_allclose(si_sdr(truth, guess, zero_mean=zero_mean), expected, rtol=1e-6)


def test_si_sdr_is_the_angle(pair):
    truth, guess = pair[0][0, 0], pair[1][0, 0]
    cosine = truth @ guess / np.linalg.norm(truth) / np.linalg.norm(guess)
    assert si_sdr(truth, guess) == pytest.approx(10 * np.log10(cosine**2 / (1 - cosine**2)))


def test_the_rule_for_silence():
    silent, sound = np.zeros(8), np.arange(8.0)
    for metric in (sdr, si_sdr):
        assert np.isnan(metric(silent, sound))
        assert np.isnan(metric(silent, silent))
        assert metric(sound, sound) == np.inf
    orthogonal = np.array([1.0, -1, 1, -1])
    assert si_sdr(np.ones(4), orthogonal) == -np.inf
    assert np.isnan(si_sdr(np.ones(4), orthogonal, zero_mean=True))
    both = np.stack([silent, sound])  # one channel silent: the two together are not
    assert np.isfinite(sdr(both, both + 1, joint_channels=True))


def test_lsd_of_equal_signals_is_zero(pair):
    assert (log_spectral_distance(pair[0], pair[0]) == 0).all()
    assert (log_spectral_distance(np.zeros(100), np.zeros(100)) == 0).all()


def test_lsd_of_ten_times_the_amplitude_is_two(pair):
    np.testing.assert_allclose(log_spectral_distance(pair[0], 10 * pair[0]), 2)


def test_lsd_agrees_with_scipys_transform(pair):
    truth, guess = pair[0][0, 0][:1536], pair[1][0, 0][:1536]
    spectra = [
        stft(x, nperseg=512, noverlap=384, boundary=None, padded=False)[2] * 256 for x in (truth, guess)
    ]  # scipy divides by the window's sum
    gap = np.log10(abs(spectra[0]) ** 2) - np.log10(abs(spectra[1]) ** 2)
    expected = np.sqrt((gap**2).mean(0)).mean()
    assert log_spectral_distance(truth, guess, n_fft=512, hop=128) == pytest.approx(expected)


def test_lsd_in_parts_is_lsd_at_once(pair, monkeypatch):
    whole = log_spectral_distance(*pair, n_fft=256, hop=64)
    monkeypatch.setattr("seqaudio.metrics.signal._FRAMES_AT_ONCE", 7)
    np.testing.assert_allclose(log_spectral_distance(*pair, n_fft=256, hop=64), whole)


def test_lsd_of_a_clip_shorter_than_a_frame(pair):
    truth, guess = pair[0][0, 0, :10], pair[1][0, 0, :10]
    padded = [np.pad(x, (0, 54)) for x in (truth, guess)]
    assert log_spectral_distance(truth, guess, n_fft=64, hop=16) == log_spectral_distance(*padded, n_fft=64, hop=16) > 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sdr(np.zeros(3), np.zeros(4)), "reference has shape"),
        (lambda: si_sdr(np.array([np.inf, 1]), np.ones(2)), "reference: holds 1"),
        (lambda: sdr(np.ones(3), np.ones(3), joint_channels=True), "C, L"),
        (lambda: sdr(1.0, 1.0), "signals are"),
        (lambda: log_spectral_distance(np.ones(3), np.ones(3), hop=0), "hop 0"),
        (lambda: log_spectral_distance(np.ones(3), np.ones(3), floor=0), "floor 0"),
    ],
)
def test_bad_input_is_told(call, message):
    with pytest.raises(ValueError, match=message):
        call()
