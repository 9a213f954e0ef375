"""The class `MambaND`; `seqvision.models.mamba_nd` says what it is and enters its sizes into timm's registry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

import torch
from timm.layers import calculate_drop_path_rates, get_device_dtype
from timm.models._features import feature_take_indices
from timm.models._input import update_model_args, update_model_input_size
from timm.models._manipulate import checkpoint
from torch import Tensor, nn

from seqsuite.backbones.grid import ScanOrder
from seqsuite.errors import UserError, unknown_name
from seqsuite.mixers.base import Mixer
from seqvision.models.mamba_nd_parts import (
    GridPatchEmbed,
    MambaNDBlock,
    Size,
    make_mixers,
    resample_positions,
    settled_orders,
    settled_sizes,
)

POOLS = ("", "avg", "max")


class MambaND(nn.Module):
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
        super().__init__()
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        image, patch = settled_sizes(img_size, patch_size)
        _check(depth, merge_after, update_interval, global_pool)
        self.ndim = len(image)
        self.num_classes, self.in_chans, self.global_pool = num_classes, in_chans, global_pool
        self.num_features = self.head_hidden_size = self.embed_dim = embed_dim
        self.output_fmt = "NHWC"
        self.grad_checkpointing = False
        self.update_interval = update_interval

        pad = self.ndim != 3 if pad_input is None else pad_input
        self.patch_embed = GridPatchEmbed(image, patch, in_chans, embed_dim, pad=pad, **dd)
        self.pos_embed = nn.Parameter(torch.empty(1, *self.patch_embed.grid_size, embed_dim, **dd))
        self.pos_drop = nn.Dropout(pos_drop_rate)
        self.blocks = _blocks(
            embed_dim,
            settled_orders(orders, self.ndim),
            make_mixers(mixer, depth, embed_dim, mixer_options or {}, **dd),
            merge_after,
            drop=proj_drop_rate,
            drop_path=drop_path_rate,
            skip=update_interval == 1,
            **dd,
        )
        self.feature_info = [
            {"num_chs": embed_dim, "module": f"blocks.{index}", "reduction": max(patch) * 2**merges}
            for index in range(depth)
            for merges in [sum(place < index for place in merge_after)]
        ]
        self.norm = nn.LayerNorm(embed_dim, eps=1e-6, **dd) if final_norm else nn.Identity()
        self.fc_norm = nn.LayerNorm(embed_dim, eps=fc_norm_eps, **dd) if fc_norm else nn.Identity()
        self.head_drop = nn.Dropout(drop_rate)
        self.head = self._classifier(num_classes, **dd)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        self._mark()

    def _classifier(self, num_classes: int, **dd: Any) -> nn.Module:
        """Return a classifier that starts close to zero, as published."""
        if num_classes <= 0:
            return nn.Identity()
        head = nn.Linear(self.head_hidden_size, num_classes, **dd)
        nn.init.trunc_normal_(head.weight, std=2e-5)
        nn.init.zeros_(head.bias)
        return head

    def _mark(self) -> None:
        """Tell the suite's optimiser that positions do not decay; a mixer marks its own parameters."""
        self.pos_embed._no_weight_decay = True  # type: ignore[attr-defined]

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Mark the parameters of a copy: torch copies parameters without their attributes."""
        super().__setstate__(state)
        self._mark()

    @torch.jit.ignore
    def no_weight_decay(self) -> set[str]:
        """Return the names of the parameters that an optimiser must not decay."""
        mixers = [(name, module) for name, module in self.named_modules() if isinstance(module, Mixer)]
        return {"pos_embed"} | {f"{name}.{own}" for name, module in mixers for own in sorted(module.no_decay)}

    @torch.jit.ignore
    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Return the patterns that group parameters by depth, for layer-wise learning rates."""
        return {
            "stem": r"^pos_embed|^patch_embed",
            "blocks": [(r"^blocks\.(\d+)", None), (r"^norm|^fc_norm", (99999,))],
        }

    @torch.jit.ignore
    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Keep each block's input only and run the block again in the backward pass."""
        self.grad_checkpointing = enable

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

    def set_input_size(self, img_size: Size | None = None, patch_size: Size | None = None) -> None:
        """Resample the positions to another size of input, so that it is not done at every call.

        Args:
            img_size: The new size; one number is for all axes, and of fewer numbers than axes the last axes take
                them. None: as it is.
            patch_size: Must stay as it is.

        Raises:
            UserError: Another patch size, or too many numbers.
        """
        embed = self.patch_embed
        if patch_size is not None and settled_sizes(embed.img_size, patch_size)[1] != embed.patch_size:
            raise UserError(f"set_input_size: the patches of {embed.patch_size} cannot be changed, got {patch_size}")
        if img_size is not None:
            given = (img_size,) * self.ndim if isinstance(img_size, int) else tuple(img_size)
            kept = embed.img_size[: self.ndim - len(given)]
            embed.img_size = settled_sizes((*kept, *given), embed.patch_size)[0]
        old = self.pos_embed
        with torch.no_grad():
            table = resample_positions(old, embed.grid_size)
        if table is not old:
            self.pos_embed = nn.Parameter(table, requires_grad=old.requires_grad)
            self._mark()
        if self.ndim == 2:
            update_model_input_size(self, embed.img_size)
        else:  # timm's own record is for images
            update_model_args(self, img_size=embed.img_size)

    def _embed(self, x: Tensor) -> Tensor:
        x = self.patch_embed(x)
        return self.pos_drop(x + resample_positions(self.pos_embed, x.shape[1:-1]))

    def _block(self, index: int, x: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        """Run one block on the features; return the new ones and what the next block of the group reads."""
        block = self.blocks[index]
        run: Any = partial(checkpoint, block) if self.grad_checkpointing else block
        if self.update_interval == 1:
            x = run(x)
            return x, x
        x = x + run(start)
        return x, x if (index + 1) % self.update_interval == 0 else start

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the features of (B, C, *size): (B, *grid, D)."""
        x = start = self._embed(x)
        for index in range(len(self.blocks)):
            x, start = self._block(index, x, start)
        return self.norm(x)

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | Sequence[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: Literal["NCHW", "NHWC"] = "NCHW",
        intermediates_only: bool = False,
    ) -> Any:
        """Run the model and return features from within.

        Args:
            x: (B, C, *size).
            indices: Blocks whose outputs are returned: the last n, or these; None: all.
            norm: Normalise them as the final ones.
            stop_early: Do not run further than the last of them.
            output_fmt: "NCHW" for (B, D, *grid), "NHWC" for (B, *grid, D).
            intermediates_only: Return only them.

        Returns:
            The features (B, *grid, D) and the list of intermediate ones, or the list alone.
        """
        if output_fmt not in ("NCHW", "NHWC"):
            raise ValueError(f"output_fmt must be NCHW or NHWC, not {output_fmt!r}")
        take, last = feature_take_indices(len(self.blocks), indices)  # type: ignore[arg-type]
        intermediates = []
        x = start = self._embed(x)
        for index in range(last + 1 if stop_early else len(self.blocks)):
            x, start = self._block(index, x, start)
            if index in take:
                y = self.norm(x) if norm else x
                intermediates.append(y.movedim(-1, 1).contiguous() if output_fmt == "NCHW" else y)
        return intermediates if intermediates_only else (self.norm(x), intermediates)

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

    def forward(self, x: Tensor) -> Tensor:
        """Classify (B, C, *size): (B, num_classes)."""
        return self.forward_head(self.forward_features(x))


def _blocks(
    dim: int,
    cycle: Sequence[ScanOrder],
    mixers: Sequence[Mixer],
    merge_after: Sequence[int],
    *,
    drop_path: float,
    **shared: Any,
) -> nn.ModuleList:
    """Return a block around every mixer, with the orders in turn and drop path rising from 0 to `drop_path`."""
    drop_paths: Any = calculate_drop_path_rates(drop_path, len(mixers))
    blocks = []
    for index, mixer in enumerate(mixers):
        order, merge = cycle[index % len(cycle)], index - 1 in merge_after
        blocks.append(MambaNDBlock(dim, order, mixer, drop_path=drop_paths[index], merge=merge, **shared))
    return nn.ModuleList(blocks)


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
