"""Labelled images from whatever a source is: which splits it marks, their stores, labels and classes.

    found = read_source("flowers/")
    found.parts["train"].store, found.parts["train"].labels, found.classes

Labels are brought to 0 ... K - 1 over all splits; a label out of range and a class without an image are errors.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from seqsuite.errors import UserError, suggest
from seqvision.data import images_arrays as arrays
from seqvision.data.images_convert import SUFFIXES
from seqvision.data.images_stores import ArrayStore, FileStore, ImageStore

NAMED = {"digits": arrays.read_digits, "fashion_mnist": arrays.read_fashion}
"""Sources that are names."""
SPLITS = {
    "train": "train",
    "training": "train",
    "val": "valid",
    "valid": "valid",
    "validation": "valid",
    "test": "test",
}
VERIFIED = 5000
"""Up to so many files are decoded at once, so that damage is found before the first step."""


@dataclass(frozen=True)
class Part:
    """One split as the source has it.

    Attributes:
        store: The images.
        labels: (n,) int64, indices of classes.
    """

    store: ImageStore = field(repr=False)
    labels: np.ndarray = field(repr=False)


@dataclass(frozen=True)
class Found:
    """What a source holds.

    Attributes:
        source: As it was given.
        parts: "train", "valid", "test", or "all" where the source marks no splits.
        classes: Names of the classes.
        skipped: Images that cannot be read, and why.
        notes: Lines for the report.
    """

    source: str
    parts: dict[str, Part]
    classes: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    def fingerprint(self) -> str:
        """Return the SHA-256 of images, labels and classes."""
        digest = hashlib.sha256("\0".join(self.classes).encode())
        for name, part in sorted(self.parts.items()):
            digest.update(name.encode() + part.store.fingerprint() + part.labels.tobytes())
        return digest.hexdigest()


def read_source(
    source: str | Path, *, image_column: str = "image", label_column: str = "label", skip: bool = False
) -> Found:
    """Read labelled images.

    Args:
        source: See `VisionTrainConfig`.
        image_column: Of .parquet files.
        label_column: Of .parquet files.
        skip: Leave out images that cannot be read, and list them.

    Raises:
        UserError: There is no such source, or something in it; the line names the file.
    """
    if str(source) in NAMED:
        return _from_arrays(str(source), *NAMED[str(source)]())
    path = Path(os.path.expanduser(source))
    if not path.exists():
        raise UserError(f"{path}: there is no such file or folder.{suggest(str(source), NAMED)}")
    if path.is_dir() and arrays.idx_files(path):
        return _from_arrays(str(source), *arrays.read_idx(path))
    if path.is_dir() and not any(path.rglob("*.parquet")):
        return read_folder(path, skip=skip)
    if path.is_dir() or path.suffix == ".parquet":
        from seqvision.data.images_parquet import read_parquet

        return read_parquet(path, image_column=image_column, label_column=label_column, skip=skip)
    if path.suffix == ".npz":
        return _from_arrays(str(source), *arrays.read_npz(path))
    raise UserError(f"{path}: is no folder, .npz or .parquet file; give one of them, or {' or '.join(NAMED)}")


def _from_arrays(source: str, parts: Mapping[str, arrays.Part], classes: Sequence[str]) -> Found:
    labels, names = index_labels({name: part[1] for name, part in parts.items()}, classes, source)
    stores = {name: ArrayStore(part[0], f"{source} {name}") for name, part in parts.items()}
    sizes = {store.size or () for store in stores.values()}
    if len(sizes) > 1:
        raise UserError(f"{source}: its splits have images of different sizes: {', '.join(map(str, sorted(sizes)))}")
    return Found(source, {name: Part(store, labels[name]) for name, store in stores.items()}, names)


def index_labels(
    labels: Mapping[str, np.ndarray], classes: Sequence[str], source: str
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Bring labels to 0 ... K - 1 over all splits.

    Args:
        labels: Split -> numbers or text, one a row.
        classes: Names that numbers index; empty: the labels themselves, sorted, are the classes.
        source: For messages.

    Returns:
        Split -> (n,) int64, and the names of the classes.

    Raises:
        UserError: A label is out of range, a class has no image, or a class is not in the training split.
    """
    every = np.unique(np.concatenate(list(labels.values())))
    if not len(classes):
        names = tuple(str(value) for value in every)
        found = {split: np.searchsorted(every, values).astype(np.int64) for split, values in labels.items()}
    elif every.dtype.kind in "US":
        names = tuple(classes)
        index = {name: number for number, name in enumerate(names)}
        for split, values in labels.items():
            row = next((number for number, value in enumerate(values) if str(value) not in index), None)
            if row is not None:
                raise UserError(f"{source}: row {row} of {split} is of class {str(values[row])!r}, which is not named")
        found = {split: np.array([index[str(value)] for value in values]) for split, values in labels.items()}
    else:
        names = tuple(classes)
        for split, values in labels.items():
            bad = np.flatnonzero((values < 0) | (values >= len(names)))
            if len(bad):
                raise UserError(
                    f"{source}: label {values[bad[0]]} of row {bad[0]} of {split} is out of range; {len(names)} "
                    "classes are named"
                )
        found = {split: values.astype(np.int64) for split, values in labels.items()}
    return found, names


def check_classes(found: Found) -> None:
    """Refuse what no classifier can be trained on; a trained one may be measured on it.

    Raises:
        UserError: There are fewer than two classes, or one has no image to train on.
    """
    names = found.classes
    if len(names) < 2:
        raise UserError(f"{found.source}: has one class only ({names[0] if names else 'none'}); a classifier needs two")
    trained = found.parts.get("train", found.parts.get("all"))
    if trained is None:
        return
    counts = np.bincount(trained.labels, minlength=len(names))
    if not counts.all():
        raise UserError(f"{found.source}: class {names[int(counts.argmin())]!r} has no image to train on")


def read_folder(path: Path, *, skip: bool = False) -> Found:
    """Read a folder of one folder a class, perhaps within folders of splits.

    Raises:
        UserError: No classes, a class without images, a class that only one split has, or an image.
    """
    below = {entry.name: entry for entry in sorted(path.iterdir()) if _is_folder(entry)}
    splits = {SPLITS[name.lower()]: entry for name, entry in below.items() if name.lower() in SPLITS}
    if "train" not in splits:
        splits = {"all": path}
    elif len(splits) == 1:
        splits = {"all": splits["train"]}
    files = {split: _class_files(folder) for split, folder in splits.items()}
    first = "train" if "train" in files else "all"
    classes = tuple(files[first])
    for split, found in files.items():
        strange = [name for name in found if name not in classes]
        if strange:
            raise UserError(f"{splits[split] / strange[0]}: is a class that {splits[first]} does not have")
    parts, skipped = {}, []
    count = sum(len(paths) for found in files.values() for paths in found.values())
    for split, found in files.items():
        paths = [file for label in found for file in found[label]]
        labels = np.repeat([classes.index(label) for label in found], [len(found[label]) for label in found])
        store = FileStore(paths, path, verify=skip or count <= VERIFIED, skip=skip)
        parts[split] = Part(store, labels[store.rows].astype(np.int64))
        skipped += store.skipped
    return Found(str(path), parts, classes, tuple(skipped))


def _class_files(folder: Path) -> dict[str, list[Path]]:
    """Return class -> its image files, both sorted."""
    found = {}
    for entry in sorted(folder.iterdir()):
        if _is_folder(entry):
            files = image_files(entry)
            if not files:
                raise UserError(
                    f"{entry}: the class has no image ({', '.join(SUFFIXES[:4])}, ...); add some or remove it"
                )
            found[entry.name] = files
    if not found:
        loose = image_files(folder)
        what = f"{len(loose)} images that are in no class's folder" if loose else "no images"
        raise UserError(f"{folder}: holds {what}; labelled images lie in one folder a class")
    return found


def image_files(folder: Path) -> list[Path]:
    """Return the image files below a folder, sorted; hidden ones are left out.

    Raises:
        UserError: The folder cannot be read.
    """
    try:
        found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    except OSError as error:
        raise UserError(f"cannot read {folder}: {error.strerror or error}") from error
    return [path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def _is_folder(entry: Path) -> bool:
    return entry.is_dir() and not entry.name.startswith((".", "__"))
