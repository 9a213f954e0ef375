"""Configs of the models over quantised samples, SaShiMi and flat stacks of mixers, and their sizes (torch-free).

Fields are named as in the paper (Goel et al. 2022, arXiv 2202.09729). The sizes named after data sets carry the
numbers of the published training configurations (state-spaces/s4); `*_debug` trains on a CPU in seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from seqsuite.errors import UserError
from seqsuite.mixers.options import check_range
from seqsuite.models.configs import ModelConfig, check_scales, require_positive

Head = Literal["next_sample", "classification", "none"]


@dataclass(frozen=True, kw_only=True)
class AudioConfig(ModelConfig):
    """What every model over quantised samples has: the quantisation and one of the heads.

    Args:
        d_model: Width D.
        n_layer: Number of mixers, in pooled models in each tier.
        sample_rate: Samples a second.
        bits: Of a sample; there are 2 ** bits codes.
        quantization: How amplitudes become codes.
        head: What `forward` returns: logits over the codes, over classes, or the features.
        num_classes: Outputs of the classification head.
        pooling: How the classification head pools steps.
        mixer: Name of the sequence mixer; or a pattern, repeated or cut to `n_layer`: "s4*3, attention".
        mixer_options: Its options, by name; of a pattern {"s4": {...}, "attention": {...}}, by mixer.
        norm_epsilon: Epsilon of the norms.
        initializer_range: Standard deviation of the embedding.
    """

    d_model: int
    n_layer: int
    sample_rate: int = 16000
    bits: int = 8
    quantization: Literal["mu_law", "linear"] = "mu_law"
    head: Head = "next_sample"
    num_classes: int = 10
    pooling: Literal["mean", "max", "first", "last"] = "mean"
    mixer: str = "s4"
    mixer_options: dict[str, Any] = field(default_factory=dict)
    norm_epsilon: float = 1e-5
    initializer_range: float = 1.0

    def __post_init__(self) -> None:
        require_positive(self, "d_model", "n_layer", "sample_rate", "num_classes")
        check_scales(self)
        if not 1 <= self.bits <= 16:
            raise UserError(f"{type(self).__name__}: bits must be 1 to 16, not {self.bits}")

    @property
    def vocab_size(self) -> int:
        """Number of codes."""
        return 2**self.bits


def check_pooled(config: Any) -> None:
    """Check the fields of layers at several rates: pool, expand, ff and dropout.

    Raises:
        UserError: One is out of range.
    """
    owner = type(config).__name__
    require_positive(config, "expand")
    check_range(owner, {f"pool[{i}]": factor for i, factor in enumerate(config.pool)}, least=1)
    check_range(owner, {"ff": config.ff, "dropout": config.dropout}, least=0)
    if config.dropout >= 1:
        raise UserError(f"{owner}: dropout must be below 1, not {config.dropout}")


@dataclass(frozen=True, kw_only=True)
class SashimiConfig(AudioConfig):
    """SaShiMi: S4 and feed-forward layers at several rates.

    Args:
        pool: By how much each tier divides the rate, from the outermost inwards; empty: one rate.
        expand: By how much each multiplies the width.
        ff: Inner width of the feed-forward layers in units of their width; 0: none.
        unet: Layers on the way down too, and a skip from each to its mirror.
        bidirectional: Mixers look both ways; there is no `step` then, nor a head for the next sample.
        shift: What comes from a lower rate speaks to the steps behind it. Without it nothing is causal.
        norm: In front of every layer: "layer", or "frame", which has one scale and one shift for all channels (as
            checkpoints of the published training code have it).
        dropout: On what every layer gives.
    """

    model: ClassVar[str] = "seqaudio.models.sashimi:Sashimi"

    pool: tuple[int, ...] = (4, 4)
    expand: int = 2
    ff: int = 2
    unet: bool = False
    bidirectional: bool = False
    shift: bool = True
    norm: Literal["layer", "frame"] = "layer"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_pooled(self)
        owner = type(self).__name__
        if self.head == "next_sample" and (self.bidirectional or (self.pool and not self.shift)):
            what = "bidirectional=True" if self.bidirectional else "shift=False"
            raise UserError(f"{owner}: {what} would read the samples to predict; use head='classification' or 'none'")

    @property
    def total_pool(self) -> int:
        """Samples of one step of the innermost tier; any length of input goes."""
        return math.prod(self.pool)


@dataclass(frozen=True, kw_only=True)
class SampleLMConfig(AudioConfig):
    """A flat residual stack of any mixer over quantised samples.

    Args:
        norm: Normalisation in front of each mixer.
        residual_in_fp32: Keep the residual stream in float32 under lower precision.
    """

    model: ClassVar[str] = "seqaudio.models.sample_lm:SampleLM"

    norm: Literal["rms", "layer"] = "layer"
    residual_in_fp32: bool = True


def sashimi() -> SashimiConfig:
    """Of the published SC09 recipe (speech, 8-bit mu-law): 4.8 million parameters."""
    return SashimiConfig(d_model=64, n_layer=8, mixer_options={"n_ssm": 1, "dt_transform": "softplus"})


def sashimi_unet() -> SashimiConfig:
    """Of the published SC09 U-net recipe, a state matrix a channel: 6.8 million parameters."""
    return SashimiConfig(d_model=64, n_layer=8, unet=True, mixer_options={"dt_transform": "softplus"})


def sashimi_youtubemix() -> SashimiConfig:
    """Of the published YouTubeMix recipe (piano, 8-bit mu-law): state matrices learn at a quarter of the rate."""
    options = {"n_ssm": 1, "dt_transform": "softplus", "ssm_lr_scale": 0.25}
    return SashimiConfig(d_model=64, n_layer=8, mixer_options=options)


def sashimi_beethoven() -> SashimiConfig:
    """Of the published Beethoven recipe (piano, 8-bit linear)."""
    options = {"n_ssm": 1, "dt_transform": "softplus", "ssm_lr_scale": 0.25}
    return SashimiConfig(d_model=64, n_layer=8, quantization="linear", mixer_options=options)


def sashimi_debug() -> SashimiConfig:
    """Trains on a CPU in seconds."""
    return SashimiConfig(d_model=16, n_layer=1, pool=(4, 2), mixer_options={"d_state": 16, "n_ssm": 1})


def sashimi_unet_debug() -> SashimiConfig:
    """Trains on a CPU in seconds; with layers on the way down."""
    return SashimiConfig(d_model=16, n_layer=1, pool=(4, 2), unet=True, mixer_options={"d_state": 16, "n_ssm": 1})


def tcn() -> SampleLMConfig:
    """Dilated causal convolutions in the manner of WaveNet, with 4.8 million parameters, as `sashimi` has."""
    return SampleLMConfig(d_model=128, n_layer=7, mixer="tcn", mixer_options={"levels": 10, "kernel_size": 2})


def tcn_debug() -> SampleLMConfig:
    """Trains on a CPU in seconds; as many parameters as `sashimi_debug`."""
    return SampleLMConfig(d_model=28, n_layer=3, mixer="tcn", mixer_options={"levels": 4, "kernel_size": 2})


SIZES = {
    size.__name__: size
    for size in (
        sashimi,
        sashimi_unet,
        sashimi_youtubemix,
        sashimi_beethoven,
        sashimi_debug,
        sashimi_unet_debug,
        tcn,
        tcn_debug,
    )
}
"""The sizes above by name."""
