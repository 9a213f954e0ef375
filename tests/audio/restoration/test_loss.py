"""The training loss against plain NumPy, and its laws."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seqaudio.metrics import si_sdr
from seqaudio.restoration import RestorationLoss, spectral_loss
from seqaudio.restoration.loss import si_sdr_rows

from .conftest import music


def pair() -> tuple[torch.Tensor, torch.Tensor]:
    target = torch.from_numpy(np.stack([music(0.5, seed=seed)[:, 0] for seed in range(3)]))
    noise = torch.randn(target.shape, generator=torch.Generator().manual_seed(0))
    return target + 0.01 * noise, target


def test_it_is_least_at_the_target():
    estimate, target = pair()
    loss = RestorationLoss()
    exact, off = loss(target, target), loss(estimate, target)
    assert (exact["spectral"] < 1e-3).all()
    assert (exact["wave"] == 0).all()
    assert (exact["loss"] < off["loss"]).all()


def test_the_spectral_part_is_convergence_and_log_distance():
    estimate, target = pair()
    window, hop = 256, 64
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    got = spectral_loss(estimate.double(), target.double(), [window])
    for row in range(3):
        size = []
        for samples in (estimate[row], target[row]):
            padded = np.pad(samples.double().numpy(), window // 2)
            frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]
            size.append(np.sqrt(np.abs(np.fft.rfft(frames * taper)) ** 2 + 1e-8))
        convergence = np.linalg.norm(size[1] - size[0]) / np.linalg.norm(size[1])
        levels = np.abs(np.log(size[1] / size[0])).mean()
        assert got[row].item() == pytest.approx(convergence + levels, rel=1e-4)


def test_si_sdr_is_that_of_the_metrics():
    estimate, target = pair()
    np.testing.assert_allclose(si_sdr_rows(estimate.double(), target.double()), si_sdr(target, estimate), atol=1e-3)


def test_the_level_of_the_pair_does_not_matter_to_wave_and_si_sdr():
    estimate, target = pair()
    loud, soft = (RestorationLoss()(scale * estimate, scale * target) for scale in (1.0, 0.1))
    torch.testing.assert_close(loud["wave"], soft["wave"], rtol=2e-3, atol=0)
    torch.testing.assert_close(loud["si_sdr"], soft["si_sdr"], rtol=0, atol=0.05)


@pytest.mark.parametrize("silent", ["estimate", "target", "both"])
def test_silence_has_finite_losses_and_gradients(silent):
    estimate, target = (samples.clone() for samples in pair())
    if silent != "target":
        estimate.zero_()
    if silent != "estimate":
        target.zero_()
    estimate.requires_grad_()
    rows = RestorationLoss()(estimate, target)
    rows["loss"].sum().backward()
    assert all(value.isfinite().all() for value in rows.values())
    assert estimate.grad.isfinite().all()


def test_weights_choose_the_parts():
    estimate, target = pair()
    rows = RestorationLoss(spectral_weight=0, wave_weight=0, si_sdr_weight=0.5)(estimate, target)
    torch.testing.assert_close(rows["loss"], -0.5 * rows["si_sdr"])
