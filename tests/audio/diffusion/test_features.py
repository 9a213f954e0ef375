"""Log mel spectrograms for conditional models."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from seqaudio.configs.diffwave import DiffWaveConfig, diffwave_sashimi_ljspeech
from seqaudio.features import FLOOR, log_mel
from seqaudio.models.diffwave import DiffWave
from seqsuite.errors import UserError

CONFIG = DiffWaveConfig(
    d_model=4, n_layer=1, pool=(4,), d_state=4, mel_upsample=(8, 8), n_mels=20, mel_fft=256, mel_window=200
)


def slaney_bands(config):
    """Triangles on the mel scale of Slaney's Auditory Toolbox, written down from its definition."""

    def to_hertz(mel):
        return 200 / 3 * mel if mel < 15 else 1000 * math.exp((mel - 15) * math.log(6.4) / 27)

    def to_mel(hertz):
        return 3 * hertz / 200 if hertz < 1000 else 15 + 27 * math.log(hertz / 1000) / math.log(6.4)

    low, high = to_mel(config.mel_fmin), to_mel(config.mel_fmax)
    edges = [to_hertz(low + (high - low) * k / (config.n_mels + 1)) for k in range(config.n_mels + 2)]
    bins = [config.sample_rate * k / config.mel_fft for k in range(config.mel_fft // 2 + 1)]
    bands = torch.zeros(config.n_mels, len(bins), dtype=torch.float64)
    for band, (a, b, c) in enumerate(zip(edges, edges[1:], edges[2:], strict=False)):
        for place, hertz in enumerate(bins):
            height = min((hertz - a) / (b - a), (c - hertz) / (c - b))
            bands[band, place] = max(height, 0) * 2 / (c - a)
    return bands


@pytest.mark.parametrize("config", [CONFIG, replace(diffwave_sashimi_ljspeech(), mel_fmin=50.0)], ids=["tiny", "lj"])
def test_it_is_the_log_of_band_sums_of_magnitudes(config):
    x = 0.1 * torch.randn(1, 3000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    window = 0.5 - 0.5 * torch.cos(2 * math.pi * torch.arange(config.mel_window) / config.mel_window)
    side = (config.mel_fft - config.mel_window) // 2
    window = torch.nn.functional.pad(window.double(), (side, config.mel_fft - config.mel_window - side))
    half = config.mel_fft // 2
    padded = torch.cat((x[0, 1 : half + 1].flip(0), x[0], x[0, -half - 1 : -1].flip(0)))
    frames = padded.unfold(0, config.mel_fft, config.hop) * window
    expected = (slaney_bands(config) @ torch.fft.rfft(frames).abs().T).clamp(min=FLOOR).log()
    torch.testing.assert_close(log_mel(x, config)[0], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("length", [1, 63, 64, 100, 128, 129, 1000])
def test_frames_suffice_for_a_model_at_any_length(length):
    x = torch.randn(2, length, 1, generator=torch.Generator().manual_seed(0))
    mel = log_mel(x, CONFIG)
    assert mel.shape == (2, 20, 1 + length // CONFIG.hop)
    assert mel.isfinite().all()
    assert DiffWave(CONFIG)(x, torch.zeros(2), mel=mel).shape == x.shape


def test_silence_is_the_floor_and_shapes_agree():
    assert torch.equal(log_mel(torch.zeros(640), CONFIG), torch.full((20, 11), math.log(FLOOR)))
    x = torch.randn(2, 640, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(log_mel(x[0], CONFIG), log_mel(x, CONFIG)[0])
    torch.testing.assert_close(log_mel(torch.stack((x, x), -1), CONFIG), log_mel(x, CONFIG))


def test_bad_input_is_refused_in_one_line():
    for x, config, word in (
        (torch.zeros(10), replace(CONFIG, mel_upsample=()), "mel_upsample"),
        (torch.zeros(2, 0), CONFIG, "L above 0"),
        (torch.zeros(2, 3, 4, 5), CONFIG, "samples must be"),
    ):
        with pytest.raises(UserError, match=word) as told:
            log_mel(x, config)
        assert "\n" not in str(told.value)
