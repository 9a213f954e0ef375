"""Degradations of clean audio: a band limit, a codec's round trip, coarse quantisation.

    kinds = DegradationRange(kinds=("bandlimit", "mp3"), cutoff=(2000, 6000))
    degraded = kinds.draw(item_rng(seed, position)).apply(samples, rate)

Samples are (frames, channels) float32; the number of frames stays. The band limit goes down to twice the cutoff and
back with a long windowed sinc, so that nothing above the cutoff is left. Codecs run in memory through libsndfile;
what an encoder puts in front is found by cross-correlation and taken off. All randomness is the caller's generator.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seqaudio.data import resample
from seqsuite.errors import UserError, unknown_name

CODECS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "mp3": ("MP3", "MPEG_LAYER_III", {"bitrate_mode": "CONSTANT"}),
    "vorbis": ("OGG", "VORBIS", {}),
    "opus": ("OGG", "OPUS", {}),
}
"""Codec -> libsndfile's format and subtype, and further options."""

KINDS = ("bandlimit", *CODECS, "quantize")
"""Names of the degradations."""

_OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
_SPECTRUM_PARTS = 80
_FILTER_WIDTH = 64
_LONGEST_DELAY = 4096
_WRITE = 65536


@dataclass(frozen=True)
class Degradation:
    """One degradation with its setting.

    Attributes:
        kind: One of `KINDS`.
        value: Of "bandlimit" the cutoff in hertz; of a codec its compression, 0 to below 1, 1 the strongest; of
            "quantize" the bits.
    """

    kind: str
    value: float

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise unknown_name("degradation", self.kind, KINDS)
        value = self.value
        if self.kind == "bandlimit" and not value > 0:
            raise UserError(f"degradation bandlimit: the cutoff must be above 0 Hz, not {value:g}")
        if self.kind in CODECS and not 0 <= value < 1:
            raise UserError(f"degradation {self.kind}: the compression must be 0 to below 1, not {value:g}")
        if self.kind == "quantize" and not (value % 1 == 0 and 2 <= value <= 24):
            raise UserError(f"degradation quantize: the bits must be a whole number from 2 to 24, not {value:g}")

    def __str__(self) -> str:
        unit = {"bandlimit": " Hz", "quantize": " bits"}.get(self.kind, "")
        return f"{self.kind} {self.value:g}{unit}"

    def apply(self, samples: np.ndarray, rate: int) -> np.ndarray:
        """Degrade samples (frames, channels) float32 at `rate`; the shape stays.

        Raises:
            UserError: The cutoff is not below half the rate, or the codec cannot be run.
        """
        if self.kind == "bandlimit":
            return band_limit(samples, rate, self.value)
        if self.kind == "quantize":
            return quantize(samples, int(self.value))
        return codec_round_trip(samples, rate, self.kind, self.value)


@dataclass(frozen=True)
class DegradationRange:
    """What to draw degradations from.

    Attributes:
        kinds: Names of `KINDS`; each is as likely as another.
        cutoff: Hertz, lowest and highest; drawn evenly in the logarithm.
        compression: Of codecs, least and most; drawn evenly.
        bits: Of "quantize".
    """

    kinds: tuple[str, ...] = KINDS
    cutoff: tuple[float, float] = (2000.0, 6000.0)
    compression: tuple[float, float] = (0.85, 0.97)
    bits: int = 8

    def __post_init__(self) -> None:
        if not self.kinds:
            raise UserError(f"there is no degradation to draw; name some of {', '.join(KINDS)}")
        for name, (low, high) in (("cutoff", self.cutoff), ("compression", self.compression)):
            if not low <= high:
                raise UserError(f"{name}: the lower end {low:g} is above the upper end {high:g}")
        for kind in self.kinds:
            self.ends(kind)  # refuses an unknown kind, and a range that reaches beyond what it can be

    def ends(self, kind: str) -> tuple[Degradation, Degradation]:
        """Return the degradations of a kind at both ends of its range."""
        values = {"bandlimit": self.cutoff, "quantize": (self.bits, self.bits)}.get(kind, self.compression)
        return Degradation(kind, float(values[0])), Degradation(kind, float(values[1]))

    def middle(self, kind: str) -> Degradation:
        """Return the degradation in the middle of a kind's range, for measurements."""
        low, high = (end.value for end in self.ends(kind))
        return Degradation(kind, math.sqrt(low * high) if kind == "bandlimit" else (low + high) / 2)

    def draw(self, rng: np.random.Generator) -> Degradation:
        """Draw one."""
        kind = self.kinds[int(rng.integers(len(self.kinds)))]
        low, high = (end.value for end in self.ends(kind))
        if kind == "bandlimit":
            return Degradation(kind, float(math.exp(rng.uniform(math.log(low), math.log(high)))))
        return Degradation(kind, float(rng.uniform(low, high)))


def band_limit(samples: np.ndarray, rate: int, cutoff: float) -> np.ndarray:
    """Take away what lies above a frequency, by resampling to twice of it and back.

    Args:
        samples: (frames, channels) float32.
        rate: Samples a second.
        cutoff: Hertz, rounded to rate / 160; the filter falls off within the last 3 % below it.

    Raises:
        UserError: The cutoff is not below half the rate, or rounds to 0.
    """
    import torch

    from seqaudio.data.torch_audio import torchaudio

    parts = round(_SPECTRUM_PARTS * 2 * cutoff / rate)
    if not 0 < parts < _SPECTRUM_PARTS:
        raise UserError(
            f"a cutoff of {cutoff:g} Hz does not fit audio of {rate} Hz: it must lie between {rate / 160:g} and "
            f"{rate / 2 - rate / 160:g}"
        )
    change_rate = torchaudio().functional.resample
    filters = {"lowpass_filter_width": _FILTER_WIDTH, "rolloff": 0.97}
    # Only the ratio of the rates matters.
    low = change_rate(torch.from_numpy(np.ascontiguousarray(samples.T)), _SPECTRUM_PARTS, parts, **filters)
    back = change_rate(low, parts, _SPECTRUM_PARTS, **filters).numpy().T
    return fitted(back, len(samples))


def level_above(clips: Iterable[np.ndarray], rate: int, cutoff: float) -> float:
    """Return how strong sound is above a frequency, relative to below: the geometric mean over clips (frames, 1).

    Clips that are silent above or below are left out; 0 where all are.
    """
    ratios = []
    for clip in clips:
        low = band_limit(clip, rate, cutoff)
        above, below = float(np.std(clip - low)), float(np.std(low))
        if above > 0 and below > 0:
            ratios.append(math.log(above / below))
    return math.exp(sum(ratios) / len(ratios)) if ratios else 0.0


def noise_fill(samples: np.ndarray, rate: int, cutoff: float, level: float, rng: np.random.Generator) -> np.ndarray:
    """Fill what a band limit took away with white noise: what a model has to beat.

    Args:
        samples: (frames, channels) float32.
        rate: Samples a second.
        cutoff: Hertz; the noise lies above it.
        level: Of the noise, relative to each channel's; see `level_above`.
        rng: Draws the noise.
    """
    noise = rng.standard_normal(samples.shape, dtype=np.float32)
    noise -= band_limit(noise, rate, cutoff)
    return samples + noise * (level * samples.std(0) / noise.std(0)).astype(np.float32)


def codec_round_trip(samples: np.ndarray, rate: int, codec: str, compression: float) -> np.ndarray:
    """Encode and decode, aligned with the input.

    Args:
        samples: (frames, channels) float32.
        rate: Samples a second.
        codec: "mp3", "vorbis" or "opus"; opus runs at the next rate that it has.
        compression: 0 to below 1, 1 the strongest; mp3 at a constant bit rate.

    Raises:
        UserError: An unknown codec, or libsndfile refuses the rate or the channels.
    """
    import soundfile

    if codec not in CODECS:
        raise unknown_name("codec", codec, CODECS)
    inner = rate
    if codec == "opus" and rate not in _OPUS_RATES:
        inner = min((known for known in _OPUS_RATES if known >= rate), default=_OPUS_RATES[-1])
    form, subtype, options = CODECS[codec]
    options = {**options, "format": form, "subtype": subtype, "compression_level": compression}
    coded = io.BytesIO()
    try:
        with soundfile.SoundFile(coded, "w", samplerate=inner, channels=samples.shape[1], **options) as file:
            given = _resampled(samples, rate, inner)
            # libsndfile's Vorbis writer keeps a whole write on the stack.
            for first in range(0, len(given), _WRITE):
                file.write(given[first : first + _WRITE])
        coded.seek(0)
        decoded, got = soundfile.read(coded, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{codec} cannot code {samples.shape[1]} channels at {rate} Hz with compression {compression:g}: {reason}"
        ) from error
    decoded = _resampled(decoded, got, rate)
    return fitted(decoded, len(samples), delay(samples, decoded))


def quantize(samples: np.ndarray, bits: int) -> np.ndarray:
    """Round to 2^bits even steps of [-1, 1), without dither; what lies outside is clipped.

    Args:
        samples: (frames, channels) float32.
        bits: 2 to 24.
    """
    steps = 2.0 ** (bits - 1)
    return (np.clip(np.rint(samples * steps), -steps, steps - 1) / steps).astype(np.float32)


def delay(reference: np.ndarray, late: np.ndarray) -> int:
    """Return by how many frames a signal is late: the peak of the cross-correlation; 0 for silence.

    Args:
        reference: (frames, channels).
        late: The same, later (or earlier, then the result is negative) and of any length.
    """
    one, two = reference.mean(1, dtype=np.float64), late.mean(1, dtype=np.float64)
    size = 1 << (len(one) + len(two) - 1).bit_length()
    correlation = np.fft.irfft(np.conj(np.fft.rfft(one, size)) * np.fft.rfft(two, size), size)
    reach = min(_LONGEST_DELAY, size // 2 - 1)
    near = np.concatenate((correlation[-reach:], correlation[: reach + 1]))
    return int(near.argmax()) - reach if near.max() > 0 else 0


def fitted(samples: np.ndarray, frames: int, start: int = 0) -> np.ndarray:
    """Return `frames` frames from `start` on; zeros where there are none."""
    out = np.zeros((frames, samples.shape[1]), np.float32)
    first, last = max(start, 0), min(len(samples), start + frames)
    if last > first:
        out[first - start : last - start] = samples[first:last]
    return out


def _resampled(samples: np.ndarray, rate: int, to: int) -> np.ndarray:
    return samples if rate == to or not len(samples) else resample(samples, rate, to)


def parse_kinds(text: str | Sequence[str], flag: str = "--degrade") -> tuple[str, ...]:
    """Return the kinds named in a text with commas, each once.

    Raises:
        UserError: One is unknown, or there is none.
    """
    words = text.split(",") if isinstance(text, str) else list(text)
    kinds = tuple(dict.fromkeys(word.strip() for word in words if word.strip()))
    for kind in kinds:
        if kind not in KINDS:
            raise unknown_name(f"degradation in {flag}", kind, KINDS)
    if not kinds:
        raise UserError(f"{flag} names no degradation; give some of {', '.join(KINDS)}")
    return kinds
