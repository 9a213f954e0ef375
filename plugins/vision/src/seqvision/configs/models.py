"""Config of the classifiers of images and clips, and the sizes that seqvision lists (torch-free).

A classifier is any architecture that timm knows once `seqvision.models` is imported: ours under their timm names, and
timm's own (`--model resnet18`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from seqsuite.errors import UserError
from seqsuite.mixers.options import check_range
from seqsuite.models.configs import ModelConfig, require_positive

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "box", "hamming", "lanczos")


@dataclass(frozen=True, kw_only=True)
class ImageModelConfig(ModelConfig):
    """A classifier of images or clips from timm's registry, with what its inputs must look like.

    Args:
        architecture: A name of timm's, its own or ours.
        num_classes: Number of classes; 0: features only.
        in_chans: Channels of an input.
        img_size: (H, W) of an input, of clips (T, H, W); empty: the architecture's own.
        options: Further arguments of `timm.create_model`, such as drop_path_rate.
        classes: Names of the classes; empty: not known.
        mean: Of each channel on a scale of 0 to 1; empty: the architecture's own.
        std: Deviation of each channel; empty: the architecture's own.
        interpolation: How images are resized; empty: the architecture's own.
        crop_pct: Share of the resized image that the centre crop keeps; 0: the architecture's own.
        crop_mode: How images of another shape are cut: "center", "squash" or "border"; empty: the architecture's own.
        clip: Of a model of clips, how they are taken from a video (frames, stride, ...).
    """

    model: ClassVar[str] = "seqvision.models.image_model:ImageModel"

    architecture: str
    num_classes: int = 1000
    in_chans: int = 3
    img_size: tuple[int, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    interpolation: str = ""
    crop_pct: float = 0.0
    crop_mode: Literal["", "center", "squash", "border"] = ""
    clip: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        owner = type(self).__name__
        require_positive(self, "in_chans")
        check_range(owner, {"num_classes": self.num_classes}, least=0)
        check_range(owner, dict.fromkeys(["img_size"], min(self.img_size, default=1)), least=1)
        check_range(owner, dict.fromkeys(["std"], min(self.std, default=1.0)), above=0)
        if not 0 <= self.crop_pct <= 1:
            raise UserError(f"{owner}: crop_pct must lie between 0 and 1, not {self.crop_pct:g}")
        if self.interpolation and self.interpolation not in INTERPOLATIONS:
            raise UserError(f"{owner}: interpolation {self.interpolation!r} is none of {', '.join(INTERPOLATIONS)}")
        if self.crop_mode not in ("", "center", "squash", "border"):
            raise UserError(f"{owner}: crop_mode {self.crop_mode!r} is none of center, squash, border")
        if self.classes and len(self.classes) != self.num_classes:
            raise UserError(f"{owner}: classes names {len(self.classes)} of {self.num_classes} classes")
        for name in ("mean", "std"):
            given = len(getattr(self, name))
            if given not in (0, self.in_chans):
                raise UserError(f"{owner}: {name} has {given} numbers for {self.in_chans} channels")


NAMES = (
    "mamba_nd_small_patch8_224",
    "mamba_nd_base_patch8_224",
    "mamba_nd_3d_small_patch2x16_32x224",
    "mamba_nd_3d_small_patch1x16_16x224",
    "simba_small",
    "simba_base",
    "simba_large",
    "simba_small_einfft",
    "simba_base_einfft",
    "simba_large_einfft",
    "test_mamba_nd",
    "test_mamba_nd_3d",
    "test_simba",
    "test_simba_einfft",
)
"""What seqvision adds to timm's registry."""


def _size(architecture: str) -> Callable[[], ImageModelConfig]:
    def size() -> ImageModelConfig:
        return ImageModelConfig(architecture=architecture)

    size.__name__ = size.__qualname__ = architecture
    size.__doc__ = f"timm's name {architecture}, as timm.create_model builds it."
    return size


SIZES = {name: _size(name) for name in NAMES}
"""The sizes by name; each is also an attribute of this module, as the plugin's table wants it."""
globals().update(SIZES)
