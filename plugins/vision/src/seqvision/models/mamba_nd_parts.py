"""What Mamba-ND is made of: patches, position table, block, patch merging; each for any number of axes.

Channels come last throughout, (B, *grid, D). The block is the published one, which is not a pre-norm block:
the residual stream is the normalised input. Mamba-ND: Li et al. 2024, https://arxiv.org/abs/2402.05892.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import DropPath, register_notrace_function, register_notrace_module
from torch import Tensor, nn

from seqsuite.backbones.grid import ScanOrder, alternating_orders, factorised_orders, mix_grid
from seqsuite.errors import UserError, unknown_name
from seqsuite.mixers.base import Mixer, at_least_float32
from seqsuite.mixers.create import build_mixers

Size = int | Sequence[int]


def settled_sizes(img_size: Size, patch_size: Size) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return image and patch size with an entry for each axis; two numbers are an image's.

    Raises:
        UserError: They have different numbers of axes, or a size below 1.
    """
    lengths = {len(size) for size in (img_size, patch_size) if not isinstance(size, int)}
    if len(lengths) > 1:
        raise UserError(f"img_size {img_size} and patch_size {patch_size} have different numbers of axes")
    ndim = lengths.pop() if lengths else 2
    image, patch = (
        (size,) * ndim if isinstance(size, int) else tuple(int(n) for n in size) for size in (img_size, patch_size)
    )
    if not image or min(image + patch) < 1:
        raise UserError(f"img_size {img_size} and patch_size {patch_size} must be positive along every axis")
    return image, patch


def settled_orders(orders: Sequence[ScanOrder] | str | None, ndim: int) -> tuple[ScanOrder, ...]:
    """Return the cycle of scan orders that a name or a list stands for.

    Args:
        orders: The orders themselves; None or "alternating" for Mamba-ND's; "row" for the last axis fastest in every
            block; of a video also "planar" (the two image orders only), "hw_t" and "h_w_t" (factorised).
        ndim: Axes of the grid.

    Raises:
        UserError: An unknown name, no order, or one for another number of axes.
    """
    if orders is None or isinstance(orders, str):
        cycle = alternating_orders(ndim)
        if orders is None or orders == "alternating":
            return cycle
        if orders == "row":
            return cycle[:2]
        video = ("planar", "hw_t", "h_w_t")
        if orders not in video:
            raise unknown_name("scan orders", orders, ("alternating", "row", *video))
        if ndim != 3:
            raise UserError(f"scan orders {orders!r} are for three axes, the model has {ndim}")
        return (*cycle[:4], *cycle[:2]) if orders == "planar" else factorised_orders(orders)  # type: ignore[arg-type]
    settled = tuple(orders)
    if not settled or any(order.ndim != ndim for order in settled):
        raise UserError(f"orders: give at least one scan order, all of them for {ndim} axes")
    return settled


def make_mixers(
    mixer: str,
    count: int,
    dim: int,
    options: Mapping[str, Any],
    *,
    device: Any = None,
    dtype: torch.dtype | None = None,
) -> list[Mixer]:
    """Build the mixers of a stack on a device, which may be "meta", and in a dtype.

    The mixers know neither argument: they are born under a device context and converted afterwards.

    Args:
        mixer: A mixer's name, or a pattern of names; see `seqsuite.mixers.create`.
        count: How many.
        dim: Width D.
        options: The mixer's options.
        device: Where the parameters live; None: the default device.
        dtype: Of the parameters; None: the default dtype.
    """
    with nullcontext() if device is None else torch.device(device):
        mixers = list(build_mixers(mixer, count, dim, options))
    return mixers if dtype is None else [each.to(dtype) for each in mixers]


@register_notrace_function
def resample_positions(table: Tensor, grid: Sequence[int]) -> Tensor:
    """Interpolate a position table to another grid, without aligned corners and without smoothing.

    Args:
        table: (1, *old grid, D).
        grid: The new grid.

    Returns:
        (1, *grid, D): bicubic on two axes, as published, linear along each axis otherwise; the table itself where
        nothing changes.
    """
    old, new = tuple(table.shape[1:-1]), tuple(grid)
    if old == new:
        return table
    y = at_least_float32(table).movedim(-1, 1)  # (1, D, *old)
    if len(new) == 2:
        y = F.interpolate(y, size=new, mode="bicubic", align_corners=False)
    else:
        for axis, length in enumerate(new, start=2):
            if y.shape[axis] != length:
                y = y.transpose(axis, -1)
                rows = F.interpolate(y.flatten(1, -2), size=length, mode="linear", align_corners=False)
                y = rows.reshape(*y.shape[:-1], length).transpose(axis, -1)
    return y.movedim(1, -1).to(table.dtype)


@register_notrace_module
class GridPatchEmbed(nn.Module):
    """Cut (B, C, *size) into patches and project them: (B, *grid, D). A convolution whose stride is its kernel.

    Args:
        img_size: Size that the model is built for; others can be given.
        patch_size: Cells of a patch along each axis.
        in_chans: Channels C.
        embed_dim: Width D.
        pad: Fill the far ends of the axes with zeros up to whole patches; else the rest is cut off.
        device: Where the parameters live.
        dtype: Of the parameters.
    """

    def __init__(
        self,
        img_size: tuple[int, ...],
        patch_size: tuple[int, ...],
        in_chans: int,
        embed_dim: int,
        *,
        pad: bool,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.img_size = img_size
        self.patch_size = patch_size
        self.pad = pad
        self.proj = PatchProjection(in_chans, embed_dim, patch_size, device=device, dtype=dtype)

    @property
    def grid_size(self) -> tuple[int, ...]:
        """Patches along each axis of an image of `img_size`."""
        return self.grid_of(self.img_size)

    def grid_of(self, size: Sequence[int]) -> tuple[int, ...]:
        """Return the patches along each axis of an image of some size."""
        return tuple(-(-n // p) if self.pad else n // p for n, p in zip(size, self.patch_size, strict=True))

    def forward(self, x: Tensor) -> Tensor:
        """Embed (B, C, *size).

        Raises:
            ValueError: Another number of axes or channels, or no whole patch along an axis.
        """
        size = x.shape[2:]
        if len(size) != len(self.patch_size) or x.shape[1] != self.proj.weight.shape[1]:
            raise ValueError(
                f"the model takes (B, {self.proj.weight.shape[1]}, *size) with {len(self.patch_size)} axes of size, "
                f"got {tuple(x.shape)}"
            )
        grid = self.grid_of(size)
        if 0 in grid:
            raise ValueError(f"an input of size {tuple(size)} holds no whole patch of {self.patch_size}")
        # A negative pad cuts.
        missing = [g * p - n for g, p, n in zip(grid, self.patch_size, size, strict=True)]
        if any(missing):
            x = F.pad(x, [n for short in reversed(missing) for n in (0, short)])
        return self.proj(x, grid)


class PatchProjection(nn.Module):
    """The weights of a convolution over whole patches, (D, C, *patch), used as one matrix product."""

    def __init__(
        self, in_chans: int, embed_dim: int, patch_size: tuple[int, ...], *, device: Any, dtype: torch.dtype | None
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(embed_dim, in_chans, *patch_size, device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.empty(embed_dim, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters as torch's convolutions do: uniform up to 1 / sqrt(inputs)."""
        bound = 1 / math.sqrt(self.weight[0].numel())
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor, grid: tuple[int, ...]) -> Tensor:
        """Project (B, C, *size) of whole patches to (B, *grid, D)."""
        patch = self.weight.shape[2:]
        n = len(patch)
        x = x.reshape(*x.shape[:2], *(k for pair in zip(grid, patch, strict=True) for k in pair))
        x = x.permute(0, *range(2, 2 + 2 * n, 2), 1, *range(3, 3 + 2 * n, 2))  # (B, *grid, C, *patch)
        return F.linear(x.flatten(n + 1), self.weight.flatten(1), self.bias)


class GridMerge(nn.Module):
    """Merge 2 x 2 x ... neighbours and halve every axis, (B, *grid, D) to (B, *grid / 2, D).

    An odd axis is filled up with zeros at its far end. Within a merged cell the place runs faster than the channel.

    Args:
        dim: Width D.
        ndim: Axes of the grid.
        device: Where the parameters live.
        dtype: Of the parameters.
    """

    def __init__(self, dim: int, ndim: int, *, device: Any = None, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        self.ndim = ndim
        width = dim * 2**ndim
        self.norm = nn.LayerNorm(width, device=device, dtype=dtype)
        self.reduction = nn.Linear(width, dim, bias=False, device=device, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Merge (B, *grid, D)."""
        n = self.ndim
        grid = x.shape[1:-1]
        if any(length % 2 for length in grid):
            x = F.pad(x, [0, 0] + [k for length in reversed(grid) for k in (0, length % 2)])
        halves = [k for length in x.shape[1:-1] for k in (length // 2, 2)]
        x = x.reshape(x.shape[0], *halves, x.shape[-1])
        x = x.permute(0, *range(1, 1 + 2 * n, 2), 1 + 2 * n, *range(2, 2 + 2 * n, 2))  # (B, *half, D, 2, 2, ...)
        return self.reduction(self.norm(x.flatten(n + 1)))


@register_notrace_module
class MambaNDBlock(nn.Module):
    """Mamba-ND's block, (B, *grid, D) to (B, *grid, D), usable in any model with channels last.

        x = norm(x);  x = x + drop_path(drop(mix(x)))

    The skip adds to the normalised x: there is no way around the norm.

    Args:
        dim: Width D.
        order: The order in which the mixer scans the grid.
        mixer: A mixer of that width, or the name of one.
        mixer_options: Its options, with a name.
        norm_eps: Epsilon of the norm.
        drop: Dropout on what the mixer returns.
        drop_path: Probability that a row skips the mixer.
        merge: Merge 2 x 2 x ... patches first.
        skip: Add to the normalised x; else return the branch alone.
        device: Where the parameters live.
        dtype: Of the parameters.
    """

    def __init__(
        self,
        dim: int,
        order: ScanOrder,
        mixer: Mixer | str = "mamba",
        mixer_options: Mapping[str, Any] | None = None,
        *,
        norm_eps: float = 1e-5,
        drop: float = 0.0,
        drop_path: float = 0.0,
        merge: bool = False,
        skip: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if isinstance(mixer, str):
            mixer = make_mixers(mixer, 1, dim, mixer_options or {}, device=device, dtype=dtype)[0]
        self.order = order
        self.skip = skip
        self.downsample = GridMerge(dim, order.ndim, device=device, dtype=dtype) if merge else None
        self.norm = nn.LayerNorm(dim, eps=norm_eps, device=device, dtype=dtype)
        self.mixer = mixer
        self.drop = nn.Dropout(drop)
        self.drop_path = DropPath(drop_path) if drop_path > 0 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Run the block on (B, *grid, D)."""
        if self.downsample is not None:
            x = self.downsample(x)
        x = self.norm(x)
        branch = self.drop_path(self.drop(mix_grid(self.mixer, x, self.order)))
        return x + branch if self.skip else branch
