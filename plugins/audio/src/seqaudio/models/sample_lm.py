"""A flat residual stack of any mixer over quantised samples: one rate, no pooling.

    model = seqsuite.create_model("tcn")                                   # WaveNet-like dilated convolutions
    model = seqsuite.create_model("tcn", mixer="mamba", d_model=256)       # any other mixer

The views are those of `seqaudio.models.base.SampleModel`.
"""

from __future__ import annotations

from typing import Any

from seqaudio.configs.models import SampleLMConfig
from seqaudio.models.base import SampleModel
from seqsuite.backbones.residual import ResidualStack
from seqsuite.models.base import mixer_stack, settle_mixer


class SampleLM(SampleModel):
    """Embedding, residual stack and head; see `SampleLMConfig`."""

    config: SampleLMConfig
    backbone: ResidualStack

    def __init__(self, config: SampleLMConfig) -> None:
        config = settle_mixer(config)
        super().__init__(config)
        self.backbone = mixer_stack(config)
        self.make_head()

    @property
    def causal(self) -> bool:
        """Whether no step sees a later one."""
        layers: Any = self.backbone.layers
        return all(block.mixer.causal for block in layers)
