"""What becomes of an image before the model: timm's transforms, and the one place where they draw random numbers.

timm and torchvision draw from Python's, NumPy's and PyTorch's global generators. `seeded` sets them for one item from
its own seed and puts them back, so that what is drawn is a function of the seed and the item alone, in any worker.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from timm.data import create_transform
from timm.data.transforms import str_to_interp_mode
from torchvision import transforms

from seqsuite.errors import UserError

if TYPE_CHECKING:
    from seqvision.configs.train import VisionTrainConfig

SMALL = 64
"""Largest side of images that are cropped from a padded image rather than resized at random."""

Transform = Callable[[Any], torch.Tensor]


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Set the global generators of the CPU for a block, and put them back after it.

    Args:
        seed: 64 bits.
    """
    states = random.getstate(), np.random.get_state(), torch.default_generator.get_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)  # noqa: NPY002
    torch.default_generator.manual_seed(seed >> 1)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.default_generator.set_state(states[2])


@dataclass(frozen=True)
class Preprocess:
    """How an image becomes an input.

    Attributes:
        size: (H, W).
        channels: C.
        mean: Of each channel, on a scale of 0 to 1.
        std: Deviation of each channel.
        interpolation: How it is resized.
        crop_pct: Share of the resized image that the centre crop keeps.
        crop_mode: "center", "squash" or "border".
    """

    size: tuple[int, int]
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bicubic"
    crop_pct: float = 1.0
    crop_mode: str = "center"

    def _common(self) -> dict[str, Any]:
        return {
            "input_size": (self.channels, *self.size),
            "interpolation": self.interpolation,
            "mean": self.mean,
            "std": self.std,
        }

    def scoring(self) -> Transform:
        """Return timm's evaluation transform: resize, centre crop, normalise."""
        made: Transform = create_transform(**self._common(), crop_pct=self.crop_pct, crop_mode=self.crop_mode)
        return made

    def training(self, config: VisionTrainConfig) -> Transform:
        """Return the random transform that the options ask for.

        Raises:
            UserError: timm refuses an option, or the images have no colours to change.
        """
        kind = config.augment
        if kind == "auto":
            kind = "small" if max(self.size) <= SMALL else "timm"
        if kind == "none":
            return self.scoring()
        picture = self.channels in (1, 3)
        if config.aa and not picture:
            raise UserError(f"--aa {config.aa}: automatic augmentation needs 1 or 3 channels, not {self.channels}")
        try:
            primary, secondary, final = create_transform(
                **self._common(),
                is_training=True,
                separate=True,
                scale=config.scale,
                ratio=config.ratio,
                hflip=_mirror(config),
                vflip=config.vflip,
                color_jitter=config.color_jitter if picture else 0.0,
                auto_augment=config.aa or None,
                re_prob=config.reprob,
                re_mode=config.remode,
                re_count=config.recount,
            )
        except (AssertionError, ValueError, KeyError, IndexError) as error:
            raise UserError(f"--aa {config.aa}: timm does not take it ({' '.join(str(error).split())})") from error
        if kind == "small":
            primary = self._small(config)
        return transforms.Compose([primary, secondary, final])

    def _small(self, config: VisionTrainConfig) -> Transform:
        """Return crops of the padded image, and mirror images."""
        steps: list[Any] = [
            transforms.Resize(self.size, interpolation=str_to_interp_mode(self.interpolation)),
            transforms.RandomCrop(self.size, padding=config.pad or None),
        ]
        if _mirror(config):
            steps.append(transforms.RandomHorizontalFlip(_mirror(config)))
        if config.vflip:
            steps.append(transforms.RandomVerticalFlip(config.vflip))
        made: Transform = transforms.Compose(steps)
        return made


def _mirror(config: VisionTrainConfig) -> float:
    return 0.5 if config.hflip is None else config.hflip
