"""Files for training, validation and test, with nothing in two of them.

    parts = split_files(found.files, 0.1, 0.1, seed=0)
    parts.train, parts.valid, parts.test

Whole files are dealt out, since two stretches of one recording are no independent samples. Only where there are too
few files is one cut by time, with a gap between the stretches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from seqaudio.data.files import AudioFile
from seqsuite.data.order import ShuffledOrder
from seqsuite.errors import UserError


@dataclass(frozen=True)
class Splits:
    """Files, or stretches of them, by use.

    Attributes:
        train: To train on.
        valid: To choose by; may be empty.
        test: To report on; may be empty.
    """

    train: tuple[AudioFile, ...]
    valid: tuple[AudioFile, ...]
    test: tuple[AudioFile, ...]


def split_files(
    files: Sequence[AudioFile],
    valid_fraction: float = 0.1,
    test_fraction: float = 0.1,
    seed: int = 0,
    *,
    gap_seconds: float = 1.0,
) -> Splits:
    """Deal files out by their length in seconds; each part keeps the files' order.

    The choice depends on the set of files and the seed, not on their order. A part that is wanted gets a file at
    least. One file is cut by time: training first, then validation, then test. Of two files where validation and
    test are wanted, one is for training and the other is cut.

    Args:
        files: The files, each once.
        valid_fraction: Share of the seconds for validation, from 0 on.
        test_fraction: Share for test, from 0 on; both together below 1.
        seed: Decides which files.
        gap_seconds: Left out between two stretches of one file.

    Raises:
        UserError: The fractions do not fit, there is no file, one is given twice, or one is too short to be cut.
    """
    if not (valid_fraction >= 0 and test_fraction >= 0 and valid_fraction + test_fraction < 1):
        raise UserError(
            f"the fractions for validation ({valid_fraction:g}) and test ({test_fraction:g}) must be at least 0 and "
            "below 1 together"
        )
    if not files:
        raise UserError("there is no sound file to split")
    _refuse_twice(files)
    parts = sum(fraction > 0 for fraction in (valid_fraction, test_fraction))
    if not parts:
        return Splits(tuple(files), (), ())
    if len(files) == 1:
        return Splits(*_cut(files[0], (1 - valid_fraction - test_fraction, valid_fraction, test_fraction), gap_seconds))
    left = _shuffled(files, seed)
    if len(files) <= parts:
        held = _pick(left, valid_fraction + test_fraction, files, leave=1)
        _, valid, test = _cut(held[0], (0, valid_fraction, test_fraction), gap_seconds)
        return Splits(tuple(file for file in files if file not in held), valid, test)
    test = _pick(left, test_fraction, files, leave=1 + (valid_fraction > 0))
    valid = _pick([file for file in left if file not in test], valid_fraction, files, leave=1)
    train = tuple(file for file in files if file not in test and file not in valid)
    return Splits(train, valid, test)


def shared_file(train: Sequence[AudioFile], held_out: Sequence[AudioFile]) -> Path | None:
    """Return a file of which both hold the same samples, or None."""
    spans: dict[Path, list[AudioFile]] = {}
    for file in train:
        spans.setdefault(file.path.resolve(), []).append(file)
    for file in held_out:
        for other in spans.get(file.path.resolve(), ()):
            if other.first < file.first + file.frames and file.first < other.first + other.frames:
                return file.path
    return None


def _refuse_twice(files: Sequence[AudioFile]) -> None:
    seen = set()
    for file in files:
        if file.path in seen:
            raise UserError(f"{file.path} is given twice, and would end up in two parts; give each file once")
        seen.add(file.path)


def _shuffled(files: Sequence[AudioFile], seed: int) -> list[AudioFile]:
    ordered = sorted(files, key=lambda file: str(file.path))
    order = ShuffledOrder(len(ordered), seed)
    return [ordered[order.index(0, rank)] for rank in range(len(ordered))]


def _pick(
    candidates: Sequence[AudioFile], fraction: float, files: Sequence[AudioFile], *, leave: int
) -> tuple[AudioFile, ...]:
    """Return the files, in the order of `files`, that bring their seconds near to a share of all.

    A candidate is taken if the sum comes nearer to the share by it; if none is, the shortest.
    """
    if not fraction:
        return ()
    wanted = fraction * sum(file.seconds for file in files)
    taken: list[AudioFile] = []
    seconds = 0.0
    for file in candidates:
        nearer = abs(seconds + file.seconds - wanted) < abs(seconds - wanted)
        if nearer and len(candidates) - len(taken) > leave:
            taken.append(file)
            seconds += file.seconds
    chosen = set(taken or [min(candidates, key=lambda file: (file.seconds, str(file.path)))])
    return tuple(file for file in files if file in chosen)


def _cut(file: AudioFile, shares: Sequence[float], gap_seconds: float) -> list[tuple[AudioFile, ...]]:
    """Cut a file into stretches in order, a gap between any two; a share of 0 gives none."""
    gap = round(gap_seconds * file.rate)
    wanted = [share for share in shares if share > 0]
    room = file.frames - gap * (len(wanted) - 1)
    lengths = [int(room * share / sum(wanted)) for share in shares]
    if any(share > 0 and length < 1 for share, length in zip(shares, lengths, strict=True)):
        raise UserError(
            f"{file.path}: its {file.seconds:.2f} s are too short to be cut into {len(wanted)} parts with gaps of "
            f"{gap_seconds:g} s; give more files"
        )
    parts: list[tuple[AudioFile, ...]] = []
    at = file.first
    for length in lengths:
        parts.append((replace(file, first=at, frames=length),) if length else ())
        at += length + gap if length else 0
    return parts
