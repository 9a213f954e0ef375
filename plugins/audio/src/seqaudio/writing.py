"""Write samples as a .wav file: all of it or nothing, clipped where they must be and not in silence.

written = write_wav("out.wav", samples, 16000, kind="int16")
written.clipped     # samples beyond full scale that were cut off
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from seqsuite.errors import UserError, unknown_name

SampleKind = Literal["int16", "int24", "float"]
_SUBTYPES = {"int16": "PCM_16", "int24": "PCM_24", "float": "FLOAT"}
_MOST_BYTES = (1 << 32) - (1 << 12)


@dataclass(frozen=True)
class Written:
    """What `write_wav` wrote.

    Attributes:
        path: The file.
        frames: Samples of each channel.
        clipped: Samples, over all channels, that lay beyond full scale and were cut off there.
    """

    path: Path
    frames: int
    clipped: int

    def note(self) -> str:
        """Return a line about clipped samples, empty if there are none."""
        if not self.clipped:
            return ""
        return f"{self.path}: {self.clipped} samples lay beyond full scale and were cut off there"


def write_wav(
    path: str | Path, samples: np.ndarray, rate: int, *, kind: SampleKind = "int16", overwrite: bool = False
) -> Written:
    """Write a .wav file aside and put it in place; its folder is made.

    Args:
        path: The file, ending in .wav.
        samples: (frames,) or (frames, channels) floats; full scale is 1.
        rate: Samples a second.
        kind: ``"int16"`` and ``"int24"`` are rounded and cut off at full scale; ``"float"`` keeps any value.
        overwrite: Replace a file that exists.

    Raises:
        UserError: The file exists, cannot be written or has another ending, or the samples are not finite, empty, or
            too many for a .wav file.
    """
    import soundfile

    target, data = Path(path), np.asarray(samples)
    if kind not in _SUBTYPES:
        raise unknown_name("kind of samples", kind, _SUBTYPES)
    if data.ndim == 1:
        data = data[:, None]
    if data.ndim != 2 or not np.issubdtype(data.dtype, np.floating):
        raise ValueError(f"samples are floats (frames,) or (frames, channels), not {data.dtype} {data.shape}")
    _check(target, data, kind, overwrite)
    clipped = 0 if kind == "float" else int((np.abs(data) > 1).sum())
    aside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(os.fspath(aside), _stored(data, kind), rate, format="WAV", subtype=_SUBTYPES[kind])
        os.replace(aside, target)
    except (OSError, soundfile.LibsndfileError) as error:
        raise UserError(f"{target}: cannot be written ({getattr(error, 'strerror', None) or error})") from None
    finally:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
    return Written(target, len(data), clipped)


def _check(target: Path, data: np.ndarray, kind: SampleKind, overwrite: bool) -> None:
    if target.suffix.lower() != ".wav":
        raise UserError(f"{target}: what is written is a .wav file; name it {target.stem}.wav")
    if target.exists() and not overwrite:
        raise UserError(f"{target} exists; add --overwrite to replace it, or choose another name")
    if not data.size:
        raise UserError(f"{target}: there are no samples to write")
    if not np.isfinite(data).all():
        raise UserError(f"{target}: there are NaN or infinite samples, which are not written")
    if data.size * {"int16": 2, "int24": 3, "float": 4}[kind] > _MOST_BYTES:
        raise UserError(f"{target}: a .wav file ends at 4 GB; write shorter files")


def _stored(data: np.ndarray, kind: SampleKind) -> np.ndarray:
    """Return the numbers as they are stored: reading divides by the same power of two, so integers come back exact."""
    if kind == "float":
        return data.astype(np.float32)
    full = 1 << (15 if kind == "int16" else 23)
    whole = np.clip(np.rint(data.astype(np.float64) * full), -full, full - 1)
    # libsndfile takes the upper bits of 32 for a sample of 24.
    return whole.astype(np.int16) if kind == "int16" else whole.astype(np.int32) << 8
