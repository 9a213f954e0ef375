"""The class `MambaND`; `seqvision.models.mamba_nd` says what it is and enters its sizes into timm's registry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from timm.layers import calculate_drop_path_rates, get_device_dtype
from timm.models._features import feature_take_indices
from torch import Tensor, nn

from seqsuite.backbones.grid import ScanOrder
from seqsuite.errors import UserError, unknown_name
from seqsuite.mixers.base import Mixer
from seqvision.models.mamba_nd_body import GridBody
from seqvision.models.mamba_nd_parts import (
    GridPatchEmbed,
    MambaNDBlock,
    Size,
    make_mixers,
    settled_orders,
    settled_sizes,
)

POOLS = ("", "avg", "max")


class MambaND(GridBody):
    """Mamba-ND: patches, positions, blocks that scan in changing orders, pool and classify.

    Args:
        img_size: Size that the model is built for; one number for each axis, or one for all. Inputs of other sizes
            get resampled positions.
        patch_size: Cells of a patch, likewise. Two plain numbers make an image model.
        in_chans: Channels of the input.
        num_classes: Classes; 0 for none, the pooled features then.
        global_pool: "avg", "max", or "" to leave the grid.
        embed_dim: Width D.
        depth: Number of blocks.
        mixer: A mixer's name, or a pattern of names, see `seqsuite.mixers.create`.
        mixer_options: Its options.
        orders: Cycle of scan orders, or a name for one; see `settled_orders`.
        merge_after: Blocks behind which 2 x 2 x ... patches are merged into one of the same width.
        update_interval: Blocks that read the same features and whose branches are added to them, instead of one
            block after the other (1).
        pad_input: Fill the input up to whole patches with zeros; else cut the rest off. None: as published, cut
            where there are three axes.
        final_norm: Normalise the features.
        fc_norm: Normalise the pooled features.
        fc_norm_eps: Epsilon of that norm.
        drop_rate: Dropout in front of the classifier.
        pos_drop_rate: Dropout behind the positions.
        proj_drop_rate: Dropout on what a mixer returns.
        drop_path_rate: Probability that a row skips the last block's mixer; rises linearly from 0 at the first.
        device: Where the parameters live.
        dtype: Of the parameters.

    Raises:
        UserError: Sizes, orders, mixer or places of merging that do not fit.
    """

    def __init__(
        self,
        img_size: Size = 224,
        patch_size: Size = 8,
        in_chans: int = 3,
        num_classes: int = 1000,
        global_pool: str = "avg",
        embed_dim: int = 384,
        depth: int = 24,
        mixer: str = "mamba",
        mixer_options: Mapping[str, Any] | None = None,
        orders: Sequence[ScanOrder] | str | None = None,
        merge_after: Sequence[int] = (),
        update_interval: int = 1,
        pad_input: bool | None = None,
        final_norm: bool = True,
        fc_norm: bool = True,
        fc_norm_eps: float = 1e-6,
        drop_rate: float = 0.0,
        pos_drop_rate: float = 0.0,
        proj_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        image, patch = settled_sizes(img_size, patch_size)
        _check(depth, merge_after, update_interval, global_pool)
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        pad = len(image) != 3 if pad_input is None else pad_input
        super().__init__(
            GridPatchEmbed(image, patch, in_chans, embed_dim, pad=pad, **dd),
            _blocks(
                settled_orders(orders, len(image)),
                make_mixers(mixer, depth, embed_dim, mixer_options or {}, **dd),
                merge_after,
                drop_path=drop_path_rate,
                block={"dim": embed_dim, "drop": proj_drop_rate, "skip": update_interval == 1, **dd},
            ),
            update_interval=update_interval,
            pos_drop_rate=pos_drop_rate,
            final_norm=final_norm,
            **dd,
        )
        self.num_classes, self.in_chans, self.global_pool = num_classes, in_chans, global_pool
        self.fc_norm = nn.LayerNorm(embed_dim, eps=fc_norm_eps, **dd) if fc_norm else nn.Identity()
        self.head_drop = nn.Dropout(drop_rate)
        self.head = self._classifier(num_classes, **dd)
        self.draw_positions()

    def _classifier(self, num_classes: int, **dd: Any) -> nn.Module:
        """Return a classifier that starts close to zero, as published."""
        if num_classes <= 0:
            return nn.Identity()
        head = nn.Linear(self.head_hidden_size, num_classes, **dd)
        nn.init.trunc_normal_(head.weight, std=2e-5)
        nn.init.zeros_(head.bias)
        return head

    @torch.jit.ignore
    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Return the patterns that group parameters by depth, for layer-wise learning rates."""
        return {
            "stem": r"^pos_embed|^patch_embed",
            "blocks": [(r"^blocks\.(\d+)", None), (r"^norm|^fc_norm", (99999,))],
        }

    @torch.jit.ignore
    def get_classifier(self) -> nn.Module:
        """Return the classifier."""
        return self.head

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the classifier; 0 classes remove it. The pooling stays unless another one is given."""
        if global_pool is not None:
            _check_pool(global_pool)
            self.global_pool = global_pool
        self.num_classes = num_classes
        self.head = self._classifier(num_classes, **get_device_dtype(self)).train(self.training)

    def prune_intermediate_layers(
        self, indices: int | Sequence[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Drop what the chosen blocks' outputs do not need: the blocks behind, and if asked the norm and the head."""
        take, last = feature_take_indices(len(self.blocks), indices)  # type: ignore[arg-type]
        self.blocks = self.blocks[: last + 1]
        if prune_norm:
            self.norm = nn.Identity()
        if prune_head:
            self.fc_norm = nn.Identity()
            self.reset_classifier(0, "")
        return take

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Pool (B, *grid, D), normalise and classify.

        Args:
            x: Features.
            pre_logits: Stop in front of the classifier.

        Returns:
            (B, num_classes), or (B, D); without pooling the grid stays between.
        """
        if self.global_pool:
            axes = tuple(range(1, self.ndim + 1))
            x = self.fc_norm(x.mean(axes) if self.global_pool == "avg" else x.amax(axes))
        x = self.head_drop(x)
        return x if pre_logits else self.head(x)


def _blocks(
    cycle: Sequence[ScanOrder],
    mixers: Sequence[Mixer],
    merge_after: Sequence[int],
    *,
    drop_path: float,
    block: Mapping[str, Any],
) -> list[MambaNDBlock]:
    """Return a block around every mixer, with the orders in turn and drop path rising from 0 to `drop_path`."""
    drop_paths: Any = calculate_drop_path_rates(drop_path, len(mixers))
    blocks = []
    for index, mixer in enumerate(mixers):
        order, merge = cycle[index % len(cycle)], index - 1 in merge_after
        blocks.append(MambaNDBlock(order=order, mixer=mixer, drop_path=drop_paths[index], merge=merge, **block))
    return blocks


def _check(depth: int, merge_after: Sequence[int], update_interval: int, global_pool: str) -> None:
    if depth < 1 or update_interval < 1:
        raise UserError(f"depth and update_interval must be at least 1, got {depth} and {update_interval}")
    if any(not 0 <= place < depth - 1 for place in merge_after):
        raise UserError(f"merge_after {tuple(merge_after)}: with {depth} blocks the places are 0 to {depth - 2}")
    if merge_after and update_interval > 1:
        raise UserError("merge_after needs update_interval=1: blocks that read the same features share their grid")
    _check_pool(global_pool)


def _check_pool(global_pool: str) -> None:
    # timm's callers expect an assertion for a pooling that a model cannot do.
    assert global_pool in POOLS, str(unknown_name("global_pool", global_pool, POOLS))
