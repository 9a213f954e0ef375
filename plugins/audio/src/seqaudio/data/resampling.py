"""Any window of a resampled signal, made from no more of the signal than it depends on.

The filter is a sinc under a Hann window (Smith, "Digital Audio Resampling Home Page"), by torchaudio. Output sample j
lies at time j / to; where the rates have a common divisor, blocks of `down` samples become blocks of `up`, and a
window is cut out of whole blocks: it equals the same window of the signal resampled at once. Rates with hardly a
common divisor (44099 and 16000) would need a filter bank of gigabytes; there each output sample gets its own taps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

Source = Callable[[int, int], np.ndarray]
"""(first, count) -> samples (count, channels) float32."""

_ZEROS = 32
"""Zero crossings of the filter to each side."""
_ROLLOFF = 0.95
"""Edge of the pass band, as a share of the lower of the two Nyquist frequencies."""
_LARGEST_BANK = 1 << 22
_BLOCK = 1 << 16
_DIRECT = 1 << 12


class Resampler:
    """From one rate to another.

    Args:
        rate: Samples a second that go in.
        to: Samples a second that come out.
    """

    def __init__(self, rate: int, to: int) -> None:
        if rate < 1 or to < 1:
            raise ValueError(f"sample rates are at least 1, got {rate} and {to}")
        divisor = math.gcd(rate, to)
        self.down, self.up = rate // divisor, to // divisor
        # One more than the filter's reach, so that rounding never cuts a tap off.
        self.reach = math.ceil(_ZEROS * self.down / (min(self.down, self.up) * _ROLLOFF)) + 1
        self._banked = self.up * (self.down + 2 * self.reach) <= _LARGEST_BANK

    def window(self, source: Source, frames: int, first: int, count: int) -> np.ndarray:
        """Return samples first .. first + count - 1 of the resampled signal: (count, channels) float32.

        Args:
            source: Reads the signal; asked for stretches inside it only, from front to back.
            frames: Length of the signal; it is silent beyond both ends.
            first: First sample at the new rate.
            count: Number of samples.
        """
        if self.down == self.up:
            return source(first, count)
        make, step = (self._from_bank, _BLOCK) if self._banked else (self._direct, _DIRECT)
        parts = [make(source, frames, at, min(step, first + count - at)) for at in range(first, first + count, step)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _from_bank(self, source: Source, frames: int, first: int, count: int) -> np.ndarray:
        import torch

        begin = max(first // self.up - -(-self.reach // self.down), 0)
        end = (first + count - 1) // self.up + 1
        given = _padded(source, frames, begin * self.down, (end + 1) * self.down + self.reach)
        made = _bank(self.down, self.up)(torch.from_numpy(np.ascontiguousarray(given.T))).numpy().T
        at = first - begin * self.up
        return np.ascontiguousarray(made[at : at + count])

    def _direct(self, source: Source, frames: int, first: int, count: int) -> np.ndarray:
        out = np.arange(first, first + count, dtype=np.int64)
        centre = out * self.down // self.up
        begin = int(centre[0]) - self.reach
        given = _padded(source, frames, begin, int(centre[-1]) + self.reach + 2)
        taps = centre[:, None] + np.arange(-self.reach, self.reach + 2)
        # Distances as whole numbers over up * down: exact at any place of a long signal.
        narrow = min(self.down, self.up) * _ROLLOFF
        t = (taps * self.up - out[:, None] * self.down) * (narrow / (self.up * self.down))
        inside = np.abs(t) < _ZEROS
        weights = np.where(inside, np.sinc(t) * np.cos(t * (np.pi / 2 / _ZEROS)) ** 2, 0) * (narrow / self.down)
        columns = [np.einsum("lt,lt->l", weights, given[taps - begin, c]) for c in range(given.shape[1])]
        return np.stack(columns, 1).astype(np.float32)


def _padded(source: Source, frames: int, begin: int, end: int) -> np.ndarray:
    """Return samples begin .. end - 1, zeros outside the signal."""
    inside = min(max(begin, 0), frames), min(max(end, 0), frames)
    samples = source(inside[0], inside[1] - inside[0])
    return np.pad(samples, ((inside[0] - begin, end - inside[1]), (0, 0)))


@lru_cache(maxsize=8)
def _bank(down: int, up: int) -> Any:
    import torch

    from seqaudio.data.torch_audio import torchaudio

    # Computed in double precision and stored in single: in single it is off by some 1e-5 at large ratios.
    make = torchaudio().transforms.Resample
    return make(down, up, lowpass_filter_width=_ZEROS, rolloff=_ROLLOFF, dtype=torch.float64).float()
