"""SaShiMi: raw audio, sample by sample (Goel et al. 2022, https://arxiv.org/abs/2202.09729).

    model = seqsuite.create_model("sashimi")
    logits = model(input_ids)                       # (B, L, 256): position t predicts sample t, inputs one earlier
    logits, state = model.prefill(prompt)           # then, sample by sample:
    logits_t, state = model.step(code, state)

Any length of input goes, and `step` works at every depth, with and without layers on the way down.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from seqaudio.configs.classifier import ClassifierConfig
from seqaudio.configs.models import SashimiConfig
from seqaudio.models.base import SampleModel
from seqaudio.models.diffwave import FrameNorm
from seqsuite import plugins
from seqsuite.backbones.norms import create_norm
from seqsuite.backbones.pooled_layers import residual_blocks
from seqsuite.backbones.unet import PooledBackbone
from seqsuite.errors import UserError
from seqsuite.mixers.base import Mixer
from seqsuite.mixers.bidirectional import Bidirectional
from seqsuite.mixers.create import is_pattern
from seqsuite.models.base import settle_mixer


class Sashimi(SampleModel):
    """The published architecture over any mixer, with its heads; see `SashimiConfig`."""

    config: SashimiConfig
    backbone: PooledBackbone

    def __init__(self, config: SashimiConfig) -> None:
        config = settle_mixer(config)
        super().__init__(config)
        self.backbone = build_backbone(config)
        self.make_head()

    @property
    def causal(self) -> bool:
        """Whether no step sees a later one."""
        return self.backbone.causal


def build_backbone(config: SashimiConfig | ClassifierConfig) -> PooledBackbone:
    """Build the backbone and its final norm; a classifier's has no layers on the way down, and looks ahead.

    Raises:
        UserError: Both ways are asked for, of mixers that already look both ways.
    """
    norm, unet, shift = "layer", False, False
    if isinstance(config, SashimiConfig):
        norm, unet, shift = config.norm, config.unet, config.shift
    options, wrap = _mixer_options(config)
    blocks = residual_blocks(
        config.mixer,
        config.n_layer,
        mixer_options=options,
        ff=config.ff,
        norm=partial(_norm, norm, eps=config.norm_epsilon),
        dropout=config.dropout,
        wrap=wrap,
    )
    return PooledBackbone(
        config.d_model,
        blocks,
        pool=config.pool,
        expand=config.expand,
        unet=unet,
        shift=shift,
        norm_f=create_norm("layer", config.d_model, config.norm_epsilon),
    )


def _norm(kind: str, width: int, *, eps: float) -> nn.Module:
    return FrameNorm() if kind == "frame" else create_norm(kind, width, eps)


def _mixer_options(
    config: SashimiConfig | ClassifierConfig,
) -> tuple[dict[str, Any], Callable[[Mixer], Mixer] | None]:
    """Return the options of a config's mixers, and the wrapper that makes them look both ways where no option does.

    S4 and S4D have an option for it; other causal mixers are wrapped.
    """
    options = config.mixer_options
    if not config.bidirectional:
        return options, None
    one = not is_pattern(config.mixer)
    if one and "bidirectional" in inspect.signature(plugins.lookup("mixers", config.mixer)).parameters:
        return {**options, "bidirectional": True}, None
    return options, _both_ways


def _both_ways(mixer: Mixer) -> Mixer:
    if not mixer.causal:
        raise UserError(f"bidirectional: {type(mixer).__name__} already looks both ways; leave bidirectional out")
    return Bidirectional(mixer)
