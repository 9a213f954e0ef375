"""What restoration is trained on: spectra at several resolutions, the waveform, and SI-SDR. No discriminator.

    L = spectral_weight * mean over resolutions (||S - S'|| / ||S|| + mean |log S - log S'|)
      + wave_weight * mean |y - y'| / rms(y) - si_sdr_weight * SI-SDR(y', y)

The spectral part is that of Parallel WaveGAN (Yamamoto et al. 2020, https://arxiv.org/abs/1910.11480). Apollo adds
adversarial and feature-matching losses; without them missing high frequencies come back with the right level but
not with the fine structure that a discriminator asks for. Every part is a number a row, so that means are exact.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqsuite.mixers.base import at_least_float32

WINDOWS = (256, 512, 1024)
"""Window lengths of the spectral loss, in samples."""

_FLOOR = 1e-4
"""Magnitude that counts as silence: log ratios below it say nothing."""
_TINY = 1e-8


def spectral_loss(estimate: Tensor, target: Tensor, windows: Sequence[int] = WINDOWS) -> Tensor:
    """Return the spectral part of each row.

    Args:
        estimate: (R, L).
        target: (R, L).
        windows: Window lengths; hops are a quarter of them.

    Returns:
        (R,): spectral convergence plus mean absolute difference of log magnitudes, averaged over the windows.
    """
    total = torch.zeros(len(target), dtype=target.dtype, device=target.device)
    for window in windows:
        got, true = magnitudes(estimate, window), magnitudes(target, window)
        gap = (true - got).square().sum((1, 2)).add(_TINY).sqrt()
        convergence = gap / true.square().sum((1, 2)).add(_TINY).sqrt()
        levels = (true.log() - got.log()).abs().mean((1, 2))
        total = total + (convergence + levels) / len(windows)
    return total


def magnitudes(samples: Tensor, window: int) -> Tensor:
    """Return magnitudes (R, window / 2 + 1, T), from `_FLOOR` up, with gradients at silence too."""
    taper = torch.hann_window(window, dtype=samples.dtype, device=samples.device)
    spectrum = torch.stft(
        samples, window, window // 4, window=taper, center=True, pad_mode="constant", return_complex=True
    )
    return torch.view_as_real(spectrum).square().sum(-1).add(_FLOOR**2).sqrt()


def si_sdr_rows(estimate: Tensor, target: Tensor) -> Tensor:
    """Return the scale-invariant ratio of each row in dB (R,), between about -80 and 80; 0 where either is silent."""
    energy, cross = target.square().sum(-1), (estimate * target).sum(-1)
    best = (cross / (energy + _TINY))[:, None] * target
    ratio = (best.square().sum(-1) + _TINY) / ((estimate - best).square().sum(-1) + _TINY)
    return 10 * ratio.log10()


class RestorationLoss(nn.Module):
    """The weighted sum of the three parts, a number a row.

    Args:
        spectral_weight: Of the spectra.
        wave_weight: Of the waveform.
        si_sdr_weight: Of SI-SDR, per dB.
        windows: Window lengths of the spectra, in samples.
    """

    def __init__(
        self,
        *,
        spectral_weight: float = 1.0,
        wave_weight: float = 1.0,
        si_sdr_weight: float = 0.02,
        windows: Sequence[int] = WINDOWS,
    ) -> None:
        super().__init__()
        self.spectral_weight, self.wave_weight, self.si_sdr_weight = spectral_weight, wave_weight, si_sdr_weight
        self.windows = tuple(windows)

    def forward(self, estimate: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return "loss" and its parts "spectral", "wave" and "si_sdr", each (R,), of rows (R, L)."""
        estimate, target = at_least_float32(estimate), at_least_float32(target)
        loudness = target.square().mean(-1).add(_TINY).sqrt()
        parts = {
            "spectral": spectral_loss(estimate, target, self.windows),
            "wave": F.l1_loss(estimate, target, reduction="none").mean(-1) / loudness,
            "si_sdr": si_sdr_rows(estimate, target),
        }
        loss = self.spectral_weight * parts["spectral"] + self.wave_weight * parts["wave"]
        return {"loss": loss - self.si_sdr_weight * parts["si_sdr"], **parts}
