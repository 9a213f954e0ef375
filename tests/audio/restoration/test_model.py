"""Laws of the restoration model: identity at the start, exact spectra, independent rows, silence, any length."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

import seqsuite
from seqaudio.configs.restoration import RestorationConfig
from seqaudio.models.restoration import RestorationModel
from seqsuite.errors import UserError
from seqsuite.models import load_model, model_config
from seqsuite.training.optim import parameter_groups

from .conftest import SMALL, perturbed


def noise(*shape: int, seed: int = 1) -> torch.Tensor:
    return 0.1 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("length", [1, 2, 159, 160, 161, 319, 320, 321, 4001])
@pytest.mark.parametrize("overlap", [2, 3, 4])
def test_spectra_are_inverted_exactly_at_any_length(length, overlap):
    model = RestorationModel(RestorationConfig(**SMALL, overlap=overlap)).double()
    samples = noise(2, length).double()
    spectrum = model.spectrum(samples)
    assert spectrum.shape == (2, model.config.bins, -(-length // model.config.hop) + 1)
    torch.testing.assert_close(model.waveform(spectrum, length), samples, atol=1e-12, rtol=0)


def test_bands_are_joined_to_what_was_split(small):
    spectrum = small.spectrum(noise(3, 1000))
    bands = small.bands_of(spectrum)
    assert bands.shape[1:4:2] == (small.config.bands, small.config.band_bins)
    assert torch.equal(small.joined(bands), spectrum)


def test_the_spectrum_is_the_textbook_one(small):
    samples = noise(1, 800).double()
    got = small.double().spectrum(samples)[0]
    window, hop = small.config.window, small.config.hop
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    padded = np.pad(samples[0].numpy(), window // 2)
    for frame in range(got.shape[1]):
        part = padded[frame * hop : frame * hop + window]
        np.testing.assert_allclose(got[:, frame].numpy(), np.fft.rfft(part * taper), atol=1e-7)


@pytest.mark.parametrize("length", [1, 37, 320, 5000])
def test_an_untrained_model_returns_its_input(length):
    torch.manual_seed(0)
    model = RestorationModel(RestorationConfig(**SMALL))
    samples = noise(2, length)
    torch.testing.assert_close(model(samples), samples, atol=2e-6, rtol=0)


def test_channels_and_rows_are_independent(small):
    samples = noise(2, 3, 2000)
    together = small(samples)
    assert together.shape == samples.shape
    for row in range(2):
        for channel in range(3):
            torch.testing.assert_close(together[row, channel], small(samples[row, channel]), atol=2e-6, rtol=0)


def test_silence_stays_silence_and_has_finite_gradients(small):
    assert torch.equal(small(torch.zeros(1, 1000)), torch.zeros(1, 1000))
    samples = torch.zeros(1, 1000, requires_grad=True)
    small(samples).square().sum().backward()
    assert samples.grad.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in small.parameters())


def test_both_directions_are_read(small):
    samples = noise(1, 8000)
    later, earlier = samples.clone(), samples.clone()
    later[:, 7000] += 0.5
    earlier[:, 1000] += 0.5
    middle = slice(3500, 4500)
    plain = small(samples)[:, middle]
    for changed in (later, earlier):
        assert (small(changed)[:, middle] - plain).abs().max() > 1e-6


@pytest.mark.parametrize("options", [
    {"mixer": "mamba", "mixer_options": {"d_state": 4}},
    {"mixer": "s5", "mixer_options": {}},
    {"mixer": "tcn", "mixer_options": {"levels": 2}},
    {"n_layer": 2, "mixer": "s4d, gru", "mixer_options": {}},
    {"band_mixer": "gru", "band_mixer_options": {}},
])  # fmt: skip
def test_any_mixer_of_the_core_and_every_parameter_learns(options):
    torch.manual_seed(0)
    model = RestorationModel(RestorationConfig(**(SMALL | options)))
    samples, target = noise(2, 1600), noise(2, 1600, seed=2)
    torch.testing.assert_close(model(samples), samples, atol=2e-6, rtol=0)
    perturbed(model).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(6):
        loss = (model(samples) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_export_round_trips(announced, tmp_path):
    torch.manual_seed(0)
    model = perturbed(seqsuite.create_model("restoration_debug"))
    model.save_pretrained(tmp_path / "export")
    again = load_model(tmp_path / "export")
    samples = noise(1, 1000)
    assert again.config == model.config
    assert torch.equal(again(samples), model(samples))


def test_lower_precision_leaves_the_spectra_in_float32():
    torch.manual_seed(0)
    model, samples = RestorationModel(RestorationConfig(**SMALL)), noise(1, 2000)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = model(samples)
    lowered = copy.deepcopy(model).to(torch.bfloat16)(samples)
    for out in (mixed, lowered):
        assert out.dtype == torch.float32
        torch.testing.assert_close(out, samples, atol=2e-6, rtol=0)
    perturbed(model)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = model(samples)
    exact = model(samples)
    assert 0 < (mixed - exact).abs().max() < 0.05 * (exact - samples).abs().max()


def test_checkpointing_gives_the_same_gradients(small):
    samples = noise(1, 1000)
    gradients = []
    for on in (False, True):
        model = copy.deepcopy(small).train()
        model.checkpoint_activations = on
        model(samples).square().sum().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for one, two in zip(*gradients, strict=True):
        assert torch.equal(one, two)


def test_biases_of_bands_do_not_decay(small):
    for model in (small, copy.deepcopy(small)):
        groups = parameter_groups(model, lr=1.0, weight_decay=0.1)
        decaying = {id(p) for group in groups if group["weight_decay"] for p in group["params"]}
        names = {name for name, parameter in model.named_parameters() if id(parameter) in decaying}
        assert "project.weight" in names
        assert not {name for name in names if name.endswith("bias")}


def test_a_sample_rate_alone_scales_windows_and_bands(announced):
    narrow, wide = (model_config("restoration", sample_rate=rate) for rate in (16000, 48000))
    assert (wide.window, wide.hop) == (3 * narrow.window, 3 * narrow.hop)
    assert wide.band_bins == narrow.band_bins
    assert wide.bands * wide.band_bins >= wide.bins > (wide.bands - 1) * wide.band_bins


@pytest.mark.parametrize(("field", "value", "message"), [
    ("band_hz", 9000.0, "above the highest frequency"),
    ("overlap", 1, "overlap must be at least 2"),
    ("window_ms", 0.0, "window_ms must be above 0"),
    ("d_model", 0, "d_model must be at least 1"),
])  # fmt: skip
def test_values_out_of_range_are_one_line(field, value, message):
    with pytest.raises(UserError, match=message):
        RestorationConfig(**(SMALL | {field: value}))
