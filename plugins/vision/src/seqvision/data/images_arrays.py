"""Images that come as arrays: idx files with MNIST's names, .npz archives, scikit-learn's digits, Fashion-MNIST.

    parts, classes = read_idx(folder)           # {"train": (array, labels), "test": ...}, ("0", "1", ...)

Levels become 8 bits: bytes stay; booleans are black and white; other numbers are taken as 0 to 255 where they are whole
and fit, as 0 to 1 where they lie within, and are refused otherwise. Labels are the numbers or names of the file.
"""

from __future__ import annotations

import gzip
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from seqsuite.errors import UserError

Part = tuple[np.ndarray, np.ndarray]
"""Images (n, H, W[, C]) uint8 and labels (n,) as the file has them: numbers or text."""

FASHION_FOLDER = Path("/usr/share/datasets/fashion-mnist")
FASHION_CLASSES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
_IDX_SPLITS = {"train": "train", "t10k": "test", "test": "test"}
_IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_SPLIT_NAMES = {"train": "train", "valid": "valid", "val": "valid", "validation": "valid", "test": "test"}
_IMAGES, _LABELS = ("x", "images", "image", "data"), ("y", "labels", "label", "target", "targets")
_CLASS_NAMES = ("class_name", "class_names", "classes", "label_names", "target_names")


def read_digits() -> tuple[dict[str, Part], tuple[str, ...]]:
    """Return scikit-learn's 1,797 digits of 8 x 8 pixels; their 17 levels are spread over 8 bits."""
    from sklearn.datasets import load_digits

    found = load_digits()
    return {"all": (np.round(found.images * (255 / 16)).astype(np.uint8), found.target)}, tuple("0123456789")


def read_fashion() -> tuple[dict[str, Part], tuple[str, ...]]:
    """Return Fashion-MNIST from where Debian's package puts it.

    Raises:
        UserError: It is not installed.
    """
    if not FASHION_FOLDER.is_dir():
        raise UserError(
            f"fashion_mnist: there is no {FASHION_FOLDER}; install Debian's package dataset-fashion-mnist, or give the "
            "folder of its four .gz files"
        )
    return read_idx(FASHION_FOLDER)[0], FASHION_CLASSES


def idx_files(folder: Path) -> dict[str, dict[str, Path]]:
    """Return the idx files of a folder: split -> {"images": path, "labels": path}."""
    found: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.iterdir()):
        stem = path.name.removesuffix(".gz").replace(".", "-")
        for prefix, split in _IDX_SPLITS.items():
            for what, dims in (("images", 3), ("labels", 1)):
                if stem == f"{prefix}-{what}-idx{dims}-ubyte":
                    found.setdefault(split, {})[what] = path
    return found


def read_idx(folder: Path) -> tuple[dict[str, Part], tuple[str, ...]]:
    """Read the idx files of a folder, gzipped or not.

    Raises:
        UserError: A file is missing or damaged, or images and labels differ in number.
    """
    parts = {}
    for split, files in idx_files(folder).items():
        for what in ("images", "labels"):
            if what not in files:
                raise UserError(f"{folder}: has no {what} for {split} beside {next(iter(files.values())).name}")
        images, labels = read_idx_file(files["images"]), read_idx_file(files["labels"])
        parts[split] = _checked(images, labels, str(files["images"]), str(files["labels"]))
    return parts, ()


def read_idx_file(path: Path) -> np.ndarray:
    """Read one idx file, gzipped or not.

    Raises:
        UserError: It is damaged or no idx file.
    """
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: is damaged or cannot be read ({error})") from error
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in _IDX_TYPES:
        raise UserError(f"{path}: is no idx file (its first bytes are {data[:4].hex(' ')})")
    kind, ndim = np.dtype(_IDX_TYPES[data[2]]), data[3]
    shape = struct.unpack_from(f">{ndim}I", data, 4) if len(data) >= 4 + 4 * ndim else ()
    body = data[4 + 4 * ndim :]
    if not shape or int(np.prod(shape, dtype=object)) * kind.itemsize != len(body):
        raise UserError(f"{path}: is damaged (it promises {shape} {kind.name} and holds {len(body)} bytes)")
    return np.frombuffer(body, kind).reshape(shape)


def read_npz(path: Path) -> tuple[dict[str, Part], tuple[str, ...]]:
    """Read an .npz file with x and y (or images and labels, data and target), perhaps for each split.

    Keys of splits are x_train, train_x, train_images, ... A key class_name, classes or label_names names the classes.

    Raises:
        UserError: It is damaged, has other keys, or its arrays do not fit together.
    """
    arrays = _arrays(path)
    parts, used = {}, set()
    for name, key in _pairs(arrays).items():
        used |= set(key)
        parts[name] = _checked(arrays[key[0]], arrays[key[1]], f"{path}: {key[0]}", f"{path}: {key[1]}")
    if not parts:
        known = ", ".join(sorted(arrays)) or "none"
        raise UserError(
            f"{path}: has the keys {known}; needed are x and y, images and labels, or x_train, y_train, ..."
        )
    if len(parts) > 1:
        parts.pop("all", None)
    named = next((arrays[name] for name in _CLASS_NAMES if name in arrays and name not in used), None)
    return parts, () if named is None else tuple(str(name) for name in named.ravel())


def read_images(path: Path) -> np.ndarray:
    """Read the images of an .npz file, labelled or not: x, images or data, or its only array.

    Raises:
        UserError: It is damaged, or has none of these keys.
    """
    arrays = _arrays(path)
    key = next((name for name in _IMAGES if name in arrays), None)
    if key is None and len(arrays) == 1:
        key = next(iter(arrays))
    if key is None:
        raise UserError(f"{path}: has the keys {', '.join(sorted(arrays)) or 'none'}; images are under x or images")
    return arrays[key]


def _arrays(path: Path) -> dict[str, np.ndarray]:
    if path.is_file() and not zipfile.is_zipfile(path):
        raise UserError(f"{path}: is no .npz file, or cut off")  # NumPy would take it for pickled objects
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except ValueError as error:
        if "pickle" in str(error):
            raise UserError(
                f"{path}: holds an array of Python objects, as images of unequal sizes make; save images of one size"
            ) from error
        raise UserError(f"{path}: is damaged ({error})") from error
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, AttributeError, TypeError) as error:
        raise UserError(f"{path}: is no .npz file, or damaged ({' '.join(str(error).split())})") from error


def _pairs(arrays: Mapping[str, np.ndarray]) -> dict[str, tuple[str, str]]:
    """Return split -> (key of images, key of labels)."""

    def key(names: tuple[str, ...], split: str) -> str | None:
        spelled = (form for name in names for form in ((f"{name}_{split}", f"{split}_{name}") if split else (name,)))
        return next((name for name in spelled if name in arrays), None)

    found = {}
    for spelling, split in (("", "all"), *_SPLIT_NAMES.items()):
        images, labels = key(_IMAGES, spelling), key(_LABELS, spelling)
        if images and labels:
            found[split] = (images, labels)
    return found


def _checked(images: np.ndarray, labels: np.ndarray, image_name: str, label_name: str) -> Part:
    if images.ndim not in (3, 4) or not len(images) or 0 in images.shape:
        raise UserError(f"{image_name}: must be (n, height, width) or (n, height, width, channels), not {images.shape}")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.shape != (len(images),):
        raise UserError(f"{label_name}: has shape {labels.shape}, for {len(images)} images")
    if images.ndim == 4 and images.shape[1] in (1, 3) and images.shape[3] not in (1, 3, 4):
        images = np.moveaxis(images, 1, 3)  # channels first
    return eight_bit(images, image_name), _whole(labels, label_name)


def _whole(labels: np.ndarray, name: str) -> np.ndarray:
    if labels.dtype.kind in "US":
        return labels.astype(str)
    bad = np.flatnonzero(labels != np.floor(labels)) if labels.dtype.kind == "f" else np.zeros(0, dtype=int)
    if labels.dtype.kind not in "iufb" or len(bad):
        where = f" (row {bad[0]} is {labels[bad[0]]})" if len(bad) else ""
        raise UserError(f"{name}: labels must be whole numbers or text, not {labels.dtype}{where}")
    return labels.astype(np.int64)


def eight_bit(images: np.ndarray, name: str) -> np.ndarray:
    """Return images as uint8, by the policy above.

    Raises:
        UserError: Their range is neither 0 to 255 in whole numbers nor 0 to 1, or some are not finite.
    """
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind not in "biuf":
        raise UserError(f"{name}: holds {images.dtype}, which are no pixels")
    if images.dtype.kind == "f" and not np.isfinite(images).all():
        row = int(np.argwhere(~np.isfinite(images))[0][0])
        raise UserError(f"{name}: image {row} holds numbers that are not finite")
    least, most = float(images.min()), float(images.max())
    if images.dtype.kind == "b" or (images.dtype.kind == "f" and 0 <= least and most <= 1):
        return np.round(images.astype(np.float64) * 255).astype(np.uint8)
    if images.dtype == np.uint16 and most > 255:
        return np.round(images / 257).astype(np.uint8)
    if 0 <= least and most <= 255 and (images.dtype.kind in "iu" or not (images % 1).any()):
        return images.astype(np.uint8)
    raise UserError(f"{name}: levels go from {least:g} to {most:g}; give 0 to 255, 0 to 1, or 16 bits as uint16")
