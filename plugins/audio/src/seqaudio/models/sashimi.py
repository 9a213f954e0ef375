"""SaShiMi: raw audio, sample by sample (Goel et al. 2022, https://arxiv.org/abs/2202.09729).

    model = seqsuite.create_model("sashimi")
    logits = model(input_ids)                       # (B, L, 256): position t predicts sample t, inputs one earlier
    logits, state = model.prefill(prompt)           # then, sample by sample:
    logits_t, state = model.step(code, state)

Any length of input goes, and `step` works at every depth, with and without layers on the way down.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import nn

from seqaudio.configs.models import SashimiConfig
from seqaudio.models.base import SampleModel
from seqaudio.models.diffwave import FrameNorm
from seqsuite import plugins
from seqsuite.backbones.norms import create_norm
from seqsuite.backbones.unet import PooledBackbone, residual_blocks
from seqsuite.errors import UserError
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


def build_backbone(config: SashimiConfig) -> PooledBackbone:
    """Build the backbone and its final norm.

    Raises:
        UserError: Both ways are asked for, of mixers that already look both ways.
    """
    options: Mapping[str, Any] = config.mixer_options
    wrap = None
    if config.bidirectional and _has_both_ways(config.mixer):
        options = {**options, "bidirectional": True}
    elif config.bidirectional:
        wrap = _both_ways
    norm = partial(_norm, config.norm, eps=config.norm_epsilon)
    blocks = residual_blocks(
        config.mixer,
        config.n_layer,
        mixer_options=options,
        ff=config.ff,
        norm=norm,
        dropout=config.dropout,
        wrap=wrap,
    )
    return PooledBackbone(
        config.d_model,
        blocks,
        pool=config.pool,
        expand=config.expand,
        unet=config.unet,
        shift=config.shift,
        norm_f=create_norm("layer", config.d_model, config.norm_epsilon),
    )


def _norm(kind: str, width: int, *, eps: float) -> nn.Module:
    return FrameNorm() if kind == "frame" else create_norm(kind, width, eps)


def _has_both_ways(mixer: str) -> bool:
    """Return whether a mixer has an option for both directions, as S4 and S4D have."""
    if is_pattern(mixer):
        return False
    return "bidirectional" in inspect.signature(plugins.lookup("mixers", mixer)).parameters


def _both_ways(mixer: Any) -> Any:
    if not mixer.causal:
        raise UserError(f"bidirectional: {type(mixer).__name__} already looks both ways; leave bidirectional out")
    return Bidirectional(mixer)
