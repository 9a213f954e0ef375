"""Small convolutions over a picture of bands and frames: what is alike at any pitch is learned once.

A vowel of a longer vocal tract is the same picture some bands lower; a map of all bands at once has to learn each
place anew. The pyramid is the usual one of small keyword spotters (Sainath and Parada, Interspeech 2015).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SpectralStem(nn.Module):
    """3 x 3 convolutions, each normed over its clip, rectified, and pooled to half the bands and half the frames.

    Args:
        bands: F, of the picture.
        widths: Channels of the convolutions.

    Attributes:
        stride: Frames of the picture to one that comes out.
        features: Of a frame, as they come out: channels times the bands left.
    """

    def __init__(self, bands: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=1) for before, after in itertools.pairwise((1, *widths))
        )
        self.norms = nn.ModuleList(nn.GroupNorm(1, width) for width in widths)
        self.stride = 2 ** len(widths)
        self.features = widths[-1] * -(-bands // self.stride)

    def forward(self, x: Tensor, frames: Tensor) -> Tensor:
        """Make features of a picture.

        Args:
            x: (B, T, F).
            frames: (B,), frames of each row that count.

        Returns:
            (B, ceil(T / 2^n), C ceil(F / 2^n)) after n layers; zeros behind the frames that are left of each row.
        """
        x = x[:, None]  # (B, 1, T, F)
        for layer, norm in zip(self.layers, self.norms, strict=True):
            inside = _inside(x, frames)
            x = F.relu(masked_norm(layer(x * inside), inside, norm)) * inside
            x = F.max_pool2d(x, 2, ceil_mode=True)
            frames = (frames + 1) // 2
        return x.transpose(1, 2).flatten(2)


def _inside(x: Tensor, frames: Tensor) -> Tensor:
    """Return where (B, C, T, F) lies within the frames (B,) of its row: (B, 1, T, 1)."""
    return (torch.arange(x.shape[2], device=x.device) < frames[:, None])[:, None, :, None]


def masked_norm(x: Tensor, inside: Tensor, norm: Any) -> Tensor:
    """Normalise each row of (B, C, ...) over what is inside, with the scale and shift of a group norm.

    Args:
        x: (B, C, P, Q).
        inside: Where it counts, broadcast to (B, 1, P, Q) but for axes of 1 that count whole.
        norm: Has `weight` (C,), `bias` (C,) and `eps`.
    """
    count = inside.expand(-1, -1, *x.shape[2:]).sum((1, 2, 3), keepdim=True) * x.shape[1]
    mean = (x * inside).sum((1, 2, 3), keepdim=True) / count
    spread = ((x - mean).square() * inside).sum((1, 2, 3), keepdim=True) / count
    scale, shift = norm.weight[:, None, None], norm.bias[:, None, None]
    return (x - mean) * (spread + norm.eps).rsqrt() * scale + shift
