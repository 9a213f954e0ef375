"""Options of `seqaudio generate` (torch-free); the docstrings are the help."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from seqsuite.errors import UserError


@dataclass(frozen=True, kw_only=True)
class GenerateOptions:
    """What to draw; these are also the options of `seqaudio.generation.generate`.

    Args:
        seconds: New sound of each clip; 0: one second, of a diffusion model the length that it was trained on, with
            --mel that of the file.
        n: Clips.
        temperature: Below 1 the likely codes become likelier; 0 takes the likeliest. Acts on what top_k and top_p
            leave.
        top_k: Draw from the k likeliest codes; 0 is all.
        top_p: Draw from the likeliest codes that together reach this probability.
        seed: Seed of the draws. A clip depends on it and on its own number, not on the other clips.
        reject_bottom: Share of the clips to leave out because they are the least likely; 0.4 in the paper.
        reject_top: Share to leave out because they are the likeliest; 0.05 in the paper.
        batch: Clips that are drawn at once.
        prompt_seconds: Use only so much of the prompt, from its start; 0: all of it.
        mix: Average a prompt of several channels to one; without it such a file is refused.
        monitor: What to do about a clip that ran away, to full scale or to one value: stop with a message, drop the
            clip and go on, or off.
        compile: Machine code, built once by the C++ compiler of this machine: where it can be (auto), on demanded,
            off without.
        schedule: Steps of a diffusion model; full: as it was trained, fast: six.
        betas: Other steps of a diffusion model: the variance of the noise at each.
        mel: Of a conditional diffusion model: the sound file whose mel spectrogram the clips follow.
    """

    seconds: float = 0.0
    n: int = 1
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0
    reject_bottom: float = 0.0
    reject_top: float = 0.0
    batch: int = 16
    prompt_seconds: float = 0.0
    mix: bool = False
    monitor: Literal["stop", "drop", "off"] = "stop"
    compile: Literal["auto", "on", "off"] = "auto"
    schedule: Literal["full", "fast"] = "full"
    betas: tuple[float, ...] = ()
    mel: str = ""

    def __post_init__(self) -> None:
        for name in ("n", "batch"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name} is {getattr(self, name)}; it must be at least 1.")
        for name in ("seconds", "prompt_seconds", "temperature"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise UserError(f"--{name} is {getattr(self, name):g}; it must be 0 or above.")
        for name in ("top_k", "seed"):
            if getattr(self, name) < 0:
                raise UserError(f"--{name} is {getattr(self, name)}; it must be 0 or above.")
        if not 0 < self.top_p <= 1:
            raise UserError(f"--top_p is {self.top_p:g}; it must be above 0 and at most 1.")
        if not (0 <= self.reject_bottom < 1 and 0 <= self.reject_top < 1 and self.reject_bottom + self.reject_top < 1):
            raise UserError(
                f"--reject_bottom {self.reject_bottom:g} and --reject_top {self.reject_top:g} are shares; together "
                "they must be below 1."
            )
        if self.betas and self.schedule != "full":
            raise UserError("--betas and --schedule fast exclude each other; choose one.")

    def told(self) -> dict[str, Any]:
        """Return them by name, as plain values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class GenerateConfig(GenerateOptions):
    """Options of `seqaudio generate`.

    Args:
        run: A run folder of `seqaudio train` or a model folder.
        prompt: A sound file that every clip continues; resampled to the model's rate.
        out: Folder for the clips (.wav, the likeliest first), likelihoods.csv and .json, and clips.png.
        keep_prompt: Write the prompt in front of each clip.
        sample_format: Samples of the .wav files.
        device: Where to run: cpu, cuda, ...
        threads: Threads of torch; 0: its own choice. Machine code runs on one.
        overwrite: Replace the clips in --out.
        json: Print JSON instead of a table.
    """

    run: str = field(kw_only=False)
    prompt: str = ""
    out: str = "generated"
    keep_prompt: bool = True
    sample_format: Literal["int16", "int24", "float"] = "int16"
    device: str = "cpu"
    threads: int = 0
    overwrite: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.threads < 0:
            raise UserError(f"--threads is {self.threads}; it must be 0 or above.")

    def options(self) -> dict[str, Any]:
        """Return the options of the drawing alone."""
        return {one.name: getattr(self, one.name) for one in fields(GenerateOptions)}
