"""Composed sets with masks: real objects, tinted and pasted with their own masks over patches of real photographs.

    found = composed("composed_digits", seed=0, size=64)

composed_digits has scikit-learn's handwritten digits, composed_garments the garments of Fashion-MNIST; the photographs
are scikit-learn's china.jpg and flower.jpg. The pictures are composed, not photographed: a score on them says that a
model segments, not how well it would segment photographs. Training, validation and test have different objects and
different regions of the photographs. Every picture is a pure function of (seed, part, index).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from seqsuite.data.order import item_rng
from seqsuite.errors import UserError
from seqvision.data.images_arrays import read_digits, read_fashion
from seqvision.data.masks import FoundMasks, Pair

COMPOSED = ("composed_digits", "composed_garments")
_LEVEL = 40
"""Pixels of an object above this level of 255 are the object."""
_OBJECTS = 2
_COUNTS = {"train": 4000, "valid": 200, "test": 400}
_REGIONS = {"train": (0.0, 0.7), "valid": (0.7, 0.85), "test": (0.85, 1.0)}
"""Where a part's patches lie, in shares of a photograph's width."""


@dataclass(frozen=True)
class ComposedMasks:
    """Pictures of one part, composed when they are asked for.

    Attributes:
        objects: (n, h, w) uint8, dark around the object.
        labels: (n,) classes of the objects, from 1; 0 is the background.
        photos: (H, W, 3) uint8 each.
        part: train, valid or test.
        seed: Of the pictures.
        size: Their side.
        source: The set's name.
    """

    objects: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    photos: tuple[np.ndarray, ...] = field(repr=False)
    part: str
    seed: int
    size: int
    source: str

    def __len__(self) -> int:
        return _COUNTS[self.part]

    def name(self, index: int) -> str:
        """Return set, part and index."""
        return f"{self.source}, {self.part} picture {index}"

    def __getitem__(self, index: int) -> Pair:
        if not 0 <= index < len(self):
            raise IndexError(index)
        rng = item_rng(self.seed, index, list(_COUNTS).index(self.part))
        picture = self._patch(rng).astype(np.float32)
        mask = np.zeros((self.size, self.size), np.int64)
        for _ in range(int(rng.integers(1, _OBJECTS + 1))):
            self._paste(picture, mask, rng)
        return picture.round().clip(0, 255).astype(np.uint8), mask

    def _patch(self, rng: np.random.Generator) -> np.ndarray:
        """Cut a square of the part's region and bring it to the size."""
        photo = self.photos[int(rng.integers(len(self.photos)))]
        first, last = (round(share * photo.shape[1]) for share in _REGIONS[self.part])
        side = int(rng.integers(min(48, last - first), min(last - first, photo.shape[0]) + 1))
        top, left = int(rng.integers(photo.shape[0] - side + 1)), int(rng.integers(first, last - side + 1))
        cut = Image.fromarray(photo[top : top + side, left : left + side])
        return np.asarray(cut.resize((self.size, self.size), Image.Resampling.BILINEAR))

    def _paste(self, picture: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> None:
        """Paste one object of a random size, place and colour into the picture and the mask."""
        which = int(rng.integers(len(self.objects)))
        side = int(rng.integers(self.size * 3 // 8, self.size * 3 // 4 + 1))
        sized = Image.fromarray(self.objects[which]).resize((side, side), Image.Resampling.BILINEAR)
        levels = np.asarray(sized).astype(np.float32)
        top, left = (int(rng.integers(self.size - side + 1)) for _ in range(2))
        place = np.s_[top : top + side, left : left + side]
        inside = levels > _LEVEL
        tint = rng.uniform(0.2, 1.0, 3).astype(np.float32)
        # Texture alone must not give an object away by its brightness: its levels reach from dark to light.
        colour = (rng.uniform(0, 120) + levels[..., None] * rng.uniform(0.3, 1.0)) * tint
        picture[place][inside] = colour[inside]
        mask[place][inside] = self.labels[which]


def composed(name: str, *, seed: int, size: int) -> FoundMasks:
    """Open a composed set.

    Raises:
        UserError: scikit-learn or Fashion-MNIST is not installed, or the size is too small.
    """
    if size < 16:
        raise UserError(f"{name}: pictures of {size} pixels are too small; give at least 16")
    objects, labels, classes = _objects(name)
    photos = _photographs(name)
    owner = np.random.default_rng(1).permutation(len(objects))
    ends = np.cumsum([round(len(objects) * share) for share in (0.7, 0.15)])
    pools = dict(zip(_COUNTS, np.split(owner, ends), strict=True))
    parts = {
        part: ComposedMasks(objects[rows], labels[rows] + 1, photos, part, seed, size, name)
        for part, rows in pools.items()
    }
    digest = hashlib.sha256(repr((name, seed, size)).encode() + objects.tobytes() + photos[0].tobytes())
    note = "Composed pictures: real objects pasted with their own masks over patches of real photographs."
    return FoundMasks(parts, ("background", *classes), digest.hexdigest(), (note,))


def _objects(name: str) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    found, classes = read_digits() if name == "composed_digits" else read_fashion()
    images = np.concatenate([part[0] for part in found.values()])
    labels = np.concatenate([part[1] for part in found.values()]).astype(np.int64)
    return images, labels, classes


def _photographs(name: str) -> tuple[np.ndarray, ...]:
    try:
        from sklearn.datasets import load_sample_images
    except ImportError as error:
        raise UserError(f"{name} needs scikit-learn: pip install scikit-learn") from error
    return tuple(np.asarray(image) for image in load_sample_images().images)
