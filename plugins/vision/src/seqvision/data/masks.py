"""Images with a class for every pixel: folders, .npz archives, and sets composed of real objects on real photos.

    found = open_masks("pictures", classes=("background", "cat"), ignore=255)
    image, mask = found.parts["all"][0]              # (H, W, 3) uint8, (H, W) int64

A folder has `images/` and `masks/` (or the flag `--masks` names the masks' folder); a mask has its image's stem and its
pixels are class numbers, in one channel or a palette. An archive has `x` (n, H, W[, 3]) and `mask` (n, H, W), with an
optional `split`. The composed sets are in `masks_composed`.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from seqsuite.errors import UserError
from seqvision.data.images_convert import ADVICE, SUFFIXES, decode, opened

Pair = tuple[np.ndarray, np.ndarray]
"""An image (H, W, 3) uint8 and its mask (H, W) int64."""
_MASK_MODES = ("L", "P", "1", "I", "I;16", "I;16B", "I;16L", "I;16N")
_MOST_CLASSES = 1024


class MaskStore(Protocol):
    """Images with masks, by index."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Pair:
        """Return the image (H, W, 3) uint8 and the mask (H, W) int64 of an index."""
        ...

    def name(self, index: int) -> str:
        """Return what a message calls an index."""
        ...


@dataclass(frozen=True)
class FileMasks:
    """Image files with mask files.

    Attributes:
        images: Paths.
        masks: Paths, in the same order.
    """

    images: tuple[Path, ...]
    masks: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Pair:
        picture = read_picture(self.images[index])
        mask = read_mask(self.masks[index])
        if mask.shape != picture.shape[:2]:
            sizes = ["x".join(map(str, shape[::-1])) for shape in (mask.shape, picture.shape[:2])]
            raise UserError(
                f"{self.masks[index]}: is {sizes[0]} pixels, its image {self.images[index].name} {sizes[1]}"
            )
        return picture, mask

    def name(self, index: int) -> str:
        """Return the mask's path."""
        return str(self.masks[index])


@dataclass(frozen=True)
class ArrayMasks:
    """Rows of an archive.

    Attributes:
        images: (n, H, W, 3) uint8.
        masks: (n, H, W) integers.
        source: The file.
        rows: The file's rows that these are.
    """

    images: np.ndarray = field(repr=False)
    masks: np.ndarray = field(repr=False)
    source: str
    rows: np.ndarray = field(repr=False)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Pair:
        row = self.rows[index]
        return self.images[row], self.masks[row].astype(np.int64)

    def name(self, index: int) -> str:
        """Return file and row."""
        return f"{self.source}, row {self.rows[index]}"


@dataclass(frozen=True)
class FoundMasks:
    """What a source holds.

    Attributes:
        parts: "train", "valid", "test", or "all" where the source marks no splits.
        classes: Names of the classes.
        fingerprint: SHA-256 of what it is.
        notes: Lines for the report.
    """

    parts: Mapping[str, MaskStore]
    classes: tuple[str, ...]
    fingerprint: str
    notes: tuple[str, ...] = ()


def open_masks(
    source: str, *, masks: str = "", classes: Sequence[str] = (), ignore: int = 255, seed: int = 0, size: int = 64
) -> FoundMasks:
    """Open a source of images with masks, and check every label.

    Args:
        source: A folder, a .npz file, composed_digits or composed_garments.
        masks: The masks' folder; empty: `masks/` beside `images/` in the source.
        classes: Names of the classes 0, 1, ...; empty: numbers up to the largest label.
        ignore: The label of pixels that do not count.
        seed: Of the composed sets.
        size: Side of the composed images.

    Raises:
        UserError: The source, a file, or a label; one line names it.
    """
    from seqvision.data.masks_composed import COMPOSED, composed

    if masks and (source in COMPOSED or source.endswith(".npz")):
        raise UserError(f"--masks {masks}: {source} has its own masks; leave it out")
    if source in COMPOSED:
        if classes:
            raise UserError(f"--classes: {source} names its classes itself; leave it out")
        return composed(source, seed=seed, size=size)
    path = Path(source).expanduser()
    if path.suffix == ".npz":
        parts = read_archive(path)
    elif path.is_dir():
        parts = {"all": read_folders(path, Path(masks).expanduser() if masks else None)}
    else:
        what = "is no folder and no .npz file" if path.exists() else "there is no such file or folder"
        raise UserError(f"{source}: {what}; give a folder, a .npz file, or one of {', '.join(COMPOSED)}")
    names, digest = _checked(parts, tuple(classes), ignore, source)
    return FoundMasks(parts, names, digest)


def read_folders(folder: Path, masks: Path | None) -> FileMasks:
    """Pair the images of a folder with masks of the same stem.

    Raises:
        UserError: A folder is missing or empty, or an image has no mask or several.
    """
    images = folder if masks is not None else folder / "images"
    masks = folder / "masks" if masks is None else masks
    for path in (images, masks):
        if not path.is_dir():
            raise UserError(f"{path}: there is no such folder; give SOURCE/images and SOURCE/masks, or --masks FOLDER")
    pictures = image_files(images)
    if not pictures:
        raise UserError(f"{images}: holds no images ({', '.join(SUFFIXES)})")
    known = masks_by_stem(masks)
    for path in pictures:
        if path.stem not in known:
            raise UserError(f"{path}: has no mask {masks / path.stem}.png")
    return FileMasks(tuple(pictures), tuple(known[path.stem] for path in pictures))


def masks_by_stem(folder: Path) -> dict[str, Path]:
    """Return stem -> mask of a folder.

    Raises:
        UserError: Two have one stem.
    """
    known: dict[str, Path] = {}
    for path in image_files(folder):
        if path.stem in known:
            raise UserError(f"{path} and {known[path.stem].name} are masks of one image; remove one")
        known[path.stem] = path
    return known


def image_files(folder: Path) -> list[Path]:
    """Return the images of a folder in the order of their names; hidden files are none."""
    return sorted(
        path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    )


def read_picture(path: Path) -> np.ndarray:
    """Read an image of any mode (H, W, 3) uint8, see `images_convert`.

    Raises:
        UserError: It cannot be read.
    """
    with _without_flag():
        return np.asarray(decode(str(path), 3, str(path)))


@contextmanager
def _without_flag() -> Iterator[None]:
    """Leave out the advice of a flag that classification has and segmentation has not."""
    try:
        yield
    except UserError as error:
        raise UserError(str(error).removesuffix(ADVICE)) from error


def read_mask(path: Path) -> np.ndarray:
    """Read a mask (H, W) int64: numbers of one channel, or indices of a palette.

    Raises:
        UserError: It cannot be read, or is a colour image.
    """
    with _without_flag(), opened(path, str(path)) as image:
        if image.mode not in _MASK_MODES:
            raise UserError(
                f"{path}: is a colour image ({image.mode}); a mask holds class numbers in one channel or a palette"
            )
        return np.asarray(image).astype(np.int64)


def read_archive(path: Path) -> dict[str, MaskStore]:
    """Read a .npz file with `x`, `mask` and, optionally, `split`.

    Raises:
        UserError: It cannot be read, or the arrays are missing or do not fit.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in ("x", "mask", "split") if name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise UserError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    missing = [name for name in ("x", "mask") if name not in arrays]
    if missing:
        raise UserError(f"{path}: has no array {missing[0]!r}; it takes x (n, H, W[, 3]) and mask (n, H, W)")
    images, masks = arrays["x"], arrays["mask"]
    if images.ndim == 3:
        images = np.repeat(images[..., None], 3, -1)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
        raise UserError(f"{path}: x must be (n, H, W) or (n, H, W, 3) of uint8, not {arrays['x'].shape} {images.dtype}")
    if masks.dtype.kind not in "iu" or masks.shape != images.shape[:3]:
        raise UserError(f"{path}: mask must be whole numbers {images.shape[:3]}, not {masks.shape} {masks.dtype}")
    split = arrays.get("split", np.full(len(images), "all"))
    unknown = set(map(str, split.ravel())) - {"train", "valid", "test", "all"}
    if split.shape != (len(images),) or unknown:
        raise UserError(f"{path}: split must hold train, valid or test for each of the {len(images)} rows")
    names = [name for name in ("train", "valid", "test", "all") if (split == name).any()]
    return {name: ArrayMasks(images, masks, str(path), np.flatnonzero(split == name)) for name in names}


def _checked(
    parts: Mapping[str, MaskStore], classes: tuple[str, ...], ignore: int, source: str
) -> tuple[tuple[str, ...], str]:
    """Look at every mask; return the classes' names and a fingerprint."""
    digest, seen = hashlib.sha256(), set[int]()
    most = len(classes) or _MOST_CLASSES
    for part, store in parts.items():
        for index in range(len(store)):
            image, mask = store[index]
            digest.update(part.encode() + image.tobytes() + mask.tobytes())
            labels = np.unique(mask)
            labels = labels[labels != ignore]
            bad = labels[(labels < 0) | (labels >= most)]
            if len(bad):
                known = f"the {most} classes end at {most - 1}"
                raise UserError(f"{store.name(index)}: has the label {bad[0]}; {known}, and --ignore is {ignore}")
            seen.update(labels.tolist())
    if not seen:
        raise UserError(f"{source}: no mask has a label other than --ignore {ignore}")
    if len(seen) == 1:
        raise UserError(f"{source}: the masks have the label {seen.pop()} alone; there must be two to tell apart")
    names = classes or tuple(str(number) for number in range(max(seen) + 1))
    digest.update(repr((names, ignore)).encode())
    return names, digest.hexdigest()
