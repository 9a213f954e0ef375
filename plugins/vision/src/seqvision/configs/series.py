"""Config of the forecasting model and its named sizes (torch-free).

SiMBA's authors report long-horizon forecasts (Patro and Agneeswaran 2024, https://arxiv.org/abs/2403.15360) and
published no code for them: `seqvision.models.series` is a reconstruction, and none of these sizes is theirs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from seqsuite.errors import UserError
from seqsuite.mixers.options import check_range
from seqsuite.models.configs import ModelConfig, require_positive


@dataclass(frozen=True, kw_only=True)
class SimbaSeriesConfig(ModelConfig):
    """From the last `look_back` rows of a series to the next `horizon`: a reconstruction of SiMBA's second half.

    Args:
        look_back: Rows L that it sees.
        horizon: Rows H that it forecasts.
        channels: Columns C.
        d_model: Width D of a token.
        n_layer: Number of blocks; each mixes tokens, then channels in the frequency domain.
        over: What a token is: a patch of time, or a variate, which is one column's whole look-back.
        independent: Over time: every column is a sequence of its own with the same weights, and none sees another.
            Otherwise a token holds all columns.
        patch: Over time: rows of a patch; 1 is none.
        stride: Rows from patch to patch.
        mixer: Mixer of tokens, a name or a pattern (see `seqsuite.mixers.create`).
        mixer_options: Its options, by name.
        both_ways: A causal mixer runs in both directions.
        einfft_blocks: Blocks of EinFFT's weights; they divide `d_model`.
        einfft_threshold: EinFFT's shrinkage.
        dropout: Share of values set to zero in training behind each mixer and in front of the head.
        center: What is subtracted from a column's look-back and added to its forecast: its mean, its last value, or
            nothing.
        scale: Divide by the look-back's deviation as well, and multiply the forecast by it.
        affine: A learned scale and shift of each column behind this normalisation, undone in the forecast.
        skip: What the blocks correct: a linear map of the look-back, one for all columns; its last value; or nothing.
        norm_epsilon: Epsilon of the norms, and of the deviation.
    """

    model: ClassVar[str] = "seqvision.models.series:SimbaSeries"

    look_back: int = 96
    horizon: int = 96
    channels: int = 7
    d_model: int
    n_layer: int
    over: Literal["time", "variates"] = "time"
    independent: bool = True
    patch: int = 16
    stride: int = 8
    mixer: str = "mamba"
    mixer_options: dict[str, Any] = field(default_factory=dict)
    both_ways: bool = False
    einfft_blocks: int = 4
    einfft_threshold: float = 0.01
    dropout: float = 0.1
    center: Literal["mean", "last", "none"] = "mean"
    scale: bool = True
    affine: bool = False
    skip: Literal["linear", "last", "none"] = "linear"
    norm_epsilon: float = 1e-5

    def __post_init__(self) -> None:
        owner = type(self).__name__
        require_positive(self, "look_back", "horizon", "channels", "d_model", "n_layer", "patch", "stride")
        require_positive(self, "einfft_blocks")
        check_range(owner, {"norm_epsilon": self.norm_epsilon}, above=0)
        check_range(owner, {"dropout": self.dropout, "einfft_threshold": self.einfft_threshold}, least=0)
        if self.dropout >= 1:
            raise UserError(f"{owner}: dropout must be below 1, not {self.dropout}")
        if self.d_model % self.einfft_blocks:
            raise UserError(f"{owner}: d_model {self.d_model} is no multiple of einfft_blocks {self.einfft_blocks}")
        if self.over == "time" and self.patch > self.look_back:
            raise UserError(f"{owner}: a patch of {self.patch} rows is longer than the look_back {self.look_back}")

    @property
    def tokens(self) -> int:
        """Tokens of a sequence: patches that end with the last row, or variates."""
        return (self.look_back - self.patch) // self.stride + 1 if self.over == "time" else self.channels

    @property
    def groups(self) -> int:
        """Sequences of a window: one, or one a column."""
        return self.channels if self.over == "time" and self.independent else 1

    @property
    def token_inputs(self) -> int:
        """Numbers of which a token is made."""
        if self.over == "variates":
            return self.look_back
        return self.patch * self.channels // self.groups


def simba_series_debug() -> SimbaSeriesConfig:
    """Trains on a CPU in seconds."""
    return SimbaSeriesConfig(
        d_model=16, n_layer=1, channels=2, look_back=24, horizon=12, patch=8, stride=4, mixer_options={"d_state": 8}
    )


def simba_series_small() -> SimbaSeriesConfig:
    """Patches of each column apart; trains on a CPU in a minute or two on series of 10,000 rows."""
    return SimbaSeriesConfig(d_model=32, n_layer=1, dropout=0.3, mixer_options={"d_state": 16})


def simba_series_variates() -> SimbaSeriesConfig:
    """A token a column: columns see each other; for series of many of them."""
    return SimbaSeriesConfig(d_model=128, n_layer=2, over="variates", both_ways=True, mixer_options={"d_state": 16})


SIZES = {size.__name__: size for size in (simba_series_debug, simba_series_small, simba_series_variates)}
"""The sizes above by name."""
