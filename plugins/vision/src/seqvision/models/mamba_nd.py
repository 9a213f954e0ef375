"""Mamba-ND for grids of any number of axes: one scan a block, in an order that changes from block to block.

Li, Singh, Grover 2024, "Mamba-ND: Selective State Space Modeling for Multi-Dimensional Data",
https://arxiv.org/abs/2402.05892. Images, videos, volumes and fields differ in the number of axes of `img_size`
and `patch_size` only; any mixer of the suite can take Mamba's place. The models are in timm's registry:

    model = timm.create_model("mamba_nd_small_patch8_224", num_classes=10)     # (B, 3, 224, 224) -> (B, 10)
    model = MambaND(img_size=(16, 96, 96), patch_size=(2, 16, 16), merge_after=(5,), num_classes=0)

timm's configurations hold the size of a frame only; `CLIP_SIZES` and `model.patch_embed.img_size` have the number of
frames too.
TorchScript is not supported: the scan is an operator with a gradient of its own.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model

from seqvision.models.mamba_nd_convert import checkpoint_filter_fn, inflate, to_published
from seqvision.models.mamba_nd_model import MambaND
from seqvision.models.mamba_nd_parts import MambaNDBlock

__all__ = ["CLIP_SIZES", "MambaND", "MambaNDBlock", "checkpoint_filter_fn", "inflate", "to_published"]

CLIP_SIZES = {
    "mamba_nd_3d_small_patch2x16_32x224": (32, 224, 224),
    "mamba_nd_3d_small_patch1x16_16x224": (16, 224, 224),
    "test_mamba_nd_3d": (4, 32, 32),
}
"""Frames, height and width that the models of clips are built for."""


def _cfg(**given: Any) -> dict[str, Any]:
    return {
        "num_classes": 1000,
        "input_size": (3, 224, 224),
        "pool_size": (14, 14),
        "crop_pct": 224 / 256,
        "interpolation": "bicubic",
        "mean": IMAGENET_DEFAULT_MEAN,
        "std": IMAGENET_DEFAULT_STD,
        "first_conv": "patch_embed.proj",
        "classifier": "head",
        "paper_ids": "arXiv:2402.05892",
        "paper_name": "Mamba-ND: Selective State Space Modeling for Multi-Dimensional Data",
    } | given


default_cfgs = generate_default_cfgs(
    {
        "mamba_nd_small_patch8_224.untrained": _cfg(),
        "mamba_nd_base_patch8_224.untrained": _cfg(),
        "mamba_nd_3d_small_patch2x16_32x224.untrained": _cfg(num_classes=101),
        "mamba_nd_3d_small_patch1x16_16x224.untrained": _cfg(num_classes=400),
        "test_mamba_nd.untrained": _cfg(input_size=(3, 64, 64), pool_size=(4, 4), crop_pct=1.0),
        "test_mamba_nd_3d.untrained": _cfg(input_size=(3, 32, 32), pool_size=(4, 4), num_classes=10),
    }
)


def _create_mamba_nd(
    variant: str, pretrained: bool, taps: tuple[int, ...], model_args: dict[str, Any], **given: Any
) -> Any:
    """Build a registered model: what the caller gives goes before the variant's arguments.

    Args:
        variant: Its name.
        pretrained: Load published weights.
        taps: Blocks that `features_only` returns unless told otherwise.
        model_args: The variant's arguments.
        given: The caller's.
    """
    given = model_args | given
    cls: Any = MambaND
    if not isinstance(given["patch_size"], int) or not isinstance(given["img_size"], int):
        cls = partial(MambaND, img_size=given.pop("img_size"))  # timm reads two numbers out of an argument `img_size`
    return build_model_with_cfg(
        cls,
        variant,
        pretrained,
        pretrained_filter_fn=checkpoint_filter_fn,
        feature_cfg={"out_indices": taps, "feature_cls": "getter"},
        **given,
    )


_IMAGE: dict[str, Any] = {"img_size": 224, "patch_size": 8, "depth": 24, "merge_after": (9,)}
_VIDEO: dict[str, Any] = {"embed_dim": 384, "depth": 36, "final_norm": False}


@register_model
def mamba_nd_small_patch8_224(pretrained: bool = False, **kwargs: Any) -> MambaND:
    """Mamba-2D-S/8 (ImageNet-1k)."""
    return _create_mamba_nd("mamba_nd_small_patch8_224", pretrained, (9, 16, 23), _IMAGE | {"embed_dim": 384}, **kwargs)


@register_model
def mamba_nd_base_patch8_224(pretrained: bool = False, **kwargs: Any) -> MambaND:
    """Mamba-2D-B/8 (ImageNet-1k)."""
    return _create_mamba_nd("mamba_nd_base_patch8_224", pretrained, (9, 16, 23), _IMAGE | {"embed_dim": 768}, **kwargs)


@register_model
def mamba_nd_3d_small_patch2x16_32x224(pretrained: bool = False, **kwargs: Any) -> MambaND:
    """Mamba-3D-S for 32 frames (UCF-101, HMDB-51)."""
    name = "mamba_nd_3d_small_patch2x16_32x224"
    args = {"img_size": CLIP_SIZES[name], "patch_size": (2, 16, 16), "fc_norm": False}
    return _create_mamba_nd(name, pretrained, (11, 23, 35), _VIDEO | args, **kwargs)


@register_model
def mamba_nd_3d_small_patch1x16_16x224(pretrained: bool = False, **kwargs: Any) -> MambaND:
    """Mamba-3D-S for 16 frames (Kinetics-400)."""
    name = "mamba_nd_3d_small_patch1x16_16x224"
    args = {"img_size": CLIP_SIZES[name], "patch_size": (1, 16, 16), "fc_norm_eps": 1e-5}
    return _create_mamba_nd(name, pretrained, (11, 23, 35), _VIDEO | args, **kwargs)


@register_model
def test_mamba_nd(pretrained: bool = False, **kwargs: Any) -> MambaND:  # noqa: PT028
    """A tiny image model for tests."""
    args = {"img_size": 64, "patch_size": 8, "embed_dim": 32, "depth": 5, "merge_after": (1,)}
    return _create_mamba_nd("test_mamba_nd", pretrained, (1, 2, 4), args, **kwargs)


@register_model
def test_mamba_nd_3d(pretrained: bool = False, **kwargs: Any) -> MambaND:  # noqa: PT028
    """A tiny video model for tests."""
    name = "test_mamba_nd_3d"
    args = {"img_size": CLIP_SIZES[name], "patch_size": (2, 8, 8), "embed_dim": 32, "depth": 6, "final_norm": False}
    return _create_mamba_nd(name, pretrained, (1, 3, 5), args | {"fc_norm": False}, **kwargs)
