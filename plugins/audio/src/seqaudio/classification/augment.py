"""Random changes of training clips; each is a function of the clip and a generator, nothing else.

changes = Augmentation.from_config(config)
changed = changes(samples, rate, item_rng(seed, position))       # (L,) float32 -> (L',) float32
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from seqaudio.configs.classify import ClassifyConfig

_SHORTEST = 0.05
"""Seconds that changes of length leave at least, if the clip has them."""


@dataclass(frozen=True)
class Augmentation:
    """What to draw from; the fields are those of `ClassifyConfig`.

    Attributes:
        speed: Tempo and pitch by a factor of 1 + speed or its inverse at most.
        shift_ms: Most silence in front, or half as much of the start cut off.
        gain_db: Largest change of level.
        tilt: Largest coefficient a of y[t] = x[t] - a x[t - 1]; the power stays.
        noise_db: Least and greatest ratio to white noise.
        mask: Largest share that is silenced, in half of the clips.
        band: Largest share of the spectrum that is taken out, in half of the clips.
    """

    speed: float = 0.25
    shift_ms: float = 100.0
    gain_db: float = 6.0
    tilt: float = 0.4
    noise_db: tuple[float, float] = (15.0, 45.0)
    mask: float = 0.1
    band: float = 0.15

    @classmethod
    def from_config(cls, config: ClassifyConfig) -> Augmentation | None:
        """Return what the options say; None where clips stay as they are."""
        if not config.augment:
            return None
        return cls(
            config.speed, config.shift_ms, config.gain_db, config.tilt, config.noise_db, config.mask, config.band
        )

    def __call__(self, samples: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
        """Change one clip (L,) float32; its length changes too."""
        changed = shifted(sped(samples, self._speed(rng)), self._shift(rng, rate), least=round(_SHORTEST * rate))
        changed = tilted(changed, rng.uniform(-self.tilt, self.tilt))
        changed = noisy(changed, rng.uniform(*self.noise_db), rng)
        if rng.random() < 0.5:
            changed = masked(changed, rng.uniform(0, self.mask), rng.random())
        if rng.random() < 0.5:
            changed = without_band(changed, rng.uniform(0, self.band), rng.random())
        gain = 10 ** (rng.uniform(-self.gain_db, self.gain_db) / 20)
        return (changed * gain).astype(np.float32)

    def _speed(self, rng: np.random.Generator) -> float:
        most = np.log1p(self.speed)
        return float(np.exp(rng.uniform(-most, most)))

    def _shift(self, rng: np.random.Generator, rate: int) -> int:
        most = self.shift_ms * rate / 1000
        return round(rng.uniform(-most / 2, most))


def sped(samples: np.ndarray, factor: float) -> np.ndarray:
    """Return a clip played `factor` times as fast, interpolated linearly: tempo and pitch change together."""
    count = max(round(len(samples) / factor), 2)
    places = np.linspace(0, len(samples) - 1, count)
    return np.interp(places, np.arange(len(samples)), samples)


def shifted(samples: np.ndarray, shift: int, *, least: int) -> np.ndarray:
    """Return a clip with `shift` samples of silence in front, or with -shift samples less, but `least` at least."""
    if shift >= 0:
        return np.concatenate((np.zeros(shift), samples))
    return samples[min(-shift, max(len(samples) - least, 0)) :]


def tilted(samples: np.ndarray, coefficient: float) -> np.ndarray:
    """Return y[t] = x[t] - a x[t - 1] at the power of x: a above 0 raises high frequencies, below 0 low ones."""
    changed = samples - coefficient * np.concatenate(([0.0], samples[:-1]))
    power = np.square(changed).mean()
    return changed * np.sqrt(np.square(samples).mean() / power) if power > 0 else changed


def noisy(samples: np.ndarray, ratio_db: float, rng: np.random.Generator) -> np.ndarray:
    """Return a clip with white noise, its power `ratio_db` below the clip's."""
    deviation = np.sqrt(np.square(samples).mean()) * 10 ** (-ratio_db / 20)
    return samples + deviation * rng.standard_normal(len(samples))


def masked(samples: np.ndarray, share: float, place: float) -> np.ndarray:
    """Return a clip with a share of it silenced; `place` from 0 to 1 says where."""
    count = int(share * len(samples))
    first = int(place * (len(samples) - count))
    changed = samples.copy()
    changed[first : first + count] = 0
    return changed


def without_band(samples: np.ndarray, share: float, place: float) -> np.ndarray:
    """Return a clip without a share of its spectrum; `place` from 0 to 1 says where."""
    spectrum = np.fft.rfft(samples)
    count = int(share * len(spectrum))
    first = int(place * (len(spectrum) - count))
    spectrum[first : first + count] = 0
    return np.fft.irfft(spectrum, len(samples))
