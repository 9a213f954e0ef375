"""Options of `seqaudio evaluate` (torch-free); the docstring is the command line's help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from seqsuite.errors import UserError

HELD_OUT = "held-out"
"""In place of some sound: the test files of the model's run."""


@dataclass(frozen=True)
class EvaluateConfig:
    """Options of `seqaudio evaluate`.

    A model of the next sample is measured in bits per sample over whole files, each from its first sample on, with
    all of the file before a sample as its context; a diffusion model by its error at ten levels of noise.

    Args:
        run: A run folder of `seqaudio train`, a model folder or a hub id.
        source: Held-out sound: a folder (searched through), a file, or a manifest; held-out: the run's own test files.
        baselines: Fit simple codes on the files of the training and measure them beside the model.
        train: Sound to fit them on, in place of the files of the run.
        on_error: What a file that cannot be decoded, or holds no sound, does: raise an error, or skip it.
        strict_rate: Refuse files of another sample rate or number of channels in place of converting them.
        generated: Generated clips to compare with the held-out ones; needs --classifier.
        classifier: The run folder of a classifier of clips: Fréchet distance, inception scores, AM and NDB rest on it.
        block_seconds: Length of the blocks of the bootstrap; less where the sound is shorter than four of them.
        chunk: Samples of a file that run at once; changes nothing but speed and memory.
        rows: Files, or windows of a diffusion model, that run at once; likewise.
        length: Samples of a window of a diffusion model; 0: as in training.
        seed: Of the bootstrap, and of the noise of a diffusion model.
        device: Where to run: cpu, cuda, ...
        files: Show a row for each file, too.
        json: Print JSON instead of a table.
    """

    run: str
    source: str
    baselines: bool = True
    train: str = ""
    on_error: Literal["raise", "skip"] = "raise"
    strict_rate: bool = False
    generated: str = ""
    classifier: str = ""
    block_seconds: float = 0.5
    chunk: int = 8192
    rows: int = 16
    length: int = 0
    seed: int = 0
    device: str = "cpu"
    files: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        for name, least in (("chunk", 1), ("rows", 1), ("length", 0), ("seed", 0)):
            if getattr(self, name) < least:
                raise UserError(f"--{name} is {getattr(self, name)}; it must be at least {least}.")
        if not self.block_seconds > 0:
            raise UserError(f"--block_seconds is {self.block_seconds:g}; it must be above 0.")
        if bool(self.generated) != bool(self.classifier):
            raise UserError("--generated and --classifier belong together: clips, and a run that tells their classes.")
