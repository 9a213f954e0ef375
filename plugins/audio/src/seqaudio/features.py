"""Log mel spectrograms as a DiffWave model takes them (those of Tacotron 2, Shen et al. 2018).

    mel = log_mel(samples, model.config)                     # (B, L) or (B, L, C) -> (B, M, 1 + L // hop)
    audio = process.sample(model, (B, L, 1), generator=generator, condition={"mel": mel})

Magnitudes of a centred, reflected spectrum, mel bands after Slaney with equal areas, natural logarithm above 1e-5.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seqaudio.configs.diffwave import DiffWaveConfig
from seqaudio.data.torch_audio import torchaudio
from seqsuite.errors import UserError

FLOOR = 1e-5
"""Magnitudes below are raised to it in front of the logarithm."""


def log_mel(samples: Tensor, config: DiffWaveConfig) -> Tensor:
    """Return the log mel spectrogram of audio at the model's sample rate.

    Args:
        samples: (L,), (B, L) or (B, L, C) in [-1, 1]; channels are averaged.
        config: That of a conditional model: its hop, bands and window are used.

    Returns:
        (B, M, 1 + L // hop), of a single clip (M, ...); frame f is centred on sample f hop.

    Raises:
        UserError: The model takes no mel, the audio is empty, or torchaudio does not fit torch.
    """
    if not config.conditional:
        raise UserError("log_mel: the model takes no mel spectrogram: its config has no mel_upsample")
    mono = samples.mean(-1) if samples.ndim == 3 else samples
    if mono.ndim not in (1, 2) or not mono.shape[-1]:
        raise UserError(
            f"log_mel: samples must be (L,), (B, L) or (B, L, C) with L above 0, not {tuple(samples.shape)}"
        )
    frames = 1 + mono.shape[-1] // config.hop
    # A reflection needs more samples than it gives.
    mono = F.pad(mono, (0, max(config.mel_fft // 2 + 1 - mono.shape[-1], 0)))
    work = mono if mono.dtype == torch.float64 else mono.float()
    bands = _transform(config, work.device, work.dtype)(work)
    return bands.clamp(min=FLOOR).log()[..., :frames].to(samples.dtype)


@lru_cache(maxsize=8)
def _transform(config: DiffWaveConfig, device: torch.device, dtype: torch.dtype) -> Any:
    transform = torchaudio().transforms.MelSpectrogram(
        config.sample_rate,
        n_fft=config.mel_fft,
        win_length=config.mel_window,
        hop_length=config.hop,
        f_min=config.mel_fmin,
        f_max=config.mel_fmax,
        n_mels=config.n_mels,
        power=1.0,
        norm="slaney",
        mel_scale="slaney",
    )
    return transform.to(device=device, dtype=dtype)
