"""Config of the restoration model and its named sizes (torch-free).

The model is `seqaudio.models.restoration`: spectra split into bands, mixed along time and across bands, as in
Apollo (Li and Luo 2024, https://arxiv.org/abs/2409.08514), over mixers of the core. Lengths are given in
milliseconds and widths in hertz, so that another sample rate needs no other numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from seqsuite.errors import UserError
from seqsuite.mixers.options import check_range
from seqsuite.models.configs import ModelConfig, require_positive, round_up


@dataclass(frozen=True, kw_only=True)
class RestorationConfig(ModelConfig):
    """A model from degraded to restored waveforms over band-split spectra.

    Args:
        d_model: Width D of the features of a band in a frame.
        n_layer: Number of blocks; each mixes along time, then across bands.
        sample_rate: Samples a second of what goes in and comes out.
        window_ms: Milliseconds of a spectrum's window; rounded up to a multiple of the hop.
        overlap: Windows that cover a sample; at least 2.
        band_hz: Width of a band; rounded to whole frequency bins.
        mixer: Mixer along time, a name or a pattern (see `seqsuite.mixers.create`); a causal one runs in both
            directions.
        mixer_options: Its options, by name.
        band_mixer: Mixer across the bands of a frame, likewise.
        band_mixer_options: Its options, by name.
        d_inner: Inner width of the bands' output layers; None: twice `d_model`.
        norm_epsilon: Epsilon of the norms.
    """

    model: ClassVar[str] = "seqaudio.models.restoration:RestorationModel"

    d_model: int
    n_layer: int
    sample_rate: int = 16000
    window_ms: float = 20.0
    overlap: int = 2
    band_hz: float = 350.0
    mixer: str = "s4d"
    mixer_options: dict[str, Any] = field(default_factory=dict)
    band_mixer: str = "attention"
    band_mixer_options: dict[str, Any] = field(default_factory=lambda: {"causal": False})
    d_inner: int | None = None
    norm_epsilon: float = 1e-5

    def __post_init__(self) -> None:
        require_positive(self, "d_model", "n_layer", "sample_rate")
        owner = type(self).__name__
        check_range(owner, {"overlap": self.overlap}, least=2)
        positive = {name: getattr(self, name) for name in ("window_ms", "band_hz", "norm_epsilon")}
        check_range(owner, positive, above=0)
        if self.d_inner is not None:
            require_positive(self, "d_inner")
        if self.band_hz > self.sample_rate / 2:
            raise UserError(
                f"{owner}: band_hz is {self.band_hz:g}, above the highest frequency, {self.sample_rate / 2:g} Hz"
            )

    @property
    def window(self) -> int:
        """Samples of a window, a multiple of twice `overlap`."""
        return round_up(max(2, round(self.sample_rate * self.window_ms / 1000)), 2 * self.overlap)

    @property
    def hop(self) -> int:
        """Samples from one spectrum to the next."""
        return self.window // self.overlap

    @property
    def bins(self) -> int:
        """Frequencies of a spectrum."""
        return self.window // 2 + 1

    @property
    def band_bins(self) -> int:
        """Frequencies of a band."""
        return max(1, round(self.band_hz * self.window / self.sample_rate))

    @property
    def bands(self) -> int:
        """Number of bands K; the last one may reach beyond the spectrum."""
        return round_up(self.bins, self.band_bins) // self.band_bins

    @property
    def head_width(self) -> int:
        """Inner width of the output layers."""
        return 2 * self.d_model if self.d_inner is None else self.d_inner


# Steps of the state spaces are 10 ms: with these sizes the slowest begins by forgetting 1 / e in a second, so that
# chunks of a long file need little context.


def restoration_debug() -> RestorationConfig:
    """Trains on a CPU in minutes."""
    return RestorationConfig(d_model=24, n_layer=2, mixer_options={"d_state": 16, "dt_min": 0.02, "dt_max": 0.5})


def restoration() -> RestorationConfig:
    """A size for a GPU, for 16 kHz; not a size of the paper."""
    return RestorationConfig(d_model=128, n_layer=6, band_hz=200.0, mixer_options={"dt_min": 0.02, "dt_max": 0.5})


SIZES = ("restoration_debug", "restoration")
"""The names of the sizes above, for the plugin's table."""
