"""Waveforms and mel spectrograms of clips."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN_SECONDS = 30.0
"""Length of a clip that is drawn."""

_RANGE_DB = 80.0


def draw_clips(clips: Mapping[str, np.ndarray], rate: int, *, start: float = 0.0) -> Figure:
    """Draw each clip's waveform above its mel spectrogram.

    Args:
        clips: Name -> (frames,).
        rate: Samples a second.
        start: Where the new sound begins, in seconds; a line marks it.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3 * len(clips)), layout="constrained")
    axes = figure.subplots(2 * len(clips), 1, squeeze=False, sharex=True)[:, 0]
    for number, (name, samples) in enumerate(clips.items()):
        samples = samples[: round(SHOWN_SECONDS * rate)]
        wave, mel = axes[2 * number], axes[2 * number + 1]
        wave.plot(np.arange(len(samples)) / rate, samples, linewidth=0.4)
        wave.set(ylim=(-1, 1), ylabel=name)
        levels = mel_levels(samples, rate)
        top = float(levels.max())
        mel.imshow(
            levels,
            origin="lower",
            aspect="auto",
            extent=(0, len(samples) / rate, 0, len(levels)),
            vmin=top - _RANGE_DB,
            vmax=top,
        )
        mel.set_ylabel("mel band")
        for axis in (wave, mel) if 0 < start < len(samples) / rate else ():
            axis.axvline(start, color="red", linewidth=0.8)
    axes[-1].set_xlabel("seconds")
    return figure


def mel_levels(samples: np.ndarray, rate: int, *, bands: int = 64) -> np.ndarray:
    """Return the levels (bands, frames) of samples (frames,) in dB, of 32 ms windows."""
    import torch

    from seqaudio.data.torch_audio import torchaudio

    size = max(2 ** round(np.log2(0.032 * rate)), 64)
    transform = torchaudio().transforms.MelSpectrogram(
        rate, n_fft=size, hop_length=size // 4, n_mels=min(bands, size // 8), norm="slaney", mel_scale="slaney"
    )
    padded = np.pad(np.asarray(samples, dtype=np.float32), (0, max(size - len(samples), 0)))
    power: torch.Tensor = transform(torch.from_numpy(padded))
    levels: np.ndarray = (10 * power.clamp(min=1e-10).log10()).numpy()
    return levels
