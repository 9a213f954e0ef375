"""Config of the classifier of raw waveforms and its sizes (torch-free)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from seqaudio.configs.models import check_pooled
from seqsuite.errors import UserError
from seqsuite.mixers.options import check_range
from seqsuite.models.configs import ModelConfig, require_positive


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig(ModelConfig):
    """Waveform to classes: a learned front end, SaShiMi's layers looking both ways, mean over time, linear.

    Args:
        d_model: Width D.
        n_layer: Number of mixers, in pooled models in each tier.
        sample_rate: Samples a second.
        num_classes: Number of classes.
        front_end: "filterbank": the log power in Gabor filters, which begin at mel spaced frequencies and learn where
            they lie and how wide they are; "linear": a linear map of overlapping frames.
        filters: Number of filters.
        kernel_ms: Length of the filters in milliseconds.
        stride_ms: Time from frame to frame of the filters in milliseconds.
        stem: Channels of 3 x 3 convolutions over the filterbank's bands and frames, each of which halves both;
            empty: none.
        context: Frames, an odd number, that the map from filters to the width sees.
        mixer: Name of the sequence mixer, or a pattern of several.
        mixer_options: Its options, by name; of a pattern by mixer.
        pool: By how much each tier of the backbone divides the frame rate; empty: one rate.
        expand: By how much each multiplies the width.
        ff: Inner width of the feed-forward layers in units of their width; 0: none.
        bidirectional: Mixers look both ways.
        dropout: On what every layer gives, and in front of the linear map to classes.
        norm_epsilon: Epsilon of the norms.
    """

    model: ClassVar[str] = "seqaudio.models.classifier:WaveClassifier"

    d_model: int
    n_layer: int
    sample_rate: int = 16000
    num_classes: int = 10
    front_end: Literal["filterbank", "linear"] = "filterbank"
    filters: int = 40
    kernel_ms: float = 32.0
    stride_ms: float = 10.0
    stem: tuple[int, ...] = ()
    context: int = 5
    mixer: str = "s4d"
    mixer_options: dict[str, Any] = field(default_factory=dict)
    pool: tuple[int, ...] = ()
    expand: int = 2
    ff: int = 2
    bidirectional: bool = True
    dropout: float = 0.1
    norm_epsilon: float = 1e-5

    def __post_init__(self) -> None:
        owner = type(self).__name__
        require_positive(self, "d_model", "n_layer", "sample_rate", "num_classes", "filters")
        check_pooled(self)
        check_range(owner, {"norm_epsilon": self.norm_epsilon}, above=0)
        if self.stem and self.front_end != "filterbank":
            raise UserError(f"{owner}: a stem needs front_end filterbank; linear frames have no bands")
        check_range(owner, {f"stem[{place}]": width for place, width in enumerate(self.stem)}, least=1)
        if self.context % 2 != 1:
            raise UserError(f"{owner}: context must be an odd number of frames, not {self.context}")
        if self.stride < 2 or self.kernel < 2 * self.stride:
            raise UserError(
                f"{owner}: stride_ms must be 2 samples at least and kernel_ms twice that, not {self.stride_ms:g} and "
                f"{self.kernel_ms:g} at {self.sample_rate} Hz"
            )

    @property
    def stride(self) -> int:
        """Samples from frame to frame."""
        return round(self.stride_ms * self.sample_rate / 1000)

    @property
    def frame_stride(self) -> int:
        """Samples from frame to frame of what the mixers see."""
        return self.stride * 2 ** len(self.stem)

    @property
    def kernel(self) -> int:
        """Samples of a filter."""
        return round(self.kernel_ms * self.sample_rate / 1000)


def wave_classifier() -> ClassifierConfig:
    """Short words at 8 kHz; trains on a CPU in minutes."""
    # The stem leaves a frame each 40 ms: time scales from the shortest sound to a word.
    times = {"d_state": 32, "dt_min": 0.04, "dt_max": 1.0}
    return ClassifierConfig(d_model=64, n_layer=3, sample_rate=8000, stem=(16, 32), context=1, mixer_options=times)


def wave_classifier_debug() -> ClassifierConfig:
    """Trains on a CPU in seconds."""
    times = {"d_state": 8, "dt_min": 0.01, "dt_max": 0.3}
    return ClassifierConfig(d_model=16, n_layer=1, sample_rate=8000, filters=16, mixer_options=times, dropout=0.0)


SIZES = {size.__name__: size for size in (wave_classifier, wave_classifier_debug)}
"""The sizes above by name."""
