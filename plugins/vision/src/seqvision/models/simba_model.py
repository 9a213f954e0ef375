"""The SiMBA model: stem, stages, class block and heads, with what timm asks of a model.

A convolutional stem, four stages of blocks that scan the cells row by row in one direction and then mix
channels with an MLP or with EinFFT, and a class token: the mean of the last stage's cells behind one more
block, which sees that token alone. See `seqvision.models.simba` for names and sizes, and
https://arxiv.org/abs/2403.15360.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from timm.layers import get_device_dtype
from timm.models._features import feature_take_indices
from torch import Tensor, nn

from seqsuite.backbones import EinFFT
from seqsuite.errors import UserError, unknown_name
from seqsuite.mixers import Mixer
from seqvision.models.simba_convert import checkpoint_filter_fn
from seqvision.models.simba_layers import ChannelMixer, SiMBABlock, Stem, init_layer, init_weights, stages_on
from seqvision.models.simba_tokens import Box, draw_box, swap_box

__all__ = ["Pool", "SiMBA", "checkpoint_filter_fn"]  # timm looks for the filter beside the class

Pool = Literal["token", "avg", ""]


class SiMBA(nn.Module):
    """SiMBA on images of any size; see the top of this module.

    Args:
        in_chans: Channels of the image.
        num_classes: Classes; 0: no classifier.
        global_pool: "token": the class token; "avg": the mean of the normalised cells; "": the cells.
        embed_dims: Width of each stage.
        depths: Blocks of each stage.
        mlp_ratios: Hidden width of the MLPs over the stage's width.
        stem_width: Width within the stem.
        channel_mixer: "mlp" (with a depthwise convolution), or "einfft".
        mixer: A name of `seqsuite.mixers.list_mixers()`.
        mixer_options: Its keyword arguments; Mamba has ``d_state=64`` unless they say otherwise.
        token_label: A second classifier of cells for token labelling. In training the model then returns the
            class logits (B, K), the cells' logits (B, H W / 1024, K) and the box of MixToken; in evaluation
            half of the cells' largest logits is added to the class logits.
        mix_token: With `token_label`: in training a box of cells changes places between samples.
        init: "mamba" keeps the mixers' own initial values; "official" redraws their linear layers as the public
            code does, which makes Mamba's first step sizes 0.69 in place of 0.001 to 0.1.
        drop_rate: Dropout in front of the classifier.
        drop_path_rate: Stochastic depth of the last block; it rises linearly from 0.
        device: Where the parameters live.
        dtype: Of the parameters.

    Raises:
        UserError: No such mixer, option or channel mixer, or a size that does not fit.
    """

    output_fmt = "NHWC"

    def __init__(
        self,
        in_chans: int = 3,
        num_classes: int = 1000,
        global_pool: Pool = "token",
        embed_dims: Sequence[int] = (64, 128, 320, 448),
        depths: Sequence[int] = (3, 4, 6, 3),
        mlp_ratios: Sequence[float] = (8, 8, 4, 4),
        stem_width: int = 32,
        channel_mixer: ChannelMixer = "mlp",
        mixer: str = "mamba",
        mixer_options: Mapping[str, Any] | None = None,
        token_label: bool = False,
        mix_token: bool = True,
        init: Literal["mamba", "official"] = "mamba",
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if not len(embed_dims) == len(depths) == len(mlp_ratios) > 0:
            raise UserError(f"SiMBA: embed_dims, depths and mlp_ratios have {_lengths(embed_dims, depths, mlp_ratios)}")
        if init not in ("mamba", "official"):
            raise unknown_name("init", init, ("mamba", "official"))
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        block: dict[str, Any] = {"mixer": mixer, "mixer_options": mixer_options, "channel_mixer": channel_mixer}
        self.num_classes, self.in_chans = num_classes, in_chans
        self.token_label, self.mix_token = token_label, mix_token
        self.init = init

        self.stem = Stem(in_chans, stem_width, embed_dims[0], **dd)
        self.stages = nn.Sequential(*stages_on(embed_dims, depths, mlp_ratios, drop_path_rate, block, dd))
        self.feature_info = [
            {"num_chs": dim, "reduction": 4 * 2**i, "module": f"stages.{i}"} for i, dim in enumerate(embed_dims)
        ]
        self.num_features = self.head_hidden_size = embed_dims[-1]
        self._class_block = {**block, "mlp_ratio": mlp_ratios[-1], "conv": False}
        self.class_blocks = nn.Sequential()
        self.norm: nn.Module = nn.LayerNorm(self.num_features, eps=1e-6, **dd)
        self.head_drop = nn.Dropout(drop_rate)
        self._set_pool(global_pool, dd)
        self._make_heads(dd)
        self.init_weights(needs_reset=False)

    @property
    def grad_checkpointing(self) -> bool:
        """Whether the blocks' activations are recomputed in the backward pass."""
        return any(stage.grad_checkpointing for stage in self.stages)

    def init_weights(self, needs_reset: bool = True) -> None:
        """Draw the initial parameters.

        Args:
            needs_reset: Reset every layer to its own initial values first: for parameters that were never filled.
        """
        init_weights(self, reset=needs_reset, into_mixers=self.init == "official")

    def no_weight_decay(self) -> set[str]:
        """Return the names of the parameters that an optimiser must not decay: those the mixers name."""
        return {
            f"{name}.{parameter}"
            for name, module in self.named_modules()
            if isinstance(module, Mixer | EinFFT)
            for parameter in module.no_decay
        }

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Return timm's patterns of parameter groups in order of depth: stem, blocks (or stages), class block."""
        blocks = [
            (r"^stages\.(\d+)\.downsample", (0,)),
            (r"^stages\.(\d+)\.blocks\.(\d+)", None),
            (r"^stages\.(\d+)\.norm", (99999,)),
        ]
        tail = [(r"^class_blocks\.(\d+)", None), (r"^norm", (99999,))]
        return {"stem": r"^stem", "blocks": r"^stages\.(\d+)" if coarse else blocks, "tail": tail}

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute the blocks' activations in the backward pass."""
        for stage in self.stages:
            stage.grad_checkpointing = enable  # type: ignore[assignment]

    def get_classifier(self) -> nn.Module:
        """Return the classifier of the pooled features."""
        return self.head

    def reset_classifier(self, num_classes: int, global_pool: Pool | None = None) -> None:
        """Replace the classifier, and the cells' one with token labelling.

        Args:
            num_classes: Classes; 0: none.
            global_pool: A new way to pool; None: as it is. Away from "token" the class block is given up; back to it
                a new one is drawn.
        """
        self.num_classes = num_classes
        dd = get_device_dtype(self)
        if global_pool is not None:
            self._set_pool(global_pool, dd)
        self._make_heads(dd)

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """Return the stages' maps.

        Args:
            x: Images (B, C, H, W).
            indices: The last n stages if an int, these stages if a list, all if None.
            norm: Run the last norm over the last map; the others have theirs.
            stop_early: Do not run stages behind the last one asked for.
            output_fmt: "NCHW" or "NHWC", of the maps.
            intermediates_only: Leave out the features.

        Returns:
            The features, as of `forward_features`, and the maps; or the maps alone.
        """
        assert output_fmt in ("NCHW", "NHWC"), f"output_fmt must be NCHW or NHWC, not {output_fmt!r}"
        taken, last = feature_take_indices(len(self.stages), indices)
        maps = []
        x = self.stem(x)
        for index, stage in enumerate(self.stages):
            if stop_early and index > last:
                break
            x = stage(x)
            if index in taken:
                final = norm and index == len(self.stages) - 1
                tap = self.norm(x) if final else x
                maps.append(tap.permute(0, 3, 1, 2).contiguous() if output_fmt == "NCHW" else tap)
        return maps if intermediates_only else (x, maps)

    def prune_intermediate_layers(
        self, indices: int | list[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Drop what the maps asked for do not need.

        Args:
            indices: As in `forward_intermediates`.
            prune_norm: Drop the last norm.
            prune_head: Drop classifier, pooling and class block.

        Returns:
            The indices of the maps, none of them negative.
        """
        taken, last = feature_take_indices(len(self.stages), indices)
        cut = last < len(self.stages) - 1
        self.stages = nn.Sequential(*list(self.stages)[: last + 1])
        if prune_norm or cut:
            self.norm = nn.Identity().train(self.training)
        if cut:
            self.num_features = self.head_hidden_size = self.feature_info[last]["num_chs"]
        if prune_head or cut:
            self.reset_classifier(0, "")
        return taken

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the last stage's map (B, H / 32, W / 32, D) of images (B, C, H, W)."""
        return self.stages(self.stem(x))

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Pool and classify.

        Args:
            x: Of `forward_features`.
            pre_logits: Stop in front of the classifier.

        Returns:
            Logits (B, K), or features (B, D); with ``global_pool=""`` for each cell (B, H / 32, W / 32, ...).
        """
        pooled = self.head_drop(self._pool(x))
        if pre_logits:
            return pooled
        logits = self.head(pooled)
        if self.aux_head is None or self.training:
            return logits
        return logits + 0.5 * self.aux_head(self.norm(x)).amax((1, 2))

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor, Box]:
        """Return logits (B, K) of images (B, C, H, W); in training with token labels see the class."""
        if self.training and self.aux_head is not None:
            return self._forward_tokens(x)
        return self.forward_head(self.forward_features(x))

    def _forward_tokens(self, x: Tensor) -> tuple[Tensor, Tensor, Box]:
        """Run with MixToken: class logits, cells' logits of the images as they were given, and the box."""
        x = self.stem(x)
        scale = 2 ** (len(self.stages) - 1)
        # Cells of the last stage that lie wholly within the map: the pyramid rounds odd sizes up.
        box = draw_box(x.shape[1] // scale, x.shape[2] // scale) if self.mix_token else (0, 0, 0, 0)
        x = self.stages(swap_box(x, box, scale))
        assert self.aux_head is not None
        cells = swap_box(self.aux_head(self.norm(x)), box)
        return self.forward_head(x), cells.flatten(1, 2), box

    def _pool(self, x: Tensor) -> Tensor:
        if self.global_pool != "token":
            x = self.norm(x)
            return x.mean((1, 2)) if self.global_pool == "avg" else x
        token = x.mean((1, 2)).unsqueeze(1)  # (B, 1, D)
        return self.norm(self.class_blocks(token))[:, 0]

    def _set_pool(self, global_pool: Pool, dd: Mapping[str, Any]) -> None:
        assert global_pool in ("token", "avg", ""), f"global_pool must be 'token', 'avg' or '', not {global_pool!r}"
        self.global_pool = global_pool
        if global_pool != "token":
            self.class_blocks = nn.Sequential().train(self.training)
        elif not len(self.class_blocks):
            blocks = nn.Sequential(SiMBABlock(self.num_features, **self._class_block, **dd))
            init_weights(blocks, reset=False, into_mixers=self.init == "official")
            self.class_blocks = blocks.train(self.training)

    def _make_heads(self, dd: Mapping[str, Any]) -> None:
        def classifier() -> nn.Linear:
            layer = nn.Linear(self.num_features, self.num_classes, **dd)
            init_layer(layer)
            return layer.train(self.training)

        self.head = classifier() if self.num_classes > 0 else nn.Identity().train(self.training)
        labelled = self.token_label and self.num_classes > 0 and self.global_pool != ""
        self.aux_head = classifier() if labelled else None


def _lengths(*values: Sequence[Any]) -> str:
    return ", ".join(str(len(value)) for value in values) + " entries; each needs one a stage"
