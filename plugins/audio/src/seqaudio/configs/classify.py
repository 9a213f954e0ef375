"""Options of `seqaudio classify` and `seqaudio predict` (torch-free); the docstrings are the help."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from seqsuite.errors import UserError
from seqsuite.training.configs import TrainConfig

_MOST = 1e6


@dataclass(frozen=True, kw_only=True)
class ClassifyConfig(TrainConfig):
    """Options of `seqaudio classify`.

    Clips are trained on as waveforms; what is drawn for a clip depends on the seed and its place in the run alone.

    Args:
        source: Labelled clips: a folder with one folder a class; a manifest (.csv, .tsv, .jsonl) with the columns
            file and label and perhaps split (train, valid, test), start, seconds, speaker and others; or an .npz
            file with audio, offsets and label or digit, and perhaps is_test and speaker.
        model: A classifier of waveforms (wave_classifier, wave_classifier_debug), or a model over quantised samples
            such as sashimi_debug, which gets a head for classes.
        model_options: Fields of its config to change, such as --model_options.d_model 32.
        label_column: The manifest's column of labels.
        npz_rate: Samples a second of an .npz file that does not hold its rate.
        hold_out: A column such as speaker: one run for each of its values, which is the test set of that run.
        seeds: Runs from different random numbers, on the same split.
        valid_fraction: Share of the training clips that choose the weights; 0: train on all, take the last weights.
            Clips that the source marks as valid do it in any case.
        test_fraction: Share of the clips for the test where the source marks none.
        epochs: Passes over the training clips, where --steps is 0.
        label_smoothing: Share of each label that is spread over all classes.
        augment: Change training clips at random in the ways below.
        speed: Largest change of tempo and pitch together, a factor of 1 + speed or its inverse.
        shift_ms: Most silence in front, or half as much of the start cut off.
        gain_db: Largest change of level; a model that scales its input does not see it.
        tilt: Largest coefficient of a filter that raises or lowers high frequencies.
        noise_db: Least and greatest ratio of the clip to white noise that is added.
        mask: Largest share of a clip that is silenced, in half of the clips.
        band: Largest share of the spectrum that is taken out, in half of the clips.
        baselines: Also train and measure log-mel statistics with logistic regression and a small log-mel CNN.
        cnn_epochs: Passes of the CNN.
        cnn_lr: Its learning rate.
        on_error: Whether a file that cannot be read, or a silent clip, ends the command or is skipped and listed.
        json: Print the result as JSON instead of a table.
    """

    source: str = field(kw_only=False)
    model: str = "wave_classifier"
    model_options: dict[str, Any] = field(default_factory=dict)
    label_column: str = "label"
    npz_rate: int = 8000
    hold_out: str = ""
    seeds: int = 1
    valid_fraction: float = 0.0
    test_fraction: float = 0.2
    epochs: float = 60.0
    label_smoothing: float = 0.1
    augment: bool = True
    speed: float = 0.25
    shift_ms: float = 100.0
    gain_db: float = 6.0
    tilt: float = 0.4
    noise_db: tuple[float, float] = (15.0, 45.0)
    mask: float = 0.1
    band: float = 0.15
    baselines: bool = True
    cnn_epochs: float = 60.0
    cnn_lr: float = 2e-3
    on_error: Literal["raise", "skip"] = "raise"
    steps: int = 0
    batch_size: int = 16
    lr: float = 3e-3
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.98)
    warmup: float = 0.1
    json: bool = False
    out: str = "runs/classify"

    free_on_resume: ClassVar[frozenset[str]] = TrainConfig.free_on_resume | {"baselines", "json", "source"}

    def __post_init__(self) -> None:
        if not self.steps:
            dataclasses.replace(self, steps=1)  # 0 stands for --epochs; everything else is checked on a twin
            return
        super().__post_init__()
        for name in ("seeds", "npz_rate"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name} is {getattr(self, name)}; it must be at least 1.")
        for name in ("valid_fraction", "label_smoothing", "mask", "band", "tilt"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"--{name} is {getattr(self, name)}; it must be at least 0 and below 1.")
        if not 0 < self.test_fraction < 1:
            raise UserError(f"--test_fraction is {self.test_fraction}; it must lie between 0 and 1.")
        for name in ("epochs", "cnn_epochs", "cnn_lr"):
            if not 0 < getattr(self, name) <= _MOST:
                raise UserError(f"--{name} is {getattr(self, name)}; it must be above 0 and at most {_MOST:g}.")
        for name in ("speed", "shift_ms", "gain_db"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UserError(f"--{name} is {getattr(self, name)}; it must be at least 0.")
        least, greatest = self.noise_db
        if not -math.inf < least <= greatest < math.inf:
            raise UserError(f"--noise_db is {self.noise_db}; give two finite ratios, the least first.")
        if self.hold_out and self.seeds > 1:
            raise UserError("--hold_out and --seeds exclude each other: one run a value, or one run a seed.")


@dataclass(frozen=True)
class PredictConfig:
    """Options of `seqaudio predict`.

    Args:
        run: A run folder of `seqaudio classify`, or the folder of its model.
        input: Clips: a sound file, a folder (searched through), a manifest (.csv, .tsv, .jsonl; its start and seconds
            choose stretches), or an .npz file with audio and offsets.
        out: The .csv file to write.
        npz_rate: Samples a second of an .npz file that does not hold its rate.
        batch: Clips that run at once.
        on_error: Whether a file that cannot be read, or a silent clip, ends the command or is skipped and listed.
        device: Where to run: cpu, cuda, ...
        overwrite: Replace --out.
        json: Print JSON instead of a table.
    """

    run: str
    input: str
    out: str = "predictions.csv"
    npz_rate: int = 8000
    batch: int = 16
    on_error: Literal["raise", "skip"] = "raise"
    device: str = "cpu"
    overwrite: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        for name in ("batch", "npz_rate"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name} is {getattr(self, name)}; it must be at least 1.")
