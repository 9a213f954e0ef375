"""`generate`: new clips of a trained model, ranked; `generate_files`: the same with files in and out.

made = generate(seqaudio.load("runs/audio"), seconds=2, n=8, temperature=0.95, prompt="start.wav")
made.save("generated")
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seqaudio.api import AudioModel, load
from seqaudio.configs.diffwave import DiffWaveConfig
from seqaudio.configs.generate import GenerateConfig, GenerateOptions
from seqaudio.generation.autoregressive import PIECE_SECONDS, Piece, pieces, prompt_codes
from seqaudio.generation.denoised import denoise, sampling_process
from seqaudio.generation.meter import Meter
from seqaudio.generation.monitor import Fault, Monitor
from seqaudio.generation.prompts import read_prompt
from seqaudio.generation.ranking import check_rejection, rank
from seqaudio.generation.results import Clip, Generated, bits, check_folder
from seqaudio.generation.sampling import Draws, clip_seeds
from seqaudio.models.diffwave import DiffWave
from seqaudio.quantization import Quantizer
from seqsuite.errors import UserError

__all__ = ["generate", "generate_files"]


def generate(
    model: AudioModel, *, prompt: str | Path | np.ndarray | None = None, progress: bool = False, **options: Any
) -> Generated:
    """Draw clips.

    Args:
        model: Of samples or of diffusion.
        prompt: A file, or (frames,) at the model's rate, that every clip continues.
        progress: Tell of it on standard error.
        options: The fields of `GenerateOptions`.

    Returns:
        The clips, the likeliest first. After Ctrl-C those that there are, marked as interrupted.

    Raises:
        UserError: The model, an option or the prompt does not fit, or a clip ran away; one line says it.
    """
    settings = GenerateOptions(**options)
    check_rejection(settings.reject_bottom, settings.reject_top)
    frames = round(settings.seconds * model.sample_rate)
    if settings.seconds and frames < 1:
        raise UserError(f"--seconds {settings.seconds:g} is less than a sample at {model.sample_rate} samples a second")
    if isinstance(model.model, DiffWave):
        if prompt is not None:
            raise UserError(f"{model.name} is a diffusion model and continues nothing; leave --prompt out (see --mel)")
        return _diffuse(model, settings, frames, progress)
    if model.objective != "autoregressive":
        raise UserError(f"{model.name} does not predict the next sample but is for {model.objective}; nothing to draw")
    _refuse(settings, ("mel", "schedule", "betas"), "for diffusion models; this one predicts the next sample")
    return _continue(model, settings, frames or model.sample_rate, prompt, progress)


def generate_files(config: GenerateConfig) -> Generated:
    """Load the model, draw clips and write them; see `GenerateConfig`.

    Raises:
        UserError: See `generate`; also the run, or the output folder.
    """
    out = Path(config.out).expanduser()
    check_folder(out, config.overwrite)
    if config.threads:
        torch.set_num_threads(config.threads)
    model = load(config.run, device=config.device)
    made = generate(model, prompt=config.prompt or None, progress=True, **config.options())
    return made.save(
        out, overwrite=config.overwrite, keep_prompt=config.keep_prompt, sample_format=config.sample_format
    )


def _refuse(settings: GenerateOptions, names: Sequence[str], why: str) -> None:
    """Refuse options that would do nothing."""
    defaults = GenerateOptions()
    for name in names:
        if getattr(settings, name) != getattr(defaults, name):
            raise UserError(f"--{name} is {why}")


def _continue(
    model: AudioModel, settings: GenerateOptions, frames: int, prompt: str | Path | np.ndarray | None, progress: bool
) -> Generated:
    """Draw clips of a model of samples."""
    notes: list[str] = []
    if isinstance(prompt, str | Path):
        prompt, told = read_prompt(prompt, model, seconds=settings.prompt_seconds, mix=settings.mix)
        notes += told
    codes = prompt_codes(model, prompt)
    assert model.quantizer is not None
    shown = model.quantizer.decode(codes)[:, None] if len(codes) else np.zeros((0, 1), np.float32)
    work = _Work(model, settings, frames, codes, Meter(settings.n * frames, model.sample_rate, shown=progress))
    began = time.monotonic()
    clips = work.run()
    if not clips:
        raise KeyboardInterrupt("interrupted before the first piece; nothing was written")
    means = [(clip.log_likelihood or 0.0) / len(clip.samples) for clip in clips]
    order = rank(means, settings.reject_bottom, settings.reject_top)
    ranked = []
    for place, state in order:
        clip = clips[place]
        fault = work.faults.get(clip.number)
        ranked.append(replace(clip, state=fault or state))
    notes += [f"clip {number}: {why}" for number, why in sorted(work.faults.items())]
    if work.why:
        notes.append(f"not run as machine code, which is faster: {work.why}")
    if work.interrupted:
        notes.append("interrupted: what there is was kept")
    return Generated(
        tuple(ranked),
        model.sample_rate,
        shown,
        settings.told(),
        work.path,
        time.monotonic() - began,
        tuple(notes),
        work.interrupted,
    )


@dataclass
class _Work:
    """Batch after batch of clips of a model of samples."""

    model: AudioModel
    settings: GenerateOptions
    frames: int
    prompt: np.ndarray
    meter: Meter
    path: str = ""
    why: str = ""
    interrupted: bool = False

    def __post_init__(self) -> None:
        self.faults: dict[int, str] = {}

    def run(self) -> list[Clip]:
        """Return the clips in the order of their numbers."""
        clips: list[Clip] = []
        try:
            for first, seeds in _batches(self.settings):
                clips += self._batch(first, seeds)
                if self.interrupted:
                    break
        finally:
            self.meter.close()
        return clips

    def _batch(self, first: int, seeds: list[int]) -> list[Clip]:
        settings, rate = self.settings, self.model.sample_rate
        draws = Draws(settings.temperature, settings.top_k, settings.top_p)
        size = max(round(PIECE_SECONDS * rate), 1)
        made = pieces(self.model, self.frames, seeds, self.prompt, draws, compile=settings.compile, size=size)
        assert self.model.quantizer is not None
        monitor = None if settings.monitor == "off" else Monitor(rate, full_scale=_full_scale(self.model.quantizer))
        kept: list[Piece] = []
        scores = np.zeros(len(seeds))
        try:
            for piece in made:
                kept.append(piece)
                scores += piece.scores
                self.path, self.why = piece.path, piece.why
                self.meter.add(piece.samples.size, piece.path)
                for fault in [] if monitor is None else monitor.watch(piece.samples):
                    self._tell(fault, first)
        except KeyboardInterrupt:
            self.interrupted = True
        if not kept:
            return []
        samples, codes = (np.concatenate([getattr(piece, name) for piece in kept], 1) for name in ("samples", "codes"))
        count, likelihoods = samples.shape[1], scores.tolist()
        return [
            Clip(first + row + 1, seed, samples[row, :, None], codes[row], score, bits(score, count))
            for row, (seed, score) in enumerate(zip(seeds, likelihoods, strict=True))
        ]

    def _tell(self, fault: Fault, first: int) -> None:
        number = first + fault.row + 1
        why = f"ran away at {fault.seconds:.2f} s: {fault.why}"
        if self.settings.monitor == "stop":
            raise UserError(
                f"clip {number} {why}; try a lower --temperature or --top_p, or --monitor drop to go on without it"
            )
        self.faults[number] = why


def _full_scale(quantizer: Quantizer) -> float:
    """Return the magnitude from which on a sample counts as clipped: the lesser of the two outermost codes."""
    ends = quantizer.decode(np.array([0, quantizer.levels - 1]))
    return float(np.abs(ends).min()) - 1e-6


def _batches(settings: GenerateOptions) -> Iterator[tuple[int, list[int]]]:
    """Yield the number of the first clip, from 0, and the seeds of each batch."""
    seeds = clip_seeds(settings.seed, settings.n)
    for first in range(0, settings.n, settings.batch):
        yield first, seeds[first : first + settings.batch]


def _diffuse(model: AudioModel, settings: GenerateOptions, frames: int, progress: bool) -> Generated:
    """Draw clips of a diffusion model."""
    network = model.model
    assert isinstance(network, DiffWave)
    names = ("temperature", "top_k", "top_p", "reject_bottom", "reject_top", "compile", "monitor", "prompt_seconds")
    _refuse(settings, names, "for models of samples; this one is a diffusion model")
    mel, notes, frames = _mel(model, settings, frames)
    process = sampling_process(network, settings.schedule, settings.betas)
    meter = Meter(settings.n * frames, model.sample_rate, shown=progress)
    clips: list[Clip] = []
    began, interrupted = time.monotonic(), False
    try:
        for first, seeds in _batches(settings):
            share = frames * len(seeds) / process.steps
            samples = denoise(
                network, frames, seeds, process, mel=mel, progress=lambda *_, share=share: meter.add(share, "diffusion")
            )
            clips += [Clip(first + row + 1, seed, samples[row], None, None, None) for row, seed in enumerate(seeds)]
    except KeyboardInterrupt:
        if not clips:
            raise
        interrupted = True
        notes.append("interrupted: what there is was kept")
    finally:
        meter.close()
    prompt = np.zeros((0, model.channels), np.float32)
    wall = time.monotonic() - began
    return Generated(
        tuple(clips), model.sample_rate, prompt, settings.told(), "diffusion", wall, tuple(notes), interrupted
    )


def _mel(model: AudioModel, settings: GenerateOptions, frames: int) -> tuple[torch.Tensor | None, list[str], int]:
    """Return the mel (1, M, mel frames) of the file that conditions the clips, notes, and the clips' length."""
    config = model.model.config
    assert isinstance(config, DiffWaveConfig)
    if not config.conditional:
        if settings.mel:
            raise UserError(f"--mel: {model.name} takes no mel spectrogram; leave it out")
        _refuse(settings, ("mix",), "for the file of --mel, which this model does not take")
        usual = model.length or config.kernel_length or model.sample_rate
        return None, [], frames or usual
    if not settings.mel:
        raise UserError(f"{model.name} makes sound from a mel spectrogram; give --mel FILE, a sound file to take it of")
    from seqaudio.features import log_mel

    samples, notes = read_prompt(settings.mel, model, seconds=settings.seconds or None, mix=True, flag="--mel")
    mel = log_mel(torch.from_numpy(samples), config)[None]
    return mel, notes, len(samples)
