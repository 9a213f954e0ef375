"""Configs of models with an output for every pixel, and their named sizes (torch-free).

A backbone is any name of timm's registry whose model has `forward_intermediates`, ours (`mamba_nd_*`, `simba_*`)
among them; the head is the naive one of SETR (Zheng et al. 2021, https://arxiv.org/abs/2012.15840).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from seqsuite.errors import UserError
from seqsuite.mixers.options import check_range
from seqsuite.models.configs import ModelConfig, require_positive


@dataclass(frozen=True, kw_only=True)
class DenseModelConfig(ModelConfig):
    """A backbone, a head of two 1x1 convolutions, and a resizing to the input's pixels.

    Args:
        backbone: A name of timm's registry.
        backbone_options: Arguments of the backbone, by name: {"patch_size": 4, "depth": 4}.
        level: Which of the backbone's features the head reads; -1 the last, 0 the first.
        in_chans: Channels of the input.
        num_classes: Channels of the output.
        size: Height and width of the input.
        padding: What becomes of a size that is no multiple of the patch: pad it and crop the output, or refuse it.
        wrap: The columns are a circle, as longitudes are: what lies beyond one edge is the other edge.
        margin: Columns, in patches, that are repeated beyond either edge with `wrap`.
        head_width: Channels between the head's two convolutions.
        head_norm: Norm between them: over the channels of a pixel, or over the batch, as SETR has it.
        head_drop: Dropout in front of the last convolution.
        zero_head: The last convolution starts at zero, so that an untrained model gives zeros.
        class_names: Names of the output's channels; empty or as many as `num_classes`.
        mean: What is subtracted from each input channel; empty: nothing.
        std: What each input channel is divided by; empty: nothing.
    """

    model: ClassVar[str] = "seqvision.models.dense:DenseModel"

    backbone: str = "test_mamba_nd"
    backbone_options: dict[str, Any] = field(default_factory=dict)
    level: int = -1
    in_chans: int = 3
    num_classes: int = 2
    size: tuple[int, int] = (64, 64)
    padding: Literal["pad", "refuse"] = "pad"
    wrap: bool = False
    margin: int = 0
    head_width: int = 64
    head_norm: Literal["layer", "batch"] = "layer"
    head_drop: float = 0.0
    zero_head: bool = False
    class_names: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        owner = type(self).__name__
        require_positive(self, "in_chans", "num_classes", "head_width")
        check_range(owner, {"height of size": self.size[0], "width of size": self.size[1]}, least=1)
        check_range(owner, {"margin": self.margin, "head_drop": self.head_drop}, least=0)
        if self.head_drop >= 1:
            raise UserError(f"{owner}: head_drop must be below 1, not {self.head_drop}")
        if self.class_names and len(self.class_names) != self.num_classes:
            raise UserError(f"{owner}: {len(self.class_names)} class_names for num_classes {self.num_classes}")
        for name in ("mean", "std"):
            values = getattr(self, name)
            if values and len(values) != self.in_chans:
                raise UserError(f"{owner}: {len(values)} numbers in {name} for in_chans {self.in_chans}")
        if self.std:
            check_range(owner, {"std": min(self.std)}, above=0)


@dataclass(frozen=True, kw_only=True)
class WeatherModelConfig(DenseModelConfig):
    """A forecast of a grid: a linear forecast of each cell, corrected by a `DenseModel`.

    `in_chans` and `num_classes` follow from the other fields, whatever is given.

    Args:
        variables: Names of the variables, the channels of input and output.
        lead: Steps from the last one that is known to the one that is forecast.
        history: Latest steps that the model sees.
        mean_history: Steps whose mean it sees as well; 0 for none.
        phases: Parts of the year that the climatology knows: 12 months, 366 days, or 1.
        correct: Whether there is a network at all; without one the forecast is the linear one.
        units: Of the variables, as the data had them; empty where they are not known.
        step_seconds: From step to step, the median; 0 where it is not known.
    """

    model: ClassVar[str] = "seqvision.models.dense_weather:WeatherModel"

    variables: tuple[str, ...] = ("UWND", "VWND")
    lead: int = 1
    history: int = 3
    mean_history: int = 12
    phases: Literal[1, 12, 366] = 12
    correct: bool = True
    units: tuple[str, ...] = ()
    step_seconds: float = 0.0
    in_chans: int = 0
    num_classes: int = 0
    wrap: bool = True
    margin: int = 1
    zero_head: bool = True

    def __post_init__(self) -> None:
        owner = type(self).__name__
        require_positive(self, "lead", "history")
        check_range(owner, {"mean_history": self.mean_history}, least=0)
        if not self.variables:
            raise UserError(f"{owner}: variables is empty; name at least one")
        if self.units and len(self.units) != len(self.variables):
            raise UserError(f"{owner}: {len(self.units)} units for {len(self.variables)} variables")
        count = len(self.variables)
        maps = count * (self.history + bool(self.mean_history))
        object.__setattr__(self, "in_chans", maps + PLACE_CHANNELS + SEASON_CHANNELS)
        object.__setattr__(self, "num_classes", count)
        super().__post_init__()

    @property
    def steps_back(self) -> int:
        """Steps of history that a forecast needs."""
        return max(self.history, self.mean_history)


PLACE_CHANNELS = 4
"""Sine and cosine of latitude and of longitude."""
SEASON_CHANNELS = 2
"""Sine and cosine of the phase of the year that is forecast."""


def chosen(known: DenseModelConfig, options: dict[str, Any]) -> dict[str, Any]:
    """Return a size's fields to change; another backbone does not take the options that the size has for its own."""
    other = options.get("backbone", known.backbone) != known.backbone
    return {**({"backbone_options": {}} if other else {}), **options}


_TINY_MAMBA: dict[str, Any] = {"patch_size": 4, "embed_dim": 32, "depth": 4, "merge_after": []}
"""Four blocks, one of each scan order, and a feature for every patch."""


def dense_debug() -> DenseModelConfig:
    """Mamba-ND with patches of four pixels; trains on a CPU in seconds to minutes."""
    return DenseModelConfig(backbone_options=dict(_TINY_MAMBA), head_width=32)


def dense_vit_debug() -> DenseModelConfig:
    """The same with timm's smallest vision transformer."""
    return DenseModelConfig(backbone="test_vit", backbone_options={"patch_size": 4}, head_width=32)


def dense_mamba_nd_small() -> DenseModelConfig:
    """Mamba-2D-S with patches of eight; SETR's head width."""
    return DenseModelConfig(backbone="mamba_nd_small_patch8_224", size=(224, 224), head_width=256)


def weather_debug() -> WeatherModelConfig:
    """Mamba-ND with patches of four cells; trains on a CPU in a minute or two."""
    return WeatherModelConfig(backbone_options=dict(_TINY_MAMBA), size=(73, 144), head_width=32, head_drop=0.1)


def weather_vit_debug() -> WeatherModelConfig:
    """The same with timm's smallest vision transformer."""
    return WeatherModelConfig(
        backbone="test_vit", backbone_options={"patch_size": 4}, size=(73, 144), head_width=32, head_drop=0.1
    )


SIZES = {
    size.__name__: size
    for size in (dense_debug, dense_vit_debug, dense_mamba_nd_small, weather_debug, weather_vit_debug)
}
"""The sizes by name, for the plugin's table."""
