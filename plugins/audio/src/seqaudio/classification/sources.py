"""Rows of labelled clips from a folder of classes, a manifest or an .npz file; only headers are read."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from seqaudio.data import AudioFile, find_audio, probe
from seqaudio.data.manifest import FILE_COLUMNS, file_of, lines_of
from seqsuite.errors import UserError, suggest

Skipped = tuple[tuple[str, str], ...]
_MOST_RATE = 1 << 31
_NOT_COLUMNS = frozenset({*FILE_COLUMNS, "split", "start", "seconds"})


@dataclass(frozen=True)
class Stretch:
    """Where the samples of a clip are.

    Attributes:
        name: The file, and the place in it.
        sound: A file or a stretch of one, or the samples themselves.
        rate: Samples a second, as stored.
        frames: Number of samples, as stored.
    """

    name: str
    sound: AudioFile | np.ndarray = field(repr=False)
    rate: int
    frames: int


@dataclass(frozen=True)
class Row:
    """One clip as a source describes it.

    Attributes:
        stretch: Its samples.
        label: Its label; empty where none was asked for.
        split: train, valid, test or empty.
        where: Where this is written, for messages.
        columns: What else is known of it.
    """

    stretch: Stretch
    label: str
    split: str
    where: str
    columns: Mapping[str, str] = field(default_factory=dict)


def folder_rows(folder: Path, *, on_error: str) -> tuple[list[Row], Skipped]:
    """Return the rows of a folder with one folder a class.

    Raises:
        UserError: There are no such folders, a file lies beside them, one is empty, or a file cannot be read.
    """
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not classes:
        raise UserError(f"{folder}: there is no folder in it; put the clips of each class into a folder of its name")
    rows: list[Row] = []
    skipped: list[tuple[str, str]] = []
    seen: dict[tuple[Path, int, int], str] = {}
    for path in classes:
        found = find_audio(path, on_error=on_error)  # type: ignore[arg-type]
        for file in found.files:
            stretch = Stretch(str(file.path), file, file.rate, file.frames)
            _once(seen, file, str(file.path))
            rows.append(Row(stretch, path.name, "", str(file.path)))
        skipped += [(str(where), why) for where, why in found.skipped]
    return rows, tuple(skipped)


def manifest_rows(path: Path, *, label_column: str | None, on_error: str) -> tuple[list[Row], Skipped]:
    """Return the rows of a manifest; `label_column` None reads no labels.

    Raises:
        UserError: The manifest, a row, or a file, which is named.
    """
    rows: list[Row] = []
    skipped: list[tuple[str, str]] = []
    known: dict[Path, AudioFile] = {}
    seen: dict[tuple[Path, int, int], str] = {}
    for line, values in _manifest(path):
        where = f"{path}, line {line}"
        label = "" if label_column is None else _label(values, label_column, where)
        file = file_of(path, values, where)
        try:
            if file not in known:
                known[file] = probe(file)
            stretch = _stretch(known[file], values, where)
            if label_column is not None and isinstance(stretch.sound, AudioFile):
                _once(seen, stretch.sound, where)
        except UserError as error:
            text = str(error) if where in str(error) else f"{where}: {error}"
            if on_error == "raise":
                raise UserError(text) from None
            skipped.append((str(file), text))
            continue
        columns = {
            name: str(value).strip()
            for name, value in values.items()
            if name not in _NOT_COLUMNS and name != label_column and value is not None
        }
        rows.append(Row(stretch, label, str(values.get("split") or "").strip().lower(), where, columns))
    if not rows:
        raise UserError(f"{path}: none of its {len(skipped)} clips can be read; the first: {skipped[0][1]}")
    return rows, tuple(skipped)


def _once(seen: dict[tuple[Path, int, int], str], file: AudioFile, where: str) -> None:
    """Take down a clip; one that is there already would be learned and tested, or have two labels."""
    key = (file.path.resolve(), file.first, file.frames)
    if key in seen:
        raise UserError(f"{where}: the same clip is listed already ({seen[key]}); list each clip once")
    seen[key] = where


def _manifest(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    rows = lines_of(path)
    if not rows:
        raise UserError(f"{path}: the manifest lists no clip")
    yield from rows


def _label(values: Mapping[str, Any], column: str, where: str) -> str:
    if column not in values:
        raise UserError(f"{where}: there is no column {column!r} of labels; name it with --label_column."
                        f"{suggest(column, values)}")  # fmt: skip
    label = "" if values[column] is None else str(values[column]).strip()
    if not label:
        raise UserError(f"{where}: the label is missing (column {column!r} is empty)")
    return label


def _stretch(file: AudioFile, values: Mapping[str, Any], where: str) -> Stretch:
    """Return the part of a file that the columns start and seconds choose, or all of it."""
    start, seconds = _number(values, "start", where), _number(values, "seconds", where)
    if start is None and seconds is None:
        return Stretch(str(file.path), file, file.rate, file.frames)
    first = round((start or 0) * file.rate)
    frames = file.frames - first if seconds is None else round(seconds * file.rate)
    if not (0 <= first < file.frames and 0 < frames and first + frames <= file.frames + 1):
        raise UserError(f"{where}: the stretch does not lie in the {file.seconds:.3f} s of {file.path}")
    frames = min(frames, file.frames - first)  # seconds rounded up may end half a sample late
    name = f"{file.path}@{first / file.rate:.3f}"
    return Stretch(name, replace(file, first=first, frames=frames), file.rate, frames)


def _number(values: Mapping[str, Any], name: str, where: str) -> float | None:
    value = values.get(name)
    if value is None or not str(value).strip():
        return None
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not 0 <= number < float("inf"):
        raise UserError(f"{where}: {name} is {value!r}; it must be a number of seconds from 0 on")
    return number


def npz_rows(path: Path, *, rate: int, labelled: bool = True) -> list[Row]:
    """Return the rows of an .npz file: audio (S,) in one piece, offsets (n + 1,), label or digit (n,), and others (n,).

    `is_test` or `split` divides them, `rate` (a number) overrides the argument.

    Raises:
        UserError: It cannot be read, or its arrays do not fit together.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except (OSError, ValueError, zipfile.BadZipFile, EOFError, zlib.error) as error:
        why = (str(error).splitlines() or ["damaged"])[0]
        why = "it holds no arrays of numbers" if "pickle" in why else why
        raise UserError(f"{path}: no readable .npz file ({why})") from None
    for name in ("audio", "offsets"):
        if name not in arrays:
            raise UserError(f"{path}: there is no array {name!r}; found {', '.join(arrays) or 'none'}")
    audio, offsets = arrays.pop("audio"), arrays.pop("offsets")
    if audio.ndim != 1 or audio.dtype.kind not in "if":
        raise UserError(f"{path}: audio must be (samples,) integers or floats, not {audio.dtype} {audio.shape}")
    ends = offsets.ndim == 1 and len(offsets) > 1 and offsets.dtype.kind in "iu"
    if not ends or offsets[0] < 0 or (np.diff(offsets.astype(np.int64)) <= 0).any() or offsets[-1] > len(audio):
        raise UserError(f"{path}: offsets must be integers that rise from 0 to the {len(audio)} samples of audio")
    count = len(offsets) - 1
    rate = _npz_rate(path, arrays.pop("rate", arrays.pop("sample_rate", np.array(rate))))
    label = next((name for name in ("label", "digit") if name in arrays), None)
    if labelled and label is None:
        raise UserError(f"{path}: there is no array 'label' or 'digit'; found {', '.join(arrays) or 'no others'}")
    columns = {name: values for name, values in arrays.items() if values.shape == (count,)}
    if label is not None and label not in columns:
        raise UserError(f"{path}: {label} has shape {arrays[label].shape}, and there are {count} clips")
    rows = []
    for i in range(count):
        name = f"{path}[{i}]"
        first, end = int(offsets[i]), int(offsets[i + 1])
        said = str(columns[label][i]) if label is not None and labelled else ""
        split = str(columns["split"][i]).lower() if "split" in columns else ""
        if "is_test" in columns and not split:
            split = "test" if columns["is_test"][i] else "train"
        others = {key: str(v[i]) for key, v in columns.items() if key not in (label, "is_test", "split")}
        rows.append(Row(Stretch(name, audio[first:end], rate, end - first), said, split, name, others))
    return rows


def _npz_rate(path: Path, told: np.ndarray) -> int:
    """Return the rate that an .npz file holds."""
    if told.size != 1 or told.dtype.kind not in "iuf" or not 1 <= told.item() < _MOST_RATE or told.item() % 1:
        raise UserError(f"{path}: rate must be one number of samples a second, not {' '.join(str(told).split())[:60]}")
    return int(told.item())
