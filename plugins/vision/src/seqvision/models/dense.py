"""An output for every pixel from any backbone: SETR's naive head (Zheng et al. 2021, arXiv 2012.15840).

    F = backbone(x)                                  (B, D, h, w), a feature a patch
    y = resize(W2 relu(norm(W1 F)))                  (B, K, H, W), bilinear

Any height and width: a size that is no multiple of the patch is padded (by the edge's values, or around the globe
with `wrap`) and the output cropped. The backbone is a timm model, made without its classifier and without the
layers behind the chosen level, and reached through `forward_intermediates` alone.

    model = seqsuite.create_model("dense_debug", size=(73, 144), in_chans=2, num_classes=3)
    logits = model(torch.randn(1, 2, 73, 144))       # (1, 3, 73, 144)
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqsuite.errors import UserError, unknown_name
from seqsuite.models.base import Model
from seqsuite.models.configs import round_up
from seqvision.configs.dense import DenseModelConfig
from seqvision.models.image_model import arguments_of, strange_argument


class PixelNorm(nn.LayerNorm):
    """Layer norm over the channels of each pixel of (B, D, h, w)."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class NaiveHead(nn.Sequential):
    """SETR's naive head before its resizing: (B, D, h, w) to (B, K, h, w), each place on its own.

    Args:
        inputs: D.
        width: Channels between the convolutions.
        outputs: K.
        norm: layer or batch.
        drop: Dropout in front of the last convolution.
        zero: Start the last convolution at zero.
    """

    def __init__(
        self, inputs: int, width: int, outputs: int, *, norm: str = "layer", drop: float = 0.0, zero: bool = False
    ) -> None:
        middle: nn.Module = nn.BatchNorm2d(width) if norm == "batch" else PixelNorm(width)
        last = nn.Conv2d(width, outputs, 1)
        if zero:
            nn.init.zeros_(last.weight)
        if last.bias is not None:
            nn.init.zeros_(last.bias)
        super().__init__(nn.Conv2d(inputs, width, 1), middle, nn.ReLU(), nn.Dropout(drop), last)


class DenseModel(Model):
    """Per-pixel outputs; see the module and `DenseModelConfig`.

    Attributes:
        backbone: The timm model.
        head: What it gives to each patch.
        multiple: Height and width of a patch: what the padded input is a multiple of.
    """

    config: DenseModelConfig

    def __init__(self, config: DenseModelConfig) -> None:
        super().__init__(config)
        self._checkpoints = False
        self.mean: Tensor
        self.std: Tensor
        self._make_norm()
        self.multiple = patch_of(config)
        if config.padding == "refuse":
            refuse_remainder(config.size, self.multiple)
        self._sides = self._columns()
        padded = round_up(config.size[0], self.multiple[0]), config.size[1] + sum(self._sides)
        self.backbone = make_backbone(config, padded)
        self._indices, width = self._prune()
        self.head = NaiveHead(
            width,
            config.head_width,
            config.num_classes,
            norm=config.head_norm,
            drop=config.head_drop,
            zero=config.zero_head,
        )

    def _make_norm(self) -> None:
        shape, config = (1, self.config.in_chans, 1, 1), self.config
        mean, std = config.mean or (0.0,) * config.in_chans, config.std or (1.0,) * config.in_chans
        self.register_buffer("mean", torch.tensor(mean).view(shape), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(shape), persistent=False)

    def _columns(self) -> tuple[int, int]:
        """Return the columns that are added on the left and on the right."""
        config, step = self.config, self.multiple[1]
        width = config.size[1]
        if not config.wrap:
            return 0, round_up(width, step) - width
        left = config.margin * step
        right = round_up(width + 2 * left, step) - width - left
        if max(left, right) > width:
            raise UserError(
                f"{type(config).__name__}: margin {config.margin} is wider than the grid of {width} columns"
            )
        return left, right

    def _prune(self) -> tuple[list[int], int]:
        """Take off the classifier and what lies behind the level; return the level as timm counts it, and its width."""
        body: Any = self.backbone
        count = len(body.feature_info)
        level = _level(self.config, count)
        # The last norm belongs to the last level; it would get no gradient behind another.
        self._norm = level == count - 1
        width = int(body.feature_info[level]["num_chs"])
        kept = body.prune_intermediate_layers([level], prune_norm=not self._norm, prune_head=True)
        return list(kept), width

    @property
    def checkpoint_activations(self) -> bool:
        """Whether the backbone's blocks run again in the backward pass; set it to change that."""
        return self._checkpoints

    @checkpoint_activations.setter
    def checkpoint_activations(self, on: bool) -> None:
        body: Any = self.backbone
        body.set_grad_checkpointing(on)
        self._checkpoints = on

    def _features(self, x: Tensor) -> Tensor:
        body: Any = self.backbone
        found: Tensor = body.forward_intermediates(
            x, indices=self._indices, norm=self._norm, output_fmt="NCHW", intermediates_only=True
        )[-1]
        return found

    def padded(self, x: Tensor) -> Tensor:
        """Return (B, C, H, W) as large as the backbone wants it: rows below, columns on both sides."""
        rows = -x.shape[-2] % self.multiple[0]
        x = F.pad(x, (*self._sides, 0, 0), mode="circular" if self.config.wrap else "replicate")
        return F.pad(x, (0, 0, 0, rows), mode="replicate")

    def forward_features(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Return the features (B, D, h, w) of the padded patches of (B, C, H, W).

        Raises:
            UserError: The size or the number of channels is not the model's.
        """
        expected = (self.config.in_chans, *self.config.size)
        if tuple(x.shape[1:]) != expected:
            raise UserError(f"the model takes (batch, {', '.join(map(str, expected))}), not {tuple(x.shape)}")
        x = (x - self.mean) / self.std
        return self._features(self.padded(x.to(next(self.parameters()).dtype)))

    def forward_head(self, features: Tensor) -> Tensor:  # type: ignore[override]
        """Return the outputs (B, K, H, W) of features (B, D, h, w)."""
        height, width = self.config.size
        left, right = self._sides
        whole = (round_up(height, self.multiple[0]), left + width + right)
        out = F.interpolate(self.head(features), size=whole, mode="bilinear", align_corners=False)
        return out[..., :height, left : left + width]

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Return the outputs (B, K, H, W) of images or fields (B, C, H, W)."""
        return self.forward_head(self.forward_features(x))

    def no_weight_decay(self) -> set[str]:
        """Return what our modules and the backbone ask not to decay."""
        inner: Any = getattr(self.backbone, "no_weight_decay", set)
        known = {name for name, _ in self.named_parameters()}
        return super().no_weight_decay() | {f"backbone.{name}" for name in inner()} & known


def _level(config: DenseModelConfig, count: int) -> int:
    """Return the level of a backbone with so many, from 0."""
    if not -count <= config.level < count:
        raise UserError(f"level {config.level}: {config.backbone} has the levels 0 to {count - 1} (or -{count} to -1)")
    return config.level % count


def refuse_remainder(size: tuple[int, int], multiple: tuple[int, int]) -> None:
    """Raise one line unless the size is a multiple of the patch."""
    for axis, length, step in zip(("height", "width"), size, multiple, strict=True):
        if length % step:
            raise UserError(
                f"the {axis} {length} is not divisible by the patch of {step}; choose --model_options.padding pad, or "
                "another patch"
            )


def patch_of(config: DenseModelConfig) -> tuple[int, int]:
    """Return the height and width that a backbone's input must be multiples of, from a trial model on no device."""
    with torch.device("meta"):
        trial = make_backbone(config, None)
    reductions = int(trial.feature_info[_level(config, len(trial.feature_info))]["reduction"])
    patch = getattr(getattr(trial, "patch_embed", None), "patch_size", None)
    if not isinstance(patch, tuple) or len(patch) != 2 or max(patch) == 0:
        return reductions, reductions
    # A plain transformer's patches may be rectangular; what merges patches reduces both sides further.
    further = max(1, reductions // max(patch))
    return int(patch[0]) * further, int(patch[1]) * further


def make_backbone(config: DenseModelConfig, size: tuple[int, int] | None) -> Any:
    """Build the timm model of a config for an input of this size; None: of its own size.

    Raises:
        UserError: No such model, an option that it does not take, or no `forward_intermediates`.
    """
    import timm

    name = config.backbone
    known = timm.list_models()
    if name.partition(".")[0] not in known:
        raise unknown_name("backbone", name, known)
    options = {"in_chans": config.in_chans, **config.backbone_options}
    body = _create(name, options, size)
    missing = [want for want in ("forward_intermediates", "prune_intermediate_layers") if not hasattr(body, want)]
    if missing:
        raise UserError(f"backbone {name!r} has no {missing[0]}, which dense outputs need; choose another")
    return body


def _create(name: str, options: dict[str, Any], size: tuple[int, int] | None) -> Any:
    import timm

    given: dict[str, Any] = {} if size is None else {"img_size": size}
    try:
        try:
            return timm.create_model(name, **options, **given)
        except TypeError as error:
            # A convolutional network has no size of its own.
            if "'img_size'" not in str(error):
                raise
            return timm.create_model(name, **options)
    except (TypeError, ValueError, AssertionError, ArithmeticError, RuntimeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        hint = strange_argument(error, lambda: arguments_of(name))
        raise UserError(f"backbone {name!r} cannot be built with {options | given}: {reason}{hint}") from error
