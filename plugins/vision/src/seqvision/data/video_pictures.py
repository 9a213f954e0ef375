"""From frames to the input of a model: crops that stay in one place over a clip, sizes, normalisation.

    view = Crop(size=(112, 112), share=0.875)
    small = read_frames(video, numbers, each=view)          # (T, 112, 112, 3) uint8
    normalized(small[None], mean, std)                      # (1, 3, T, 112, 112) float32

A crop is drawn once a clip and put on every frame as it is decoded, so that only small frames are kept. Sizes change
with Pillow's antialiased filters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_TRIES = 10


@dataclass(frozen=True)
class Crop:
    """A crop of the shape that is wanted, as large as fits or a share of it, at a place along the longer side.

    Attributes:
        size: (H, W) that comes out.
        share: Height and width of the crop over those of the largest that fits.
        place: From 0 (left or upper end) over 0.5 (middle) to 1, along the side with room to spare.
    """

    size: tuple[int, int]
    share: float = 1.0
    place: float = 0.5

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """Return (H, W, C) uint8 of a frame (h, w, C) uint8."""
        height, width = frame.shape[:2]
        high, wide = self.size
        scale = min(height / high, width / wide) * self.share
        box_h, box_w = high * scale, wide * scale
        spare_h, spare_w = height - box_h, width - box_w
        along_w = width / wide >= height / high
        top = spare_h * (0.5 if along_w else self.place)
        left = spare_w * (self.place if along_w else 0.5)
        return resized(frame, (left, top, left + box_w, top + box_h), self.size)


@dataclass(frozen=True)
class RandomCrop:
    """A crop of random area and shape, and perhaps mirrored; the same on every frame that it is called with.

    Attributes:
        size: (H, W) that comes out.
        scale: Least and greatest share of the frame's area.
        ratio: Least and greatest width over height.
        draws: Numbers from 0 to 1 that decide: ten areas and shapes to try, in turn, then two places.
        mirror: Whether the image is mirrored, and whether it is upside down.
    """

    size: tuple[int, int]
    scale: tuple[float, float]
    ratio: tuple[float, float]
    draws: tuple[float, ...]
    mirror: tuple[bool, bool] = (False, False)

    @classmethod
    def draw(
        cls,
        rng: np.random.Generator,
        size: tuple[int, int],
        *,
        scale: tuple[float, float],
        ratio: tuple[float, float],
        mirror: tuple[bool, bool] = (False, False),
    ) -> RandomCrop:
        """Return a crop for one clip."""
        return cls(size, scale, ratio, tuple(rng.random(2 * _TRIES + 2).tolist()), mirror)

    def box(self, height: int, width: int) -> tuple[float, float, float, float]:
        """Return left, upper, right and lower edge in a frame of this size."""
        shapes, (across, down) = np.reshape(self.draws[: 2 * _TRIES], (_TRIES, 2)), self.draws[2 * _TRIES :][:2]
        low, high = np.log(self.ratio)
        for area, shape in shapes:
            target = height * width * (self.scale[0] + area * (self.scale[1] - self.scale[0]))
            ratio = float(np.exp(low + shape * (high - low)))
            wide, tall = (target * ratio) ** 0.5, (target / ratio) ** 0.5
            if wide <= width and tall <= height:
                break
        else:
            # No shape fits, as in a very long frame: the largest of a ratio that is allowed.
            ratio = min(max(width / height, self.ratio[0]), self.ratio[1])
            wide, tall = min(width, height * ratio), min(height, width / ratio)
        left, top = across * (width - wide), down * (height - tall)
        return left, top, left + wide, top + tall

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """Return (H, W, C) uint8 of a frame (h, w, C) uint8."""
        return mirrored(resized(frame, self.box(*frame.shape[:2]), self.size), self.mirror)


@dataclass(frozen=True)
class PadCrop:
    """A crop that is shifted by some pixels, with zeros where it leaves the image, and perhaps mirrored.

    Attributes:
        crop: The crop.
        shift: Pixels down and to the right, of its result.
        mirror: Whether the image is mirrored, and whether it is upside down.
    """

    crop: Crop
    shift: tuple[int, ...] = (0, 0)
    mirror: tuple[bool, bool] = (False, False)

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """Return (H, W, C) uint8 of a frame (h, w, C) uint8."""
        small = mirrored(self.crop(frame), self.mirror)
        height, width = small.shape[:2]
        down, right = self.shift
        shifted = np.zeros_like(small)
        shifted[max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)] = small[
            max(-down, 0) : height - max(down, 0), max(-right, 0) : width - max(right, 0)
        ]
        return shifted


@dataclass(frozen=True)
class Colours:
    """Brightness, contrast and saturation changed by one factor each, the same on every frame.

    Attributes:
        factors: 1 changes nothing.
    """

    factors: tuple[float, float, float] = (1.0, 1.0, 1.0)

    @classmethod
    def draw(cls, rng: np.random.Generator, jitter: float) -> Colours:
        """Return factors from 1 - jitter (at least 0) to 1 + jitter for one clip."""
        low, high = max(1 - jitter, 0.0), 1 + jitter
        return cls(tuple(rng.uniform(low, high, 3).tolist()))

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """Return (H, W, C) uint8 of a frame (H, W, C) uint8; grey frames have no saturation to change."""
        if self.factors == (1.0, 1.0, 1.0):
            return frame
        bright, contrast, saturation = self.factors
        values = frame.astype(np.float32) * np.float32(bright)
        values = (values - luma(values).mean()) * np.float32(contrast) + luma(values).mean()
        if frame.shape[2] == 3:
            grey = luma(values)
            values = (values - grey) * np.float32(saturation) + grey
        return np.round(np.clip(values, 0, 255)).astype(np.uint8)


def luma(frame: np.ndarray) -> np.ndarray:
    """Return the brightness of a frame (H, W, 3) by ITU-R BT.601: (H, W, 1) float32; a grey one as it is."""
    if frame.shape[2] == 1:
        return frame.astype(np.float32)
    return frame.astype(np.float32) @ np.array([[0.299], [0.587], [0.114]], dtype=np.float32)


def with_channels(frame: np.ndarray, channels: int) -> np.ndarray:
    """Return a frame (H, W, 1 or 3) uint8 with 1 or 3 channels: grey ones are repeated, coloured ones become luma."""
    if frame.shape[2] == channels:
        return frame
    return np.repeat(frame, 3, axis=2) if channels == 3 else np.round(luma(frame)).astype(np.uint8)


def mirrored(frame: np.ndarray, mirror: tuple[bool, bool]) -> np.ndarray:
    """Return a frame mirrored from left to right, or upside down, or both."""
    across, over = mirror
    return frame[:: -1 if over else 1, :: -1 if across else 1]


def resized(frame: np.ndarray, box: tuple[float, float, float, float], size: tuple[int, int]) -> np.ndarray:
    """Return the part of a frame within (left, upper, right, lower) at size (H, W): (H, W, C) uint8.

    Args:
        frame: (h, w, C) uint8; C is 1 or 3.
        box: Edges in pixels; they need not be whole.
        size: What comes out.
    """
    from PIL import Image

    height, width = frame.shape[:2]
    if box == (0, 0, width, height) and (height, width) == tuple(size):
        return frame
    # Rounding may put an edge a hair outside, which Pillow refuses.
    inside = (max(box[0], 0.0), max(box[1], 0.0), min(box[2], float(width)), min(box[3], float(height)))
    picture = Image.fromarray(frame[..., 0] if frame.shape[2] == 1 else frame)
    small = np.asarray(picture.resize((size[1], size[0]), Image.Resampling.BICUBIC, box=inside))
    return small[..., None] if frame.shape[2] == 1 else small


def normalized(clips: np.ndarray, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Return (N, C, T, H, W) float32 of clips (N, T, H, W, C) uint8: x / 255, less the mean, over the deviation."""
    values = torch.from_numpy(np.ascontiguousarray(clips)).permute(0, 4, 1, 2, 3).float().div_(255)
    shape = (-1, 1, 1, 1)
    return (values - torch.tensor(mean).view(shape)).div_(torch.tensor(std).view(shape)).contiguous()
