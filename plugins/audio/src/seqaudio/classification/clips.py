"""Clips of sound with and without labels: folders of classes, manifests, .npz files.

    data = read_labelled("digits.npz", rate=8000)
    data.clips.samples(0), data.classes[data.labels[0]], data.splits[0]

Samples are decoded, mixed and resampled when they are asked for, and kept as long as there is room.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from seqaudio.classification.sources import Stretch, folder_rows, manifest_rows, npz_rows
from seqaudio.data import read_audio, resample
from seqsuite.errors import UserError, unknown_name

_KEEP_SAMPLES = 1 << 27
"""Samples of one set that are kept decoded (512 MiB)."""
SPLITS = ("train", "valid", "test")
OnError = Literal["raise", "skip"]


class Clips:
    """Clips at one sample rate.

    Args:
        stretches: Where the samples are.
        rate: Samples a second that come out.
    """

    def __init__(self, stretches: Sequence[Stretch], rate: int) -> None:
        self.stretches, self.rate = tuple(stretches), rate
        self._kept: dict[int, np.ndarray] = {}
        self._room = _KEEP_SAMPLES

    def __len__(self) -> int:
        return len(self.stretches)

    @property
    def names(self) -> tuple[str, ...]:
        """A name for each clip: its file, and the place in it where there is one."""
        return tuple(stretch.name for stretch in self.stretches)

    def samples(self, index: int) -> np.ndarray:
        """Return one clip, mixed to one channel: (L,) float32.

        Raises:
            UserError: It cannot be decoded, or holds NaN or infinite samples.
        """
        if index not in self._kept:
            found = self._read(self.stretches[index])
            if len(found) > self._room:
                return found
            self._kept[index] = found
            self._room -= len(found)
        return self._kept[index]

    def _read(self, stretch: Stretch) -> np.ndarray:
        if isinstance(stretch.sound, np.ndarray):
            given = stretch.sound[:, None].astype(np.float32)
            if stretch.sound.dtype.kind == "i":
                given /= -float(np.iinfo(stretch.sound.dtype).min)
            if not np.isfinite(given).all():
                raise UserError(f"{stretch.name}: there are NaN or infinite samples; repair it or leave it out")
            return (given if stretch.rate == self.rate else resample(given, stretch.rate, self.rate))[:, 0]
        return read_audio(stretch.sound, rate=self.rate)[:, 0]


@dataclass(frozen=True)
class LabelledClips:
    """Clips with labels.

    Attributes:
        source: Where they come from.
        clips: The clips.
        labels: (n,) int64, number of each clip's class.
        classes: Names of the classes.
        splits: train, valid, test, or nothing, for each clip.
        columns: Further columns by name, such as speaker.
        skipped: What could not be read, and why.
        lacking: Columns that not all clips have, and where the first without is written.
    """

    source: str
    clips: Clips
    labels: np.ndarray = field(repr=False)
    classes: tuple[str, ...]
    splits: tuple[str, ...] = field(repr=False)
    columns: Mapping[str, tuple[str, ...]] = field(repr=False, default_factory=dict)
    skipped: tuple[tuple[str, str], ...] = ()
    lacking: Mapping[str, str] = field(repr=False, default_factory=dict)

    def __len__(self) -> int:
        return len(self.clips)

    def column(self, name: str) -> tuple[str, ...]:
        """Return one further column.

        Raises:
            UserError: There is none of that name, or a clip has nothing in it.
        """
        if name in self.lacking:
            raise UserError(f"{self.lacking[name]}: the column {name!r} is empty or missing; fill it in")
        if name not in self.columns:
            raise unknown_name(f"column of {self.source}", name, self.columns)
        return self.columns[name]

    def fingerprint(self) -> str:
        """Return a digest of names, lengths and all columns, by which a resumed run knows its data."""
        digest = hashlib.sha256()
        for number, stretch in enumerate(self.clips.stretches):
            label, split = self.classes[self.labels[number]], self.splits[number]
            facts = Path(stretch.name).name, stretch.frames, stretch.rate, label, split
            others = sorted((name, values[number]) for name, values in self.columns.items())
            digest.update(repr((*facts, others)).encode("utf-8", "surrogateescape"))
        return digest.hexdigest()


def read_labelled(
    source: str | Path,
    *,
    rate: int,
    label_column: str = "label",
    npz_rate: int = 8000,
    on_error: OnError = "raise",
) -> LabelledClips:
    """Read which clips there are and what they are; no sound is decoded.

    Args:
        source: A folder with one folder a class, a manifest, or an .npz file; see `ClassifyConfig.source`.
        rate: Samples a second of the clips that come out.
        label_column: The manifest's column of labels.
        npz_rate: Rate of an .npz file that does not hold it.
        on_error: What an unreadable file does.

    Raises:
        UserError: The source, a row, a label or a file; fewer than two classes.
    """
    place = Path(os.path.expanduser(source))
    if place.is_dir():
        rows, skipped = folder_rows(place, on_error=on_error)
    elif place.suffix.lower() == ".npz":
        rows, skipped = npz_rows(place, rate=npz_rate), ()
    elif place.suffix.lower() in (".csv", ".tsv", ".jsonl"):
        rows, skipped = manifest_rows(place, label_column=label_column, on_error=on_error)
    elif not place.exists():
        raise UserError(f"{place}: there is no such file or folder")
    else:
        raise UserError(f"{place}: labelled clips are a folder of classes, a .csv, .tsv or .jsonl manifest, or an .npz")
    classes = tuple(sorted({row.label for row in rows}, key=_natural))
    if len(classes) < 2:
        raise UserError(
            f"{place}: all {len(rows)} clips have the label {classes[0]!r}; give clips of two classes or more"
        )
    for row in rows:
        if row.split and row.split not in SPLITS:
            raise unknown_name(f"split in {row.where}", row.split, SPLITS)
    number = {name: index for index, name in enumerate(classes)}
    names = list(dict.fromkeys(name for row in rows for name in row.columns))
    lacking = {name: next((row.where for row in rows if not row.columns.get(name)), "") for name in names}
    names = [name for name in names if not lacking[name]]
    return LabelledClips(
        source=str(source),
        clips=Clips([row.stretch for row in rows], rate),
        labels=np.array([number[row.label] for row in rows], dtype=np.int64),
        classes=classes,
        splits=tuple(row.split for row in rows),
        columns={name: tuple(row.columns[name] for row in rows) for name in names},
        skipped=skipped,
        lacking={name: where for name, where in lacking.items() if where},
    )


def read_clips(
    source: str | Path, *, rate: int, npz_rate: int = 8000, on_error: OnError = "raise"
) -> tuple[Clips, tuple[tuple[str, str], ...]]:
    """Read which clips there are, without labels; returns them and what was skipped, and why.

    Args:
        source: A sound file, a folder of any depth, a manifest, or an .npz file.
        rate: Samples a second of the clips that come out.
        npz_rate: Rate of an .npz file that does not hold it.
        on_error: What an unreadable file does.

    Raises:
        UserError: The source or a file.
    """
    from seqaudio.data import find_audio

    place = Path(os.path.expanduser(source))
    if place.suffix.lower() == ".npz":
        return Clips([row.stretch for row in npz_rows(place, rate=npz_rate, labelled=False)], rate), ()
    if place.suffix.lower() in (".csv", ".tsv", ".jsonl") and not place.is_dir():
        rows, skipped = manifest_rows(place, label_column=None, on_error=on_error)
        return Clips([row.stretch for row in rows], rate), skipped
    found = find_audio(place, on_error=on_error)
    stretches = [Stretch(str(file.path), file, file.rate, file.frames) for file in found.files]
    return Clips(stretches, rate), tuple((str(path), why) for path, why in found.skipped)


def without_silence(data: LabelledClips, *, on_error: OnError) -> LabelledClips:
    """Decode every clip once, and refuse or leave out what cannot be decoded or is silent.

    Raises:
        UserError: A clip, where `on_error` is "raise"; or a class has no clip left.
    """
    good, bad = [], []
    for index, name in enumerate(data.clips.names):
        try:
            if not np.ptp(data.clips.samples(index)):
                raise UserError(f"{name}: the clip is silent and says nothing of its label; remove it")
            good.append(index)
        except UserError as error:
            if on_error == "raise":
                raise UserError(f"{error} (or --on_error skip)") from None
            bad.append((name, str(error)))
    if not bad:
        return data
    lost = set(range(len(data.classes))) - set(data.labels[good].tolist())
    if lost:
        raise UserError(f"{data.source}: no clip of {data.classes[min(lost)]!r} can be used; the first: {bad[0][1]}")
    return dataclasses.replace(
        data,
        clips=Clips([data.clips.stretches[i] for i in good], data.clips.rate),
        labels=data.labels[good],
        splits=tuple(data.splits[i] for i in good),
        columns={name: tuple(values[i] for i in good) for name, values in data.columns.items()},
        skipped=(*data.skipped, *bad),
    )


def _natural(name: str) -> tuple[bool, int, str]:
    """Order names that are all digits by their number, in front of the others."""
    return (False, int(name), name) if name.isdecimal() else (True, 0, name)
