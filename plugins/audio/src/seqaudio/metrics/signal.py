"""How far an estimate is from its reference: signal-to-distortion ratios and the log-spectral distance.

Time is the last axis; what stands before it (clips, channels) is kept, one number each, unless the channels are
taken together. The rule for silence: a reference without energy has no ratio, and gives nan, which `numpy.nanmean`
leaves out of a mean; a perfect estimate gives infinity, an estimate unlike a sounding reference -infinity.

Papers: Le Roux et al., SDR - half-baked or well done? (2019); Gray and Markel, Distance measures for speech
processing (1976).
"""

from __future__ import annotations

import numpy as np

from seqaudio.metrics.arrays import ArrayLike, as_float64

_FRAMES_AT_ONCE = 512


def sdr(reference: ArrayLike, estimate: ArrayLike, *, joint_channels: bool = False) -> np.ndarray:
    """Return 10 log10 of the reference's energy over that of the difference, in dB.

    Args:
        reference: The true signal: (..., L), or (..., C, L) with `joint_channels`.
        estimate: The signal to judge, of the same shape.
        joint_channels: Sum energies over the last two axes: one number for all channels.

    Returns:
        (...): nan where the reference is silent, infinite where the difference is 0.

    Raises:
        ValueError: The shapes differ, or a value is not finite.
    """
    truth, guess = _pair(reference, estimate, joint_channels)
    return _ratio((truth**2).sum(-1), ((guess - truth) ** 2).sum(-1), (truth**2).sum(-1))


def si_sdr(
    reference: ArrayLike, estimate: ArrayLike, *, zero_mean: bool = False, joint_channels: bool = False
) -> np.ndarray:
    """Return the ratio after the best scaling of the reference, in dB: the estimate's level does not matter.

    Args:
        reference: The true signal: (..., L), or (..., C, L) with `joint_channels`.
        estimate: The signal to judge, of the same shape.
        zero_mean: Subtract each signal's mean first.
        joint_channels: One scale and one number for all channels, the last axis but one.

    Returns:
        (...): nan where the reference is silent (constant, with `zero_mean`).

    Raises:
        ValueError: The shapes differ, or a value is not finite.
    """
    truth, guess = _pair(reference, estimate, joint_channels, zero_mean)
    energy = (truth**2).sum(-1)
    scale = (truth * guess).sum(-1) / np.where(energy > 0, energy, 1)
    target = scale[..., None] * truth
    return _ratio((target**2).sum(-1), ((guess - target) ** 2).sum(-1), energy)


def log_spectral_distance(
    reference: ArrayLike, estimate: ArrayLike, *, n_fft: int = 2048, hop: int = 512, floor: float = 1e-8
) -> np.ndarray:
    """Return the mean over frames of the root mean square difference of log10 power spectra.

    Times 10 it is in dB. Frames are Hann windows inside the signal; what does not fill the last one is padded with
    zeros. Silence is compared at the floor, so that silent frames of both signals differ by 0.

    Args:
        reference: The true signal: (..., L), full scale 1.
        estimate: The signal to judge, of the same shape.
        n_fft: Window and transform length in samples.
        hop: Samples from frame to frame.
        floor: Least power of a bin, in squared units of the unnormalised transform.

    Returns:
        (...): 0 for equal signals.

    Raises:
        ValueError: The shapes differ, a value is not finite, or a size is below 1.
    """
    if n_fft < 1 or hop < 1 or not floor > 0:
        raise ValueError(f"n_fft {n_fft} and hop {hop} must be 1 at least, and floor {floor} above 0")
    truth, guess = _pair(reference, estimate, False)
    frames = 1 + max(0, -(-(truth.shape[-1] - n_fft) // hop))
    room = [(0, 0)] * (truth.ndim - 1) + [(0, (frames - 1) * hop + n_fft - truth.shape[-1])]
    truth, guess = np.pad(truth, room), np.pad(guess, room)
    total = np.zeros(truth.shape[:-1])
    for first in range(0, frames, _FRAMES_AT_ONCE):
        part = slice(first * hop, (min(first + _FRAMES_AT_ONCE, frames) - 1) * hop + n_fft)
        gap = _log_power(truth[..., part], n_fft, hop, floor) - _log_power(guess[..., part], n_fft, hop, floor)
        total += np.sqrt((gap**2).mean(-1)).sum(-1)
    return total / frames


def _pair(
    reference: ArrayLike, estimate: ArrayLike, joint_channels: bool, zero_mean: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Check two signals, and lay their channels end to end if they are taken together."""
    truth, guess = as_float64(reference, "reference"), as_float64(estimate, "estimate")
    if truth.shape != guess.shape:
        raise ValueError(f"reference has shape {truth.shape}, estimate {guess.shape}")
    if truth.ndim < 1 + joint_channels:
        raise ValueError(f"signals are {'(..., C, L)' if joint_channels else '(..., L)'}, not {truth.shape}")
    if zero_mean:
        truth, guess = (x - x.mean(-1, keepdims=True) for x in (truth, guess))
    if joint_channels:
        truth, guess = (x.reshape(*x.shape[:-2], -1) for x in (truth, guess))
    return truth, guess


def _ratio(signal: np.ndarray, noise: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """Return 10 log10(signal / noise), nan where the reference's energy is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(energy > 0, 10 * np.log10(signal / noise), np.nan)


def _log_power(x: np.ndarray, n_fft: int, hop: int, floor: float) -> np.ndarray:
    """Return log10 power of all frames: (..., L) -> (..., frames, bins)."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft) if n_fft > 1 else np.ones(1)
    frames = np.lib.stride_tricks.sliding_window_view(x, n_fft, axis=-1)[..., ::hop, :]
    spectrum = np.fft.rfft(frames * window, axis=-1)
    return np.log10(np.maximum(spectrum.real**2 + spectrum.imag**2, floor))
