"""Sound that a command is given, opened and checked before anything long begins.

    source = open_source("recordings/", rate=16000, channels=1, on_error="skip")
    source.files, source.skipped, source.notes

Files of another rate or number of channels are resampled and mixed when they are read; that is noted once, or refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seqaudio.data import AudioFile, check_signal, find_audio, stream_audio
from seqaudio.data.files import OnError
from seqsuite.errors import UserError


@dataclass(frozen=True)
class Source:
    """Sound files that can be used.

    Attributes:
        files: The files.
        skipped: Path and reason of each file left out.
        notes: What else is to be said, a line each.
    """

    files: tuple[AudioFile, ...]
    skipped: tuple[tuple[Path, str], ...] = ()
    notes: tuple[str, ...] = ()


def open_source(
    place: str | Path,
    *,
    rate: int,
    channels: int = 1,
    on_error: OnError = "raise",
    strict_rate: bool = False,
    check: bool = True,
) -> Source:
    """Find sound, and look at every sample of it once.

    Args:
        place: A folder, a file or a manifest; see `find_audio`.
        rate: Samples a second that will be read.
        channels: Channels that will be read.
        on_error: What a file does that cannot be decoded, or is silent throughout: ``"raise"`` an error, or
            ``"skip"`` it and list it.
        strict_rate: Refuse files of another rate or number of channels.
        check: Whether to decode the files; else headers alone are read.

    Raises:
        UserError: There is nothing to use, or a file is refused; one line names it.
    """
    found = find_audio(place, on_error=on_error)
    notes = format_notes(found.files, rate=rate, channels=channels, strict=strict_rate)
    if not check:
        return Source(found.files, found.skipped, notes)
    good, skipped = [], list(found.skipped)
    for file in found.files:
        try:
            told = check_sound(file)
        except UserError as error:
            if on_error == "raise":
                raise
            skipped.append((file.path, str(error)))
        else:
            good.append(file)
            notes += told
    if not good:
        raise UserError(f"{place}: none of its {len(skipped)} sound files can be used; the first: {skipped[0][1]}")
    return Source(tuple(good), tuple(skipped), notes)


def check_sound(file: AudioFile) -> tuple[str, ...]:
    """Decode a file, some seconds in memory at a time, and return notes on it.

    Raises:
        UserError: It cannot be decoded, holds NaN or infinite samples, or does not move.
    """
    blocks = stream_audio(file, rate=file.rate, channels=file.channels)
    ends = np.array([(block.min(), block.max()) for block in blocks])
    low, high = ends[:, 0].min(), ends[:, 1].max()
    if low == high:
        what = "is silent" if low == 0 else f"has the same value {low:g} in all samples"
        raise UserError(f"{file.path}: the clip {what}; leave it out, or use --on_error skip")
    return check_signal(np.array([low, high]), file.path)


def format_notes(files: Sequence[AudioFile], *, rate: int, channels: int, strict: bool) -> tuple[str, ...]:
    """Return a note if files are to be resampled, and one if they are to be mixed.

    Raises:
        UserError: Some are, and `strict` refuses it.
    """
    other_rate = [file for file in files if file.rate != rate]
    other_channels = [file for file in files if file.channels != channels]
    if strict and (other_rate or other_channels):
        file = (other_rate or other_channels)[0]
        raise UserError(
            f"{file.path} has {file.rate} samples a second and {_count(file.channels)}; wanted are {rate} and "
            f"{_count(channels)} (leave --strict_rate out to convert files)"
        )
    notes: tuple[str, ...] = ()
    if other_rate:
        rates = ", ".join(str(found) for found in sorted({file.rate for file in other_rate}))
        notes += (f"{len(other_rate)} of {len(files)} files are resampled from {rates} to {rate} samples a second",)
    if other_channels:
        notes += (f"{len(other_channels)} of {len(files)} files are mixed or copied to {_count(channels)}",)
    return notes


def skipped_rows(skipped: Iterable[tuple[Path | str, str]]) -> list[dict[str, str]]:
    """Return a row for each file left out, as tables and summaries show them."""
    return [{"file": str(path), "why": why} for path, why in skipped]


def _count(channels: int) -> str:
    return "1 channel" if channels == 1 else f"{channels} channels"
