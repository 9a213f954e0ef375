"""SiMBA's names and sizes for timm: a four-stage pyramid of Mamba and channel mixing.

    import seqvision.models
    model = timm.create_model("simba_small_einfft", num_classes=10)

Paper: Patro and Agneeswaran 2024, https://arxiv.org/abs/2403.15360; its accuracies are of runs with token
labels (``token_label=True``). The public code has EinFFT switched off; here it is in the name. Published
state dicts load through `checkpoint_filter_fn`; weights were never released.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model

from seqvision.models.simba_convert import checkpoint_filter_fn
from seqvision.models.simba_layers import SiMBABlock
from seqvision.models.simba_model import SiMBA

__all__ = ["SiMBA", "SiMBABlock", "checkpoint_filter_fn"]


def _cfg(**kwargs: Any) -> dict[str, Any]:
    return {
        "url": "",
        "num_classes": 1000,
        "input_size": (3, 224, 224),
        "pool_size": (7, 7),
        "crop_pct": 0.9,
        "interpolation": "bicubic",
        "mean": IMAGENET_DEFAULT_MEAN,
        "std": IMAGENET_DEFAULT_STD,
        "first_conv": "stem.conv.0",
        "classifier": "head",
        "paper_ids": "arXiv:2403.15360",
        "license": "apache-2.0",
        **kwargs,
    }


_TINY: dict[str, Any] = {"input_size": (3, 160, 160), "pool_size": (5, 5)}
default_cfgs = generate_default_cfgs(
    {
        "simba_small.untrained": _cfg(),
        "simba_small_einfft.untrained": _cfg(),
        "simba_base.untrained": _cfg(),
        "simba_base_einfft.untrained": _cfg(),
        "simba_large.untrained": _cfg(),
        "simba_large_einfft.untrained": _cfg(),
        "test_simba.untrained": _cfg(**_TINY),
        "test_simba_einfft.untrained": _cfg(**_TINY),
    }
)

_SMALL: dict[str, Any] = {"embed_dims": (64, 128, 320, 448), "depths": (3, 4, 6, 3), "stem_width": 32}
_BASE: dict[str, Any] = {"embed_dims": (64, 128, 320, 512), "depths": (3, 4, 12, 3), "stem_width": 64}
_LARGE: dict[str, Any] = {"embed_dims": (96, 192, 384, 512), "depths": (3, 6, 18, 3), "stem_width": 64}
_TEST: dict[str, Any] = {
    "embed_dims": (16, 24, 32, 40),
    "depths": (1, 1, 2, 1),
    "mlp_ratios": (2, 2, 2, 2),
    "stem_width": 8,
    "mixer_options": {"d_state": 8},
}


def _create_simba(variant: str, pretrained: bool, defaults: Mapping[str, Any], **kwargs: Any) -> SiMBA:
    if "mixer" in kwargs:  # the variant's options are Mamba's
        defaults = {name: value for name, value in defaults.items() if name != "mixer_options"}
    return build_model_with_cfg(
        SiMBA,
        variant,
        pretrained,
        pretrained_filter_fn=checkpoint_filter_fn,
        feature_cfg={"out_indices": (0, 1, 2, 3), "feature_cls": "getter"},
        **{**defaults, **kwargs},
    )


@register_model
def simba_small(pretrained: bool = False, **kwargs: Any) -> SiMBA:
    """SiMBA-S with MLP, 26.1 million parameters."""
    return _create_simba("simba_small", pretrained, _SMALL, **kwargs)


@register_model
def simba_small_einfft(pretrained: bool = False, **kwargs: Any) -> SiMBA:
    """SiMBA-S with EinFFT, 14.9 million parameters."""
    return _create_simba("simba_small_einfft", pretrained, _SMALL | {"channel_mixer": "einfft"}, **kwargs)


@register_model
def simba_base(pretrained: bool = False, **kwargs: Any) -> SiMBA:
    """SiMBA-B with MLP, 39.7 million parameters."""
    return _create_simba("simba_base", pretrained, _BASE, **kwargs)


@register_model
def simba_base_einfft(pretrained: bool = False, **kwargs: Any) -> SiMBA:
    """SiMBA-B with EinFFT, 22.3 million parameters."""
    return _create_simba("simba_base_einfft", pretrained, _BASE | {"channel_mixer": "einfft"}, **kwargs)


@register_model
def simba_large(pretrained: bool = False, **kwargs: Any) -> SiMBA:
    """SiMBA-L with MLP, 66.3 million parameters."""
    return _create_simba("simba_large", pretrained, _LARGE, **kwargs)


@register_model
def simba_large_einfft(pretrained: bool = False, **kwargs: Any) -> SiMBA:
    """SiMBA-L with EinFFT, 36.1 million parameters."""
    return _create_simba("simba_large_einfft", pretrained, _LARGE | {"channel_mixer": "einfft"}, **kwargs)


@register_model
def test_simba(pretrained: bool = False, **kwargs: Any) -> SiMBA:  # noqa: PT028 - timm's way to name it
    """A tiny SiMBA with MLP for tests."""
    return _create_simba("test_simba", pretrained, _TEST, **kwargs)


@register_model
def test_simba_einfft(pretrained: bool = False, **kwargs: Any) -> SiMBA:  # noqa: PT028 - timm's way to name it
    """A tiny SiMBA with EinFFT for tests."""
    return _create_simba("test_simba_einfft", pretrained, _TEST | {"channel_mixer": "einfft"}, **kwargs)
