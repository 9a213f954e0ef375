"""`train`: train a model on sound and measure it; see the package."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import torch

import seqsuite
from seqaudio.configs.diffwave import DiffWaveConfig
from seqaudio.configs.train import AudioTrainConfig
from seqaudio.models.base import SampleModel
from seqaudio.models.diffwave import DiffWave
from seqaudio.training.inputs import FILES, Inputs, ModelKind, open_inputs, resolve_model, write_files
from seqaudio.training.tasks import AudioTask, Denoising, NextSample
from seqsuite.errors import UserError
from seqsuite.training import Interrupted, RunFolder, fit, say, seed_everything
from seqsuite.training.run_folder import process_rank

if TYPE_CHECKING:
    from seqaudio.training.result import TrainedAudio


def train(config: AudioTrainConfig) -> TrainedAudio | None:
    """Train a model of samples or of diffusion, measure it on held-out files, write the run folder.

    Args:
        config: The options; the model decides the objective.

    Returns:
        The result; None where the run is not complete (`max_minutes`) or in the further processes of a
        distributed run.

    Raises:
        UserError: The sound, an option or the run folder; one line says what to do.
        Interrupted: Ctrl-C; the state was saved.
    """
    began = time.monotonic()
    kind, options = resolve_model(config)
    if config.threads:
        torch.set_num_threads(config.threads)
    inputs = open_inputs(config, kind)
    folder = RunFolder(config.out)
    if (folder.path / FILES).exists() and not folder.holds_run:
        raise UserError(f"{folder} holds no run, but {FILES}, which one would write; choose another --out")
    with folder.claim(config, inputs.fingerprints):
        pass  # `fit` claims it for good; a folder that is refused is the first thing to say
    seed_everything(config.seed)
    model = seqsuite.create_model(config.model, **options)
    _announce(config, kind, inputs, sum(parameter.numel() for parameter in model.parameters()))
    settings: dict[str, Any] = {"normalize": config.normalize, "length": config.length}
    task = make_task(model, config, settings)
    if config.overwrite and process_rank() == 0:
        (folder.path / FILES).unlink(missing_ok=True)
    done = fit(task, inputs.train, inputs.valid, config, inputs=inputs.fingerprints, report=False)
    if process_rank() != 0:
        return None
    if done.reason != "finished":
        say(f"stopped after {done.steps} of {config.steps} steps; go on with --resume")
        return None
    write_files(folder.path, inputs.parts)
    from seqaudio.training.result import measure

    try:
        return measure(config, inputs, model, settings, done, began, say=say)
    except KeyboardInterrupt:
        raise Interrupted(f"stopped while measuring; the model is in {done.model}, --resume measures it") from None


def make_task(model: torch.nn.Module, config: AudioTrainConfig, settings: dict[str, Any]) -> AudioTask:
    """Return the task of a model."""
    if isinstance(model, DiffWave):
        return Denoising(model, config, settings=settings, ssm_lr=config.ssm_lr)
    assert isinstance(model, SampleModel)
    return NextSample(model, config, settings=settings, ssm_lr=config.ssm_lr)


def _announce(config: AudioTrainConfig, kind: ModelKind, inputs: Inputs, parameters: int) -> None:
    for name in ("train", "valid", "test"):
        files = getattr(inputs.parts, name)
        say(f"{name}: {len(files)} files, {sum(file.seconds for file in files):,.1f} s")
    for note in inputs.notes:
        say(note)
    left_out = inputs.left_out()
    if left_out:
        say(f"left out: {len(left_out)} files, listed in the report; the first: {left_out[0][1]}")
    if isinstance(kind, DiffWaveConfig):
        what = f"diffusion in {kind.diffusion_steps} steps, channels: {kind.audio_channels}"
    else:
        what = f"next of {2**kind.bits} codes ({kind.quantization})"
    say(f"model: {config.model}, {parameters:,} parameters, {what}, {kind.sample_rate} samples a second")
    seconds = config.length / kind.sample_rate
    say(f"a step: {config.batch_size} windows of {config.length:,} samples ({seconds:.3g} s)")
