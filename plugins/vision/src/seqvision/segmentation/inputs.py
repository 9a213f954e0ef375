"""What a segmentation run reads: the parts of a source, training samples by position, pictures at the model's size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from seqsuite.data.order import ShuffledOrder, item_rng
from seqsuite.errors import UserError
from seqvision.configs.segment_train import SegmentTrainConfig
from seqvision.data.masks import FoundMasks, MaskStore, Pair, open_masks

_VIEW = 17


@dataclass(frozen=True)
class Part:
    """Some of the images of a store.

    Attributes:
        store: All of them.
        rows: Which.
    """

    store: MaskStore
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Pair:
        return self.store[int(self.rows[index])]


def open_parts(config: SegmentTrainConfig) -> tuple[FoundMasks, Mapping[str, Part]]:
    """Open the source and split what it does not split itself.

    Raises:
        UserError: The source, or too few images.
    """
    found = open_masks(
        config.source,
        masks=config.masks,
        classes=config.classes,
        ignore=config.ignore,
        seed=config.seed,
        size=max(config.size),
    )
    parts = {name: Part(store, np.arange(len(store))) for name, store in found.parts.items()}
    if "all" in parts:
        whole = parts.pop("all")
        parts |= _split(whole, config)
    if "valid" not in parts and "train" in parts:
        whole = parts["train"]
        order = np.random.default_rng(config.seed).permutation(len(whole))
        count = max(1, round(len(whole) * config.valid_fraction))
        parts["valid"] = Part(whole.store, whole.rows[np.sort(order[:count])])
        parts["train"] = Part(whole.store, whole.rows[np.sort(order[count:])])
    for name in ("train", "valid", "test"):
        if name not in parts or not len(parts[name]):
            raise UserError(f"{config.source}: has no images for the part {name!r}; it needs at least three images")
    return found, parts


def _split(whole: Part, config: SegmentTrainConfig) -> dict[str, Part]:
    order = np.random.default_rng(config.seed).permutation(len(whole))
    counts = [max(1, round(len(whole) * share)) for share in (config.test_fraction, config.valid_fraction)]
    cut = np.split(order, np.cumsum(counts))
    names = ("test", "valid", "train")
    return {name: Part(whole.store, whole.rows[np.sort(rows)]) for name, rows in zip(names, cut, strict=True)}


def to_input(picture: np.ndarray) -> Tensor:
    """Return a picture (H, W, 3) uint8 as (3, H, W) float32 from 0 to 1."""
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255


def resized(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return a picture (H, W, 3) at a size (height, width), bilinear."""
    if picture.shape[:2] == tuple(size):
        return picture
    return np.asarray(Image.fromarray(picture).resize((size[1], size[0]), Image.Resampling.BILINEAR))


def resized_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return a mask (H, W) at a size (height, width): the label of the nearest pixel."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.int64) for new, old in zip(size, mask.shape, strict=True)
    )
    return mask[rows[:, None], columns[None]]


class Masked(Dataset[dict[str, Tensor]]):
    """Positions to {"image": (3, H, W), "mask": (H, W)} at the model's size.

    Args:
        part: The images.
        config: Size, flips, crops and the seed.
        train: Shuffled without end, with flips and crops; else in order.
    """

    def __init__(self, part: Part, config: SegmentTrainConfig, *, train: bool) -> None:
        self.part, self.config = part, config
        self.order = ShuffledOrder(len(part), config.seed) if train else None

    def __len__(self) -> int:
        if self.order is not None:
            raise TypeError("the order of training has no end")
        return len(self.part)

    def __getitem__(self, position: int) -> dict[str, Tensor]:
        if self.order is None:
            picture, mask = self.part[position]
        else:
            picture, mask = self._view(*self.part[self.order.locate(position)[1]], position)
        size = self.config.size
        return {
            "image": to_input(resized(np.ascontiguousarray(picture), size)),
            "mask": torch.from_numpy(np.ascontiguousarray(resized_mask(mask, size))),
        }

    def _view(self, picture: np.ndarray, mask: np.ndarray, position: int) -> Pair:
        rng = item_rng(self.config.seed, position, _VIEW)
        share = rng.uniform(self.config.crop, 1.0)
        height, width = (max(1, round(length * share)) for length in mask.shape)
        top, left = int(rng.integers(mask.shape[0] - height + 1)), int(rng.integers(mask.shape[1] - width + 1))
        place = np.s_[top : top + height, left : left + width]
        turn = -1 if self.config.flip and rng.random() < 0.5 else 1
        return picture[place][:, ::turn], mask[place][:, ::turn]
