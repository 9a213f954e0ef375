"""From a stored clip to the input of a model: which frames, which part of them, in which size and normalisation.

view = ClipView(Sampling(frames=16), size=(112, 112), channels=3, mean=(0.5,) * 3, std=(0.5,) * 3)
view.one(clip)                                  # (C, T, H, W) float32: the middle
dataclasses.replace(view, views=4, crops=3).all(clip)       # (12, C, T, H, W): the clips that are averaged
view.changed(clip, changes, seed=...)           # the same with chance: a stretch, a crop, colours
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from seqsuite.data.order import item_rng
from seqsuite.errors import UserError
from seqvision.data.video_clips import StoredClip
from seqvision.data.video_pictures import Colours, Crop, PadCrop, RandomCrop, normalized, with_channels
from seqvision.data.video_sampling import Sampling

_STRETCH, _PLACE, _COLOURS = 1, 2, 3


@dataclass(frozen=True)
class Changes:
    """What training changes at random, once a clip.

    Attributes:
        crop: "random" (area and shape), "pad" (shifts by some pixels) or "none".
        scale: Least and greatest share of the area of a random crop.
        ratio: Least and greatest width over height of one.
        pad: Most pixels of a shift.
        hflip: Chance of a mirror image; it makes a motion to the left one to the right.
        vflip: Chance of an image upside down.
        jitter: Brightness, contrast and saturation change by a factor of 1 - jitter to 1 + jitter.
    """

    crop: str = "random"
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (0.75, 1.3333)
    pad: int = 2
    hflip: float = 0.0
    vflip: float = 0.0
    jitter: float = 0.0


@dataclass(frozen=True)
class ClipView:
    """How a model sees a clip.

    Attributes:
        sampling: Which frames.
        size: (H, W) of an input.
        channels: 1 or 3; grey frames are repeated for 3, coloured ones are averaged as luma for 1.
        mean: Of each channel, on a scale of 0 to 1.
        std: Deviation of each channel.
        share: Height and width of a crop over those of the largest that fits.
        views: Stretches that lie evenly over a video, in evaluation.
        crops: Crops along the longer side of each.

    Raises:
        UserError: A number makes no sense.
    """

    sampling: Sampling = field(default_factory=Sampling)
    size: tuple[int, int] = (224, 224)
    channels: int = 3
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    share: float = 1.0
    views: int = 1
    crops: int = 1

    def __post_init__(self) -> None:
        if self.channels not in (1, 3):
            raise UserError(f"--in_chans is {self.channels}; frames of a video have 1 (grey) or 3 channels")
        for name in ("views", "crops"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name} is {getattr(self, name)}; it must be at least 1")

    def one(self, clip: StoredClip) -> Tensor:
        """Return the middle of a clip: (C, T, H, W) float32.

        Raises:
            UserError: It cannot be read, or is too short.
        """
        return dataclasses.replace(self, views=1, crops=1).all(clip)[0]

    def all(self, clip: StoredClip) -> Tensor:
        """Return views x crops inputs, the crops of a stretch beside each other: (V, C, T, H, W) float32.

        Raises:
            UserError: It cannot be read, or is too short.
        """
        places = (0.5,) if self.crops == 1 else tuple(np.linspace(0, 1, self.crops).tolist())
        cuts = [Crop(self.size, self.share, place) for place in places]
        grid = clip.grid(self.sampling.frame_rate)
        numbers = grid[self.sampling.spaced(len(grid), self.views)]  # (views, T)

        def crops_of(frame: np.ndarray) -> np.ndarray:
            return np.stack([with_channels(cut(frame), self.channels) for cut in cuts])

        frames = clip.read(numbers.reshape(-1), crops_of)  # (views * T, crops, H, W, C)
        parts = frames.reshape(self.views, self.sampling.frames, self.crops, *frames.shape[2:])
        clips = np.moveaxis(parts, 2, 1).reshape(-1, self.sampling.frames, *frames.shape[2:])
        return normalized(clips, self.mean, self.std)

    def changed(self, clip: StoredClip, changes: Changes, *, seed: int) -> Tensor:
        """Return a clip changed at random, the same way in all its frames: (C, T, H, W) float32.

        Args:
            clip: Where the frames are.
            changes: What to draw.
            seed: 64 bits; the result is a function of it and the clip.

        Raises:
            UserError: It cannot be read, or is too short.
        """
        grid = clip.grid(self.sampling.frame_rate)
        numbers = grid[self.sampling.random(len(grid), item_rng(seed, _STRETCH))]
        cut = self._cut(changes, item_rng(seed, _PLACE))
        colours = Colours.draw(item_rng(seed, _COLOURS), changes.jitter)

        def change(frame: np.ndarray) -> np.ndarray:
            return colours(with_channels(cut(frame), self.channels))

        return normalized(clip.read(numbers, change)[None], self.mean, self.std)[0]

    def _cut(self, changes: Changes, rng: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
        """Draw a crop and a mirror image."""
        mirror = (rng.random() < changes.hflip, rng.random() < changes.vflip)
        if changes.crop == "random":
            return RandomCrop.draw(rng, self.size, scale=changes.scale, ratio=changes.ratio, mirror=mirror)
        shift = (0, 0) if changes.crop == "none" else tuple(rng.integers(-changes.pad, changes.pad + 1, 2).tolist())
        return PadCrop(Crop(self.size, self.share), shift, mirror)

    def to_dict(self) -> dict[str, Any]:
        """Return what a model's config keeps of it, see `from_dict`; size and normalisation stand there already."""
        return dataclasses.asdict(self.sampling) | {"views": self.views, "crops": self.crops, "share": self.share}

    @classmethod
    def from_dict(
        cls, said: dict[str, Any], *, size: tuple[int, int], mean: tuple[float, ...], std: tuple[float, ...]
    ) -> ClipView:
        """Return the view that `to_dict` was taken of."""
        names = {item.name for item in dataclasses.fields(Sampling)}
        sampling = Sampling(**{name: value for name, value in said.items() if name in names})
        others = {name: value for name, value in said.items() if name not in names}
        return cls(sampling, size, len(mean), mean, std, **others)
