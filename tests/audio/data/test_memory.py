"""What numpy's own count does not see: memory of the process while windows are read and resampled."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from seqaudio.data import probe, read_window, stream_audio

from .test_windows import long_file

STATUS = Path("/proc/self/status")


def resident(field: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read and reset as Linux does it")
def test_resampled_windows_and_streams_stay_small_in_a_long_file(tmp_path):
    file = probe(long_file(tmp_path / "long.wav", 600, 44100, 2))
    whole = file.frames * file.channels * 4
    assert whole > 200_000_000
    read_window(file, 0, 16000, rate=16000)  # torch is loaded and the filter made
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = resident("VmRSS")
    for first in range(0, file.frames_at(16000) - 16000, 600_000):
        read_window(file, first, 16000, rate=16000)
    frames = sum(len(block) for block in stream_audio(file, rate=16000))
    assert frames == file.frames_at(16000)
    assert resident("VmHWM") - before < 40_000_000
