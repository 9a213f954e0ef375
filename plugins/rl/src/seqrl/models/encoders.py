"""Encoders of observations: a linear layer for vectors, the Atari network for pixels (Mnih et al. 2015)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seqrl.configs.models import WindowPolicyConfig


class PixelEncoder(nn.Module):
    """Three convolutions and a linear layer: pictures (..., C, H, W) to (..., D).

    Args:
        frame: (C, H, W).
        width: D.
        channels_last: Pictures come as (..., H, W, C).
    """

    def __init__(self, frame: tuple[int, int, int], width: int, *, channels_last: bool = False) -> None:
        super().__init__()
        channels, *sides = frame
        self.channels_last = channels_last
        self.conv1 = nn.Conv2d(channels, 32, 8, stride=4)
        self.conv2 = nn.Conv2d(32, 64, 4, stride=2)
        self.conv3 = nn.Conv2d(64, 64, 3)
        for size, stride in ((8, 4), (4, 2), (3, 1)):
            sides = [(side - size) // stride + 1 for side in sides]
        self.linear = nn.Linear(64 * sides[0] * sides[1], width)

    def forward(self, frames: Tensor) -> Tensor:
        """Encode pictures: uint8 ones are divided by 255, floating-point ones are taken as they are."""
        leading = frames.shape[:-3]
        x = frames.flatten(0, -4)
        if self.channels_last:
            x = x.movedim(-1, 1)
        dtype = self.linear.weight.dtype
        x = x.to(dtype) / 255 if frames.dtype == torch.uint8 else x.to(dtype)
        for layer in (self.conv1, self.conv2, self.conv3):
            x = torch.relu(layer(x))
        return self.linear(x.flatten(1)).unflatten(0, leading)


class VectorEncoder(nn.Linear):
    """A linear layer that takes vectors of any dtype."""

    def forward(self, x: Tensor) -> Tensor:
        """Encode (..., W) to (..., D)."""
        return super().forward(x.to(self.weight.dtype))


def observation_encoder(config: WindowPolicyConfig, width: int) -> nn.Module:
    """Return the encoder of a policy's observations, (..., *S) to (..., D)."""
    if config.pixels:
        return PixelEncoder(config.frame, width, channels_last=config.channels_last)
    return VectorEncoder(config.observation_shape[0], width)
