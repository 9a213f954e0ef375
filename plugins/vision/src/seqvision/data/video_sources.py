"""Which labelled clips a source lists: folders of classes, a manifest, or an .npz file; only headers are read.

    rows = clip_rows("videos/")          # videos/dive/one.mp4, or videos/train/dive/one.mp4
    rows = clip_rows("clips.csv")        # file,label[,split][,start,seconds]
    rows = clip_rows("clips.npz")        # frames (N, T, H, W[, C]) uint8, label (N,)[, split (N,)]

Names in a manifest are relative to it. A file that a folder or a manifest lists may also be an .npz with frames
(T, H, W[, C]) and perhaps their rate `fps`.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from seqsuite.errors import UserError, suggest, unknown_name
from seqvision.data.video_clips import Frames, Row, Stretch, find_videos, frames_of, load_arrays
from seqvision.data.video_reading import VIDEO_SUFFIXES

SPLITS = {"train": "train", "valid": "valid", "val": "valid", "validation": "valid", "test": "test"}
MOTION = {"motion": "auto", "motion_fashion": "fashion", "motion_digits": "digits"}
"""Sources that are names: synthetic motion, and its textures."""
_FILES = ("file", "path", "filename")
_LABELS = ("label", "labels", "y")
Skipped = tuple[tuple[str, str], ...]


def clip_rows(source: str | Path, *, on_error: str = "raise") -> tuple[list[Row], Skipped]:
    """Return the clips that a source lists, in an order that does not depend on the machine, and what was left out.

    Args:
        source: A folder, a .csv or an .npz.
        on_error: What a file without a readable header does: raise, or skip.

    Raises:
        UserError: The source, a row of it or a file's header; a class without files.
    """
    place = Path(os.path.expanduser(source))
    if place.is_dir():
        rows = list(_folder_rows(place))
    elif not place.exists():
        raise UserError(f"{place}: there is no such file or folder.{suggest(str(source), MOTION)}")
    elif place.suffix.lower() == ".npz":
        return _array_rows(place), ()
    elif place.suffix.lower() == ".csv":
        rows = list(_manifest_rows(place))
    else:
        raise UserError(f"{place}: labelled clips are a folder of class folders, a .csv manifest or an .npz file")
    good, skipped = [], []
    for row in rows:
        try:
            row.clip.check()
            good.append(row)
        except UserError as error:
            text = str(error) if row.where in str(error) else f"{row.where}: {error}"
            if on_error == "raise":
                raise UserError(text) from None
            skipped.append((row.where, text))
    if not good:
        raise UserError(f"{place}: none of its {len(rows)} videos can be read; the first: {skipped[0][1]}")
    return good, tuple(skipped)


def _folder_rows(folder: Path) -> Iterator[Row]:
    inside = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not inside:
        raise UserError(f"{folder}: there is no folder in it; put the videos of each class into a folder of its name")
    if all(path.name.lower() in SPLITS for path in inside):
        for path in inside:
            yield from _class_rows(path, SPLITS[path.name.lower()])
    else:
        yield from _class_rows(folder, "")


def _class_rows(folder: Path, split: str) -> Iterator[Row]:
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not classes:
        raise UserError(f"{folder}: there is no folder of a class in it")
    for path in classes:
        videos = find_videos(path)
        if not videos:
            raise UserError(f"{path}: no video in the folder of this class ({', '.join(VIDEO_SUFFIXES[:6])}, ...)")
        for video in videos:
            yield Row(Stretch(video), path.name, split, str(video))


def _manifest_rows(path: Path) -> Iterator[Row]:
    seen: dict[tuple[Path, float, float | None], str] = {}
    for line, values in _lines(path):
        where = f"{path}, line {line}"
        column = next((name for name in _FILES if name in values), None)
        if column is None:
            raise UserError(f"{where}: there is no column 'file'.{suggest('file', values)}")
        if "label" not in values:
            raise UserError(f"{where}: there is no column 'label'.{suggest('label', values)}")
        for name in (column, "label"):
            if not values[name]:
                raise UserError(f"{where}: the column {name!r} is empty")
        start, seconds = _number(values, "start", where), _number(values, "seconds", where)
        if seconds == 0:
            raise UserError(f"{where}: seconds is 0; leave the cell empty for the whole video")
        clip = Stretch(path.parent / os.path.expanduser(values[column]), start or 0.0, seconds)
        key = (clip.path.resolve(), clip.start, clip.seconds)
        if key in seen:
            raise UserError(f"{where}: the same clip is listed already ({seen[key]}); list each clip once")
        seen[key] = where
        yield Row(clip, values["label"], _split(values.get("split", ""), where), where)
    if not seen:
        raise UserError(f"{path}: the manifest lists no clip")


def _lines(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as handle:
            reader = csv.reader(handle)
            header = [name.strip() for name in next(reader, [])]
            for row in reader:
                if not any(cell.strip() for cell in row):
                    continue
                if len(row) != len(header):
                    raise UserError(f"{path}, line {reader.line_num}: {len(row)} cells, but {len(header)} columns")
                yield reader.line_num, {name: cell.strip() for name, cell in zip(header, row, strict=True)}
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise UserError(f"{path}: cannot be read as a .csv file ({error})") from None


def _number(values: Mapping[str, str], name: str, where: str) -> float | None:
    text = values.get(name, "")
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise UserError(f"{where}: {name} is {text!r}; it is a number of seconds, 0 or more")
    return number


def _split(text: str, where: str) -> str:
    name = text.strip().lower()
    if name and name not in SPLITS:
        raise unknown_name(f"split in {where}", text, SPLITS)
    return SPLITS.get(name, "")


def _array_rows(path: Path) -> list[Row]:
    arrays = load_arrays(path)
    frames, rate = frames_of(path, arrays, leading=2)
    name = next((name for name in _LABELS if name in arrays), None)
    if name is None:
        raise UserError(f"{path}: there is no array 'label'.{suggest('label', arrays)}")
    for column in (name, "split"):
        if column in arrays and arrays[column].shape != (len(frames),):
            raise UserError(f"{path}: {column} has shape {arrays[column].shape}, and there are {len(frames)} clips")
    classes, labels = arrays.get("class_name"), arrays[name]
    if classes is not None:
        if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= len(classes):
            raise UserError(f"{path}: {name} must number the {len(classes)} names in class_name, from 0 on")
        labels = classes[labels]
    splits = arrays.get("split", np.full(len(frames), ""))
    names = [f"{path}[{number}]" for number in range(len(frames))]
    return [
        Row(Frames(clip, rate, name), str(label), _split(str(split), name), name)
        for clip, label, split, name in zip(frames, labels, splits, names, strict=True)
    ]
