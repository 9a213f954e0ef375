"""Layers of SiMBA: stem, downsampling, channel mixers, the block and the stage, and their initial values.

Blocks keep the grid: (B, grid..., D) to (B, grid..., D), so that one stands in for a Transformer block::

    block = SiMBABlock(64, channel_mixer="einfft")
    x = block(x)                    # (2, 14, 14, 64), or (2, 196, 64)

SiMBA: Patro and Agneeswaran 2024, https://arxiv.org/abs/2403.15360. Written from a description of the
public code, which has no licence. For timm's FX tools, mixers and EinFFT are leaves.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
from timm.layers import DropPath, Mlp, calculate_drop_path_rates, trunc_normal_
from timm.models import checkpoint_seq, register_notrace_module
from torch import Tensor, nn

from seqsuite.backbones import EinFFT
from seqsuite.errors import unknown_name
from seqsuite.mixers import Mixer
from seqvision.models.mamba_nd_parts import make_mixers

ChannelMixer = Literal["mlp", "einfft"]

register_notrace_module(Mixer)
register_notrace_module(EinFFT)


class Stem(nn.Module):
    """Three convolutions with batch norm and a strided projection: (B, C, H, W) to (B, H / 4, W / 4, D)."""

    def __init__(self, in_chans: int, width: int, dim: int, **dd: Any) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index, chans in enumerate((in_chans, width, width)):
            kernel, stride = (7, 2) if index == 0 else (3, 1)
            conv = nn.Conv2d(chans, width, kernel, stride=stride, padding=kernel // 2, bias=False, **dd)
            layers += [conv, nn.BatchNorm2d(width, **dd), nn.ReLU(inplace=True)]
        self.conv = nn.Sequential(*layers)
        self.proj = nn.Conv2d(width, dim, 3, stride=2, padding=1, **dd)
        self.norm = nn.LayerNorm(dim, eps=1e-5, **dd)

    def forward(self, x: Tensor) -> Tensor:
        """Embed images."""
        return self.norm(self.proj(self.conv(x)).permute(0, 2, 3, 1))


class Downsample(nn.Module):
    """Halve the grid and change the width: (B, H, W, D) to (B, H / 2, W / 2, D'), odd sizes rounded up."""

    def __init__(self, dim: int, dim_out: int, **dd: Any) -> None:
        super().__init__()
        self.proj = nn.Conv2d(dim, dim_out, 3, stride=2, padding=1, **dd)
        self.norm = nn.LayerNorm(dim_out, eps=1e-5, **dd)

    def forward(self, x: Tensor) -> Tensor:
        """Run over a grid."""
        return self.norm(self.proj(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))


class ConvMlp(nn.Module):
    """Linear, 3x3 depthwise convolution, GELU, linear, on (B, H, W, D): the MLP of PVT v2."""

    def __init__(self, dim: int, hidden: int, **dd: Any) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden, **dd)
        self.dwconv = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden, **dd)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, dim, **dd)

    def forward(self, x: Tensor) -> Tensor:
        """Run over a grid."""
        x = self.dwconv(self.fc1(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return self.fc2(self.act(x))


def channel_mixer_on(kind: ChannelMixer, dim: int, ratio: float, conv: bool, dd: Mapping[str, Any]) -> nn.Module:
    """Build what mixes channels: EinFFT, or an MLP with or without its convolution."""
    if kind == "einfft":
        return EinFFT(dim, **dd)
    if kind != "mlp":
        raise unknown_name("channel mixer", kind, ("mlp", "einfft"))
    hidden = int(dim * ratio)
    return ConvMlp(dim, hidden, **dd) if conv else Mlp(dim, hidden, **dd)


class SiMBABlock(nn.Module):
    """Mix the sequence of cells, then the channels, each on the normalised stream.

    The cells are read in row-major order, in one direction: ``x + mixer(norm1(x))``, then
    ``x + mlp(norm2(x))``.

    Args:
        dim: Width D.
        mixer: A name of `seqsuite.mixers.list_mixers()`.
        mixer_options: Its keyword arguments; Mamba has ``d_state=64`` unless they say otherwise.
        channel_mixer: "mlp", or "einfft", for which D must be a multiple of 4.
        mlp_ratio: Hidden width of the MLP over D.
        conv: The MLP has a 3x3 depthwise convolution, which needs a grid of two axes.
        drop_path: Probability that a sample skips a branch in training.
        device: Where the parameters live.
        dtype: Of the parameters.

    Raises:
        UserError: No such mixer, option or channel mixer, or a size that does not fit.
    """

    def __init__(
        self,
        dim: int,
        *,
        mixer: str = "mamba",
        mixer_options: Mapping[str, Any] | None = None,
        channel_mixer: ChannelMixer = "mlp",
        mlp_ratio: float = 4.0,
        conv: bool = True,
        drop_path: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        self.norm1 = nn.LayerNorm(dim, eps=1e-5, **dd)
        options = {**({"d_state": 64} if mixer == "mamba" else {}), **(mixer_options or {})}
        self.mixer = make_mixers(mixer, 1, dim, options, **dd)[0]
        self.norm2 = nn.LayerNorm(dim, eps=1e-6, **dd)
        self.mlp = channel_mixer_on(channel_mixer, dim, mlp_ratio, conv, dd)
        self.drop_path = DropPath(drop_path) if drop_path > 0 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Run over (B, grid..., D); the grid has two axes where the MLP convolves."""
        mixed = self.mixer(self.norm1(x).flatten(1, -2))  # (B, L, D)
        x = x + self.drop_path(mixed.reshape(x.shape))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class SiMBAStage(nn.Module):
    """Downsampling, blocks and a norm: (B, H, W, D) to (B, H', W', D')."""

    def __init__(self, downsample: nn.Module, blocks: Sequence[nn.Module], norm: nn.Module) -> None:
        super().__init__()
        self.downsample = downsample
        self.blocks = nn.Sequential(*blocks)
        self.norm = norm
        self.grad_checkpointing = False

    def forward(self, x: Tensor) -> Tensor:
        """Run over a grid."""
        x = self.downsample(x)
        x = checkpoint_seq(self.blocks, x) if self.grad_checkpointing else self.blocks(x)
        return self.norm(x)


def stages_on(
    dims: Sequence[int],
    depths: Sequence[int],
    ratios: Sequence[float],
    drop_path_rate: float,
    block: Mapping[str, Any],
    dd: Mapping[str, Any],
) -> Iterator[SiMBAStage]:
    """Yield the stages: all but the first halve the grid, all but the last end in a norm."""
    rates: Any = calculate_drop_path_rates(drop_path_rate, list(depths), stagewise=True)
    for i, dim in enumerate(dims):
        blocks = [SiMBABlock(dim, mlp_ratio=ratios[i], drop_path=rate, **block, **dd) for rate in rates[i]]
        before = nn.Identity() if i == 0 else Downsample(dims[i - 1], dim, **dd)
        behind = nn.Identity() if i == len(dims) - 1 else nn.LayerNorm(dim, eps=1e-6, **dd)
        yield SiMBAStage(before, blocks, behind)


def init_weights(module: nn.Module, reset: bool, into_mixers: bool) -> None:
    """Draw the parameters of all layers below, those of the mixers only if asked to."""
    for child in module.children():
        own = isinstance(child, Mixer)
        redraw: Any = getattr(child, "reset_parameters", None)
        if reset and redraw is not None:
            redraw()
        if own and not into_mixers:
            continue
        init_layer(child)
        init_weights(child, reset and not own, into_mixers)


@torch.no_grad()
def init_layer(layer: nn.Module) -> None:
    """Draw a linear layer or a 2-D convolution as PVT v2 does; leave others as they are."""
    if isinstance(layer, nn.Linear):
        trunc_normal_(layer.weight, std=0.02)
    elif isinstance(layer, nn.Conv2d):
        fan_out = math.prod(layer.kernel_size) * layer.out_channels // layer.groups
        layer.weight.normal_(0, math.sqrt(2.0 / fan_out))
    else:
        return
    if layer.bias is not None:
        layer.bias.zero_()
