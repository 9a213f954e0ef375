"""Options of `seqaudio restore` and `seqaudio restore-train` (torch-free); the docstrings are the help."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from seqsuite.errors import UserError
from seqsuite.training.configs import TrainConfig


@dataclass(frozen=True)
class RestoreConfig:
    """Options of `seqaudio restore`.

    Args:
        input: What to restore: an audio file, a folder (searched through), or a manifest (.csv, .tsv, .jsonl).
        model: A run folder of `seqaudio restore-train`, or a model folder.
        out: Folder for the restored files (.wav, named as the input) and, with figures to show, report.html.
        reference: The clean file, or a folder of clean files with the inputs' names: adds SDR, SI-SDR and
            log-spectral distance before and after. A delay of the input, as codecs leave it, is taken off first.
        degrade: The input is clean: degrade it, restore that, and compare with it. bandlimit, mp3, vorbis, opus or
            quantize; the degraded files are written too.
        cutoff: Of --degrade bandlimit: hertz.
        compression: Of --degrade mp3, vorbis and opus: 0 to below 1, 1 the strongest.
        bits: Of --degrade quantize.
        resample: Resample files of another rate to the model's; without it they are refused.
        on_error: Whether a file that cannot be read ends the command or is skipped, counted and listed.
        chunk_seconds: Length that the model sees at once.
        overlap_seconds: What consecutive chunks share; they are cross-faded there.
        batch: Chunks that run at once.
        sample_format: Samples of the .wav files: integers, cut off at full scale, or floats.
        device: Where to run: cpu, cuda, ...
        overwrite: Replace files in --out.
        json: Print JSON instead of a table.
    """

    input: str
    model: str = "runs/restore"
    out: str = "restored"
    reference: str = ""
    degrade: Literal["", "bandlimit", "mp3", "vorbis", "opus", "quantize"] = ""
    cutoff: float = 4000.0
    compression: float = 0.95
    bits: int = 8
    resample: bool = False
    on_error: Literal["raise", "skip"] = "raise"
    chunk_seconds: float = 10.0
    overlap_seconds: float = 1.0
    batch: int = 4
    sample_format: Literal["int16", "int24", "float"] = "int16"
    device: str = "cpu"
    overwrite: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        if self.reference and self.degrade:
            raise UserError("--reference and --degrade exclude each other: with --degrade the input is the reference.")
        if self.batch < 1:
            raise UserError(f"--batch is {self.batch}; it must be at least 1.")
        if not (self.overlap_seconds >= 0 and 0 < self.chunk_seconds >= 2 * self.overlap_seconds):
            raise UserError(
                f"--chunk_seconds {self.chunk_seconds:g} and --overlap_seconds {self.overlap_seconds:g}: a chunk must "
                "be at least twice as long as the overlap."
            )

    @property
    def degradation_value(self) -> float:
        """The setting that belongs to `degrade`."""
        return {"bandlimit": self.cutoff, "quantize": float(self.bits)}.get(self.degrade, self.compression)


@dataclass(frozen=True, kw_only=True)
class RestoreTrainConfig(TrainConfig):
    """Options of `seqaudio restore-train`.

    Windows of clean audio are degraded on the fly, in a way that depends on the seed and the window's number alone.
    The loss is spectral, waveform and SI-SDR; there is no discriminator.

    Args:
        data: Clean audio: a folder (searched through), a file, or a manifest (.csv, .tsv, .jsonl).
        model: Name of a restoration model: restoration_debug or restoration.
        model_options: Fields of its config to change, such as --model_options.sample_rate 44100.
        seconds: Length of a window.
        degrade: Degradations to draw from, with commas: bandlimit, mp3, vorbis, opus, quantize.
        cutoff: Lowest and highest cutoff of the band limit, in hertz.
        compression: Least and most compression of the codecs, 0 to below 1, 1 the strongest.
        bits: Bits of quantize.
        spectral_weight: Weight of the multi-resolution spectral loss.
        wave_weight: Weight of the waveform's absolute error, relative to its level.
        si_sdr_weight: Weight of a decibel of SI-SDR.
        valid_fraction: Share of the files for validation.
        test_fraction: Share of the files for the test.
        valid_windows: Windows that are scored during training.
        test_seconds: Seconds from the start of each test file that are measured at the end.
        on_error: Whether a file that cannot be read ends the run or is skipped, counted and listed.
        json: Print the result as JSON instead of a table.
    """

    data: str = field(kw_only=False)
    model: str = "restoration_debug"
    model_options: dict[str, Any] = field(default_factory=dict)
    seconds: float = 2.0
    degrade: str = "bandlimit,mp3,vorbis,opus,quantize"
    cutoff: tuple[float, float] = (2000.0, 6000.0)
    compression: tuple[float, float] = (0.85, 0.97)
    bits: int = 8
    spectral_weight: float = 1.0
    wave_weight: float = 1.0
    si_sdr_weight: float = 0.02
    valid_fraction: float = 0.1
    test_fraction: float = 0.1
    valid_windows: int = 32
    test_seconds: float = 30.0
    on_error: Literal["raise", "skip"] = "raise"
    batch_size: int = 8
    lr: float = 2e-3
    weight_decay: float = 0.01
    json: bool = False
    out: str = "runs/restore"

    free_on_resume: ClassVar[frozenset[str]] = TrainConfig.free_on_resume | {
        *("valid_windows", "test_seconds", "json"),
        "data",  # the names and lengths of its files are compared instead
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("seconds", "test_seconds"):
            if not getattr(self, name) > 0:
                raise UserError(f"--{name} is {getattr(self, name):g}; it must be above 0.")
        for name in ("valid_fraction", "test_fraction"):
            if not 0 < getattr(self, name) < 1:
                raise UserError(f"--{name} is {getattr(self, name)}; it must lie between 0 and 1.")
        weights = {name: getattr(self, name) for name in ("spectral_weight", "wave_weight", "si_sdr_weight")}
        for name, weight in weights.items():
            if not weight >= 0:
                raise UserError(f"--{name} is {weight}; it must be at least 0.")
        if not any(weights.values()):
            raise UserError("--spectral_weight, --wave_weight and --si_sdr_weight are all 0; nothing would be learned.")
        if self.valid_windows < 1:
            raise UserError(f"--valid_windows is {self.valid_windows}; it must be at least 1.")
