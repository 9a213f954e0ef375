"""Laws of the networks: padding and level say nothing, filters are where they should be."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import seqsuite
from seqaudio.classification.networks import LogMelCNN, embed, logits, make_network
from seqaudio.models.classifier import GaborFilters, WaveClassifier
from seqsuite.errors import UserError
from seqsuite.ops import Seq

RATE = 8000


def network(kind: str) -> nn.Module:
    torch.manual_seed(0)
    if kind == "cnn":
        return LogMelCNN(RATE, 3, width=4).eval()
    name, options = {
        "filterbank": ("wave_classifier_debug", {}),
        "stem": ("wave_classifier_debug", {"stem": (4, 6)}),
        "pooled": ("wave_classifier_debug", {"pool": (3,), "front_end": "linear", "context": 1}),
        "other mixer": ("wave_classifier_debug", {"mixer": "gru", "mixer_options": {}}),
        "codes": ("sashimi_debug", {"pool": (4, 2)}),
    }[kind]
    return make_network(name, options, classes=3).eval()


KINDS = ("filterbank", "stem", "pooled", "other mixer", "codes", "cnn")


@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_nothing(kind: str) -> None:
    model = network(kind).double() if kind != "codes" else network(kind)
    dtype = next(model.parameters()).dtype
    lengths = torch.tensor([1000, 613, 81, 80, 79])
    wave = torch.randn(5, 1000, dtype=dtype, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        together = logits(model, embed(model, wave, lengths))
        for row, length in enumerate(lengths.tolist()):
            alone = logits(model, embed(model, wave[row : row + 1, :length], lengths[row : row + 1]))
            torch.testing.assert_close(together[row], alone[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_level_changes_nothing(kind: str) -> None:
    model = network(kind)
    wave = torch.randn(2, 800, generator=torch.Generator().manual_seed(1)) / 10
    lengths = torch.tensor([800, 500])
    with torch.inference_mode():
        found = [logits(model, embed(model, gain * wave, lengths)) for gain in (1.0, 0.25)]
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_clip_matters_and_gradients_reach_everything(kind: str) -> None:
    model = network(kind)
    wave = torch.randn(2, 800, generator=torch.Generator().manual_seed(1))
    found = logits(model, embed(model, wave, torch.tensor([800, 500])))
    assert not torch.allclose(found[0], found[1])
    found.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_silence_is_finite() -> None:
    for kind in KINDS:
        model = network(kind)
        with torch.inference_mode():
            assert logits(model, embed(model, torch.zeros(1, 400), torch.tensor([400]))).isfinite().all()


def test_filters_stand_in_mel_order_and_pass_white_noise_alike() -> None:
    filters = GaborFilters(20, 400, RATE)().detach().double()
    cosine, sine = filters[:20], filters[20:]
    response = torch.fft.rfft(torch.complex(cosine, sine).real, 8192).abs()
    peak = response.argmax(1).double() * RATE / 8192
    # Hz = 700 (exp(mel / 1127) - 1), equally spaced in mel between the lowest and half the rate.
    mel = np.linspace(1127 * np.log1p(60 / 700), 1127 * np.log1p(RATE / 2 / 700), 22)[1:-1]
    np.testing.assert_allclose(peak.numpy(), 700 * np.expm1(mel / 1127), atol=12)
    noise = torch.randn(1, 1, 200_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    power = nn.functional.conv1d(noise, filters[:, None], stride=97).square().mean((0, 2))
    np.testing.assert_allclose((power[:20] + power[20:]).numpy(), 1.0, atol=0.15)


def test_frames_of_a_clip() -> None:
    model = network("filterbank")
    assert isinstance(model, WaveClassifier)
    for length, frames in ((1, 1), (80, 1), (81, 2), (800, 10)):
        assert model.forward_features(torch.randn(1, length)).shape == (1, frames, 16)


def test_export_and_load(tmp_path) -> None:
    model = network("filterbank")
    model.save_pretrained(tmp_path)
    again = seqsuite.load_model(tmp_path)
    wave = torch.randn(2, 500)
    seq = Seq.from_lengths([500, 300], 500)
    with torch.inference_mode():
        torch.testing.assert_close(again(wave, seq=seq), model(wave, seq=seq))


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("diffwave_sashimi_debug", {}, "does not classify sound"),
        ("wave_classifier_debug", {"num_classes": 4}, "num_classes is 4, but the labels have 3"),
        ("sashimi_debug", {"head": "none"}, "a classifier has the head"),
        ("wave_classifier_debug", {"context": 2}, "odd number"),
        ("wave_classifier_debug", {"stem": (4,), "front_end": "linear"}, "have no bands"),
        ("wave_classifier_debug", {"stem": (4, 0)}, "stem"),
        ("wave_classifier_debug", {"stride_ms": 20.0}, "kernel_ms twice that"),
    ],
)
def test_models_that_do_not_fit(name: str, options: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        make_network(name, options, classes=3)
