"""`restore_train`: train a restoration model on clean audio and measure it on held-out files."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import seqsuite
from seqaudio.configs.restoration import RestorationConfig
from seqaudio.configs.restore import RestoreTrainConfig
from seqaudio.data import AudioFile, Windows, fingerprint, read_audio, split_files
from seqaudio.models.restoration import RestorationModel
from seqaudio.restoration.chunked import restore
from seqaudio.restoration.data import DegradedWindows
from seqaudio.restoration.degrade import DegradationRange, level_above, noise_fill, parse_kinds
from seqaudio.restoration.loss import RestorationLoss
from seqaudio.restoration.results import SHOWN_SECONDS, Scores, TrainedRestorer, mean_scores, score
from seqaudio.restoration.task import Restoration
from seqaudio.sources import open_source, skipped_rows
from seqsuite.data.order import item_rng
from seqsuite.errors import UserError
from seqsuite.models import model_config
from seqsuite.reports import Report, training_report
from seqsuite.training import FitResult, Interrupted, RunFolder, fit, say, seed_everything
from seqsuite.training.run_folder import process_rank, write_json

_VALIDATION_SEED, _NOISE = 1, 2
_LEVEL_WINDOWS = 32
"""Training windows that say how strong sound is above the cutoff, for the noise to compare with."""


@dataclass(frozen=True)
class Inputs:
    """What a run reads.

    Attributes:
        train: Training pairs by position.
        valid: Validation pairs.
        test: Test files.
        skipped: Files that could not be read, and why.
        kinds: What degradations are drawn from.
        fingerprint: Of the files; see `seqaudio.data.fingerprint`.
    """

    train: DegradedWindows
    valid: DegradedWindows
    test: tuple[AudioFile, ...]
    skipped: tuple[tuple[Path, str], ...]
    kinds: DegradationRange
    fingerprint: str


def restore_train(config: RestoreTrainConfig) -> TrainedRestorer | None:
    """Train a restoration model, measure it on the test files, write the run folder.

    Returns:
        The result; None where the run is not complete (`max_minutes`) or in the further processes of a
        distributed run.

    Raises:
        UserError: The audio, an option or the run folder; one line says what to do.
        Interrupted: Ctrl-C; the state was saved.
    """
    began = time.monotonic()
    known = _model_config(config)
    if config.threads:
        torch.set_num_threads(config.threads)
    inputs = open_inputs(config, known)
    fingerprints = {"data": inputs.fingerprint}
    with RunFolder(config.out).claim(config, fingerprints):
        pass  # `fit` claims it for good; a folder that is refused is the first thing to say
    seed_everything(config.seed)
    model = seqsuite.create_model(config.model, **config.model_options)
    assert isinstance(model, RestorationModel)
    say(f"model: {config.model}, {model.num_parameters():,} parameters, {known.bands} bands")
    weights = {name: getattr(config, name) for name in ("spectral_weight", "wave_weight", "si_sdr_weight")}
    task = Restoration(model, config, RestorationLoss(**weights))
    done = fit(task, inputs.train, inputs.valid, config, inputs=fingerprints, report=False)
    if process_rank() != 0:
        return None
    if done.reason != "finished":
        say(f"stopped after {done.steps} of {config.steps} steps; go on with --resume")
        return None
    try:
        return measure(config, inputs, model, done, began)
    except KeyboardInterrupt:
        raise Interrupted(f"stopped while measuring; the model is in {done.model}, --resume measures it") from None


def _model_config(config: RestoreTrainConfig) -> RestorationConfig:
    known = model_config(config.model, **config.model_options)
    if not isinstance(known, RestorationConfig):
        raise UserError(f"--model {config.model} restores nothing; give restoration_debug or restoration")
    return known


def open_inputs(config: RestoreTrainConfig, model: RestorationConfig) -> Inputs:
    """Find and split the audio, and check the degradations.

    Raises:
        UserError: The folder, too few files, or degradations that do not fit the rate.
    """
    rate = model.sample_rate
    kinds = DegradationRange(parse_kinds(config.degrade), config.cutoff, config.compression, config.bits)
    if "bandlimit" in kinds.kinds and config.cutoff[1] >= rate / 2:
        raise UserError(f"--cutoff {config.cutoff[1]:g} is not below half the model's rate, {rate / 2:g} Hz")
    found = open_source(config.data, rate=rate, on_error=config.on_error, check=False)
    for note in found.notes:
        say(note)
    parts = split_files(found.files, config.valid_fraction, config.test_fraction, config.seed)
    sizes = {name: len(getattr(parts, name)) for name in ("train", "valid", "test")}
    say(f"audio: {', '.join(f'{count} files for {name}' for name, count in sizes.items())}")
    length = max(1, round(config.seconds * rate))
    clips = functools.partial(Windows, length=length, rate=rate, seed=config.seed, on_error=config.on_error)
    train, valid = clips(parts.train, train=True, short=config.on_error), clips(parts.valid, train=False)
    counted = min(len(valid), config.valid_windows)
    return Inputs(
        train=DegradedWindows(train, kinds, seed=config.seed),
        valid=DegradedWindows(valid, kinds, seed=config.seed + _VALIDATION_SEED, length=counted),
        test=tuple(parts.test),
        skipped=(*found.skipped, *train.too_short),
        kinds=kinds,
        fingerprint=fingerprint(found.files),
    )


def measure(
    config: RestoreTrainConfig, inputs: Inputs, model: RestorationModel, done: FitResult, began: float
) -> TrainedRestorer:
    """Restore the test files from every degradation at the middle of its range; write summary.json and report.html."""
    rate = model.config.sample_rate
    level = 0.0
    if "bandlimit" in inputs.kinds.kinds:
        clips = (inputs.train.windows[number]["samples"].numpy() for number in range(_LEVEL_WINDOWS))
        level = level_above(clips, rate, inputs.kinds.middle("bandlimit").value)
    pairs: dict[str, list[tuple[Scores, Scores]]] = {}
    shown: dict[str, np.ndarray] = {}
    seconds = 0.0
    for item in inputs.test:
        length = min(config.test_seconds, item.seconds)
        clean = read_audio(item, rate=rate, channels=item.channels, seconds=length)
        seconds += len(clean) / rate
        for kind in inputs.kinds.kinds:
            degradation = inputs.kinds.middle(kind)
            say(f"measuring {item.path.name}, {degradation}")
            degraded = degradation.apply(clean, rate)
            restored = restore(model, degraded, rate, name=str(item.path))
            before = score(clean, degraded)
            pairs.setdefault(str(degradation), []).append((before, score(clean, restored)))
            if kind == "bandlimit":
                rng = item_rng(config.seed, len(pairs[str(degradation)]), _NOISE)
                filled = noise_fill(degraded, rate, degradation.value, level, rng)
                pairs.setdefault(f"{degradation}, noise instead of the model", []).append(
                    (before, score(clean, filled))
                )
            if not shown:
                signals = {f"before ({degradation})": degraded, "after": restored, "clean": clean}
                shown = {name: signal[: int(SHOWN_SECONDS * rate), 0] for name, signal in signals.items()}
    result = TrainedRestorer(
        folder=done.folder,
        model=config.model,
        parameters=model.num_parameters(),
        steps=done.steps,
        seconds=time.monotonic() - began,
        test_seconds=seconds,
        scores={name: tuple(map(mean_scores, zip(*both, strict=True))) for name, both in pairs.items()},  # type: ignore
        skipped=(*inputs.skipped, *inputs.train.windows.skipped, *inputs.valid.windows.skipped),
        rate=rate,
        shown=shown,
    )
    _write(config, result)
    return result


def _write(config: RestoreTrainConfig, result: TrainedRestorer) -> None:
    folder = result.folder
    write_json(folder / "summary.json", result.to_dict())
    report = Report(f"{result.model} on {Path(config.data).name}", subtitle=folder.name)
    report.heading("Held-out files, before and after restoring").table(result.table())
    report.text(
        f"{result.test_seconds:.0f} s of audio that was not trained on. SDR and SI-SDR: more is better; log-spectral "
        "distance (root mean square over frequencies of the difference in log10 power): less is better. Frequencies "
        "that are missing can be given back at the right level, not in the right phase: the distance falls far, "
        "the ratios little or not at all. White noise above the cutoff, as strong as the training files are there, is "
        "the simplest way to fill it, and given beside."
    )
    figure = result.figure()
    if figure is not None:
        report.figure(figure, caption="A test file, first channel", kind="png")
    if result.skipped:
        report.heading("Skipped").table(skipped_rows(result.skipped))
    training_report(folder, into=report).write(folder / "report.html")
