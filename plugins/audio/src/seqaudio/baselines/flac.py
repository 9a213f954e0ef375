"""The size of clips of codes as FLAC files: what a lossless codec makes of the same quantised signal.

The codes are written as integer samples around 0 (8 bits as PCM_S8, up to 16 as PCM_16) at the encoder's highest
compression level, each clip as a file of its own. Headers are counted apart. With mu-law codes FLAC stores the
codes, not the sound they stand for, and its filters fit them less well.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np

from seqaudio.baselines.clips import Checked, Clips
from seqsuite.errors import UserError

BEST = 1.0
"""libsndfile's scale from 0 to 1; 1 is FLAC's level 8."""


@dataclass(frozen=True)
class FlacSize:
    """What the files take.

    Attributes:
        audio_bytes: Bytes of audio frames, their own headers and checksums included.
        header_bytes: Bytes of the files' metadata before the audio.
        samples: Number of samples.
    """

    audio_bytes: int
    header_bytes: int
    samples: int

    @property
    def bits_per_sample(self) -> float:
        """Bits of audio frames per sample, file headers left out."""
        return 8 * self.audio_bytes / self.samples


def flac_size(clips: Clips, *, bits: int, rate: int) -> FlacSize:
    """Encode clips, and count bytes.

    Args:
        clips: Clips of codes 0 .. 2**bits - 1.
        bits: Bits of a code, 1 to 16.
        rate: Samples a second, which FLAC notes in its headers.

    Raises:
        UserError: There are no samples, or bits or rate are not FLAC's.
        ValueError: A clip is no vector of codes.
    """
    if not 1 <= bits <= 16:
        raise UserError(f"FLAC sizes are measured for codes of 1 to 16 bits, not {bits}.")
    audio = header = samples = 0
    for codes in Checked(clips, 2**bits, "test"):
        file = _encode(codes, bits, rate)
        before = metadata_bytes(file)
        audio, header, samples = audio + len(file) - before, header + before, samples + len(codes)
    if not samples:
        raise UserError("The test split holds no samples to measure the baselines with.")
    return FlacSize(audio, header, samples)


def _encode(codes: np.ndarray, bits: int, rate: int) -> bytes:
    import soundfile

    wide = 8 if bits <= 8 else 16
    # libsndfile takes an 8-bit sample from the upper half of a 16-bit one.
    samples = ((codes - 2 ** (bits - 1)) << (16 - wide)).astype(np.int16)
    file = io.BytesIO()
    try:
        soundfile.write(
            file,
            samples,
            rate,
            format="FLAC",
            subtype="PCM_S8" if wide == 8 else "PCM_16",
            compression_level=BEST,
        )
    except (soundfile.LibsndfileError, ValueError, TypeError) as error:
        raise UserError(f"FLAC cannot hold {len(codes)} samples at a rate of {rate}: {error}") from error
    return file.getvalue()


def metadata_bytes(file: bytes) -> int:
    """Return where a FLAC file's audio begins: behind its mark and the last of its metadata blocks.

    Raises:
        ValueError: It is no FLAC file.
    """
    if file[:4] != b"fLaC":
        raise ValueError("no FLAC file: it does not begin with 'fLaC'")
    place, last = 4, False
    while not last:
        last = bool(file[place] & 0x80)
        place += 4 + int.from_bytes(file[place + 1 : place + 4], "big")
    return place
