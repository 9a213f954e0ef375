"""One pass over the samples of files before a long run, so that a damaged file is told at once.

found = check_files(find_audio("recordings/").files, on_error="skip")
found.files, found.skipped, found.notes
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seqaudio.data.files import AudioFile, OnError
from seqaudio.data.reading import check_signal, stream_audio
from seqsuite.errors import UserError


@dataclass(frozen=True)
class Checked:
    """What `check_files` found.

    Attributes:
        files: The files that can be decoded from start to end.
        skipped: Path and reason of each that cannot.
        notes: A line for each file that is odd but usable: silent, or beyond full scale.
    """

    files: tuple[AudioFile, ...]
    skipped: tuple[tuple[Path, str], ...]
    notes: tuple[str, ...]


def check_files(files: Sequence[AudioFile], *, on_error: OnError = "raise") -> Checked:
    """Decode all files at their own rate, some seconds in memory at a time.

    Args:
        files: The files or stretches.
        on_error: What a file that cannot be decoded does: ``"raise"`` an error, or ``"skip"`` it and list it.

    Raises:
        UserError: A file cannot be decoded or holds NaN or infinite samples, and `on_error` is ``"raise"``; or none
            is left.
    """
    good, skipped = [], []
    notes: list[str] = []
    for file in files:
        try:
            notes += check_signal(_range(file), file.path)
        except UserError as error:
            if on_error == "raise":
                raise
            skipped.append((file.path, str(error)))
        else:
            good.append(file)
    if skipped and not good:
        raise UserError(f"none of the {len(skipped)} sound files can be decoded; the first: {skipped[0][1]}")
    return Checked(tuple(good), tuple(skipped), tuple(notes))


def _range(file: AudioFile) -> np.ndarray:
    """Return the smallest and the largest sample of a file."""
    blocks = stream_audio(file, rate=file.rate, channels=file.channels)
    ranges = np.array([(block.min(), block.max()) for block in blocks])
    return np.array([ranges[:, 0].min(), ranges[:, 1].max()])
