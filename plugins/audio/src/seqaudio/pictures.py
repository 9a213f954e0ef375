"""Spectrograms of signals, as reports show them.

image = draw_spectrogram(axes, decibels(samples), rate)
"""

from __future__ import annotations

from typing import Any

import numpy as np

_WINDOW, _HOP = 512, 128
_RANGE_DB = 90.0


def decibels(samples: np.ndarray) -> np.ndarray:
    """Return the levels (bins, frames) of samples (frames,) in dB; short signals are padded to one window."""
    padded = np.pad(samples.astype(np.float64), (0, max(0, _WINDOW - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP]
    power = np.abs(np.fft.rfft(frames * np.hanning(_WINDOW))) ** 2
    return 10 * np.log10(power.T + 1e-12)


def draw_spectrogram(axes: Any, levels: np.ndarray, rate: int, *, top: float | None = None) -> Any:
    """Draw levels (bins, frames) in dB, from 90 dB below `top` (None: the highest) on; return matplotlib's image."""
    top = float(levels.max()) if top is None else top
    extent = (0, levels.shape[1] * _HOP / rate, 0, rate / 2000)
    image = axes.imshow(
        levels, origin="lower", aspect="auto", extent=extent, vmin=top - _RANGE_DB, vmax=top, cmap="magma"
    )
    axes.set_ylabel("kHz")
    return image
