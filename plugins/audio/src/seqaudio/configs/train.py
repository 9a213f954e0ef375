"""Options of `seqaudio train` (torch-free); the docstring is the command line's help."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from seqsuite.errors import UserError
from seqsuite.training.configs import TrainConfig


@dataclass(frozen=True, kw_only=True)
class AudioTrainConfig(TrainConfig):
    """Options of `seqaudio train`.

    Windows of sound files are decoded as they are needed, resampled and mixed. The model decides the objective:
    models over quantised samples predict the next sample, DiffWave the noise in a waveform.

    Args:
        source: Sound to train on: a folder (searched through), a file, or a manifest (.csv, .tsv, .jsonl).
        model: Name of a model of samples or of diffusion, such as sashimi_debug, sashimi, tcn or
            diffwave_sashimi_debug; `seqsuite models` lists all.
        model_options: Fields of its config to change, such as --model_options.d_model 32.
        objective: autoregressive or diffusion; auto: the model's.
        length: Samples of a window.
        sample_rate: Samples a second; 0: the model's.
        channels: Channels; 0: the model's. Models over quantised samples have one.
        bits: Bits of a quantised sample; 0: the model's.
        quantization: mu_law or linear; model: the model's.
        normalize: Level of each window: none, peak, or minmax as the published models were trained.
        strict_rate: Refuse files of another sample rate or number of channels in place of resampling and mixing.
        short: What a training file shorter than a window does: raise an error, skip it, or pad it with silence.
        on_error: What a file that cannot be decoded, or holds no sound, does: raise an error, or skip it; skipped
            files are counted and listed in the report.
        check: Decode every file once before training, so that a damaged one is told at once.
        valid: Sound to validate on, in place of a share of the source.
        test: Sound to report on, in place of a share of the source.
        valid_fraction: Share of the source's seconds for validation, by whole files.
        test_fraction: Share for the test, likewise.
        valid_windows: Windows that are scored during training, spread over the validation files.
        test_seconds: Seconds of the test files to measure at the end, whole files from first to last; 0: all.
        baselines: Fit and score the baselines on the same split at the end.
        ssm_lr: Highest learning rate of step sizes and state matrices of S4 layers, as published; 0: none.
        json: Print the result as JSON instead of a table.
    """

    source: str = field(kw_only=False)
    model: str = "sashimi_debug"
    model_options: dict[str, Any] = field(default_factory=dict)
    objective: Literal["auto", "autoregressive", "diffusion"] = "auto"
    length: int = 8000
    sample_rate: int = 0
    channels: int = 0
    bits: int = 0
    quantization: Literal["model", "mu_law", "linear"] = "model"
    normalize: Literal["none", "peak", "minmax"] = "none"
    strict_rate: bool = False
    short: Literal["raise", "skip", "pad"] = "raise"
    on_error: Literal["raise", "skip"] = "raise"
    check: bool = True
    valid: str = ""
    test: str = ""
    valid_fraction: float = 0.1
    test_fraction: float = 0.1
    valid_windows: int = 64
    test_seconds: float = 60.0
    baselines: bool = True
    ssm_lr: float = 1e-3
    batch_size: int = 8
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    json: bool = False
    out: str = "runs/audio"

    free_on_resume: ClassVar[frozenset[str]] = TrainConfig.free_on_resume | {
        *("valid_windows", "test_seconds", "baselines", "check", "strict_rate", "json"),
        *("source", "valid", "test"),  # the names and lengths of their files are compared instead
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        least = {"length": 1, "valid_windows": 1, "sample_rate": 0, "channels": 0, "bits": 0, "ssm_lr": 0}
        for name, value in ({**least, "test_seconds": 0}).items():
            if not getattr(self, name) >= value:
                raise UserError(f"--{name} is {getattr(self, name)}; it must be at least {value}.")
        for name in ("valid_fraction", "test_fraction"):
            if not 0 < getattr(self, name) < 1:
                raise UserError(f"--{name} is {getattr(self, name)}; it must lie between 0 and 1.")
        if self.bits and not 4 <= self.bits <= 16:
            raise UserError(f"--bits is {self.bits}; samples are quantised to 4 to 16 bits.")
