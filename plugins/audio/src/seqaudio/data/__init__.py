"""Sound on disk: finding files, reading windows of them, splits. Names load on first use; no torch until then.

from seqaudio.data import find_audio, read_audio, split_files
found = find_audio("recordings/")
samples = read_audio(found.files[0], rate=16000, start=2.0, seconds=1.0)     # (16000, 1) float32
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqaudio.data.files import AudioFile, Found, find_audio, fingerprint, probe
    from seqaudio.data.reading import check_signal, read_audio, read_window, resample, stream_audio
    from seqaudio.data.splits import Splits, split_files
    from seqaudio.data.torch_audio import torchaudio, versions_match
    from seqaudio.data.windows import Place, Windows

__all__ = [
    "AudioFile",
    "Found",
    "Place",
    "Splits",
    "Windows",
    "check_signal",
    "find_audio",
    "fingerprint",
    "probe",
    "read_audio",
    "read_window",
    "resample",
    "split_files",
    "stream_audio",
    "torchaudio",
    "versions_match",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "files": ["AudioFile", "Found", "find_audio", "fingerprint", "probe"],
        "reading": ["check_signal", "read_audio", "read_window", "resample", "stream_audio"],
        "splits": ["Splits", "split_files"],
        "torch_audio": ["torchaudio", "versions_match"],
        "windows": ["Place", "Windows"],
    },
)
