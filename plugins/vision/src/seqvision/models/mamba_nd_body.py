"""Mamba-ND without its classifier: patches, positions, blocks that scan in changing orders, and the features.

`seqvision.models.mamba_nd_model` puts the classifier on it. Everything here holds for any number of axes; positions
are resampled to inputs of other sizes. Li et al. 2024, https://arxiv.org/abs/2402.05892.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import torch
from timm.models._features import feature_take_indices
from timm.models._input import update_model_args, update_model_input_size
from timm.models._manipulate import checkpoint
from torch import Tensor, nn

from seqsuite.errors import UserError
from seqsuite.mixers.base import Mixer
from seqvision.models.mamba_nd_parts import GridPatchEmbed, MambaNDBlock, Size, resample_positions, settled_sizes


class GridBody(nn.Module):
    """Features (B, *grid, D) of (B, C, *size).

    Args:
        patch_embed: Cuts the input into patches of width D.
        blocks: What runs over them, in turn.
        update_interval: Blocks that read the same features and whose branches are added to them, instead of one
            block after the other (1).
        pos_drop_rate: Dropout behind the positions.
        final_norm: Normalise the features.
        device: Where the parameters live.
        dtype: Of the parameters.
    """

    def __init__(
        self,
        patch_embed: GridPatchEmbed,
        blocks: Sequence[MambaNDBlock],
        *,
        update_interval: int,
        pos_drop_rate: float,
        final_norm: bool,
        device: Any,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__()
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        dim = patch_embed.proj.weight.shape[0]
        self.ndim = len(patch_embed.patch_size)
        self.num_features = self.head_hidden_size = self.embed_dim = dim
        self.output_fmt = "NHWC"
        self.grad_checkpointing = False
        self.update_interval = update_interval

        self.patch_embed = patch_embed
        self.pos_embed = nn.Parameter(torch.empty(1, *patch_embed.grid_size, dim, **dd))
        self.pos_drop = nn.Dropout(pos_drop_rate)
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(dim, eps=1e-6, **dd) if final_norm else nn.Identity()
        self.feature_info = []
        reduction = max(patch_embed.patch_size)
        for index, block in enumerate(blocks):
            reduction *= 1 if block.downsample is None else 2
            self.feature_info.append({"num_chs": dim, "module": f"blocks.{index}", "reduction": reduction})
        self._mark()

    def draw_positions(self) -> None:
        """Fill the position table, which is born empty; a subclass calls this once its other parameters are drawn."""
        nn.init.trunc_normal_(self.pos_embed, std=0.02)

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
    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Keep each block's input only and run the block again in the backward pass."""
        self.grad_checkpointing = enable

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

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Return the features (B, *grid, D) as they are; a subclass puts its head here."""
        return x

    # It stands here also for the classifier: torch's tracer wraps functions in the module that holds `forward` alone.
    def forward(self, x: Tensor) -> Tensor:
        """Run (B, C, *size) through features and head: a classifier's logits (B, num_classes)."""
        return self.forward_head(self.forward_features(x))
