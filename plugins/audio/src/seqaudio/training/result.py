"""The result of `train`: the held-out figure, beside the baselines, and the run's report."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqaudio.api import AudioModel
from seqaudio.configs.train import AudioTrainConfig
from seqaudio.data import AudioFile, read_audio
from seqaudio.evaluation import AudioEvaluation, DenoisingEvaluation, evaluate_files
from seqaudio.pictures import decibels, draw_spectrogram
from seqaudio.sources import skipped_rows
from seqaudio.training.inputs import Inputs
from seqsuite.reports import Report, TableView, training_report
from seqsuite.training.run_folder import write_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from seqsuite.training import FitResult

_SHOWN_SECONDS = 10.0


@dataclass(frozen=True)
class TrainedAudio(TableView):
    """A trained model of sound, measured on its held-out files.

    Attributes:
        folder: The run folder.
        model: Name of the model.
        parameters: Their number.
        steps: Training steps.
        samples_per_second: Training speed.
        seconds: Wall time of the whole command.
        evaluation: The model on the test files.
        skipped: Path and reason of each file left out.
    """

    folder: Path
    model: str
    parameters: int
    steps: int
    samples_per_second: float
    seconds: float
    evaluation: AudioEvaluation | DenoisingEvaluation
    skipped: tuple[tuple[Path, str], ...] = field(default=(), repr=False)

    @property
    def title(self) -> str:
        """A line that says what was measured."""
        return self.evaluation.title

    @property
    def notes(self) -> tuple[str, ...]:
        """What else is to be said."""
        left_out = (f"{len(self.skipped)} files were left out; the report lists them",) if self.skipped else ()
        return (*self.evaluation.notes, *left_out)

    def table(self) -> list[dict[str, Any]]:
        """Return the table of the evaluation."""
        return self.evaluation.table()

    def figure(self) -> Figure:
        """Return the figure of the evaluation."""
        return self.evaluation.figure()

    def to_dict(self) -> dict[str, Any]:
        """Return what summary.json holds."""
        name = "bits_per_sample" if isinstance(self.evaluation, AudioEvaluation) else "mean_squared_error"
        return {
            "model": self.model,
            "parameters": self.parameters,
            "steps": self.steps,
            "samples_per_second": self.samples_per_second,
            "seconds": self.seconds,
            name: getattr(self.evaluation, name),
            "evaluation": self.evaluation.to_dict(),
            "skipped": skipped_rows(self.skipped),
            "skipped_count": len(self.skipped),
        }


def measure(
    config: AudioTrainConfig,
    inputs: Inputs,
    model: Any,
    settings: dict[str, Any],
    done: FitResult,
    began: float,
    *,
    say: Callable[[str], None],
) -> TrainedAudio:
    """Measure a trained model on the test files, and write summary.json and report.html."""
    trained = AudioModel(model, settings, folder=done.folder)
    files = first_seconds(inputs.parts.test, config.test_seconds)
    found = evaluate_files(
        trained,
        files,
        inputs.parts if config.baselines else None,
        source="the test files",
        progress=say,
    )
    result = TrainedAudio(
        folder=done.folder,
        model=config.model,
        parameters=model.num_parameters(),
        steps=done.steps,
        samples_per_second=done.tokens_per_second,
        seconds=time.monotonic() - began,
        evaluation=found,
        skipped=inputs.left_out(),
    )
    _write(config, inputs, trained, result)
    return result


def first_seconds(files: Sequence[AudioFile], seconds: float) -> tuple[AudioFile, ...]:
    """Return whole files from the first on until they reach a length; the last is cut there. 0: all."""
    if not seconds:
        return tuple(files)
    chosen: list[AudioFile] = []
    left = seconds
    for file in files:
        if left <= 0:
            break
        chosen.append(replace(file, frames=max(1, min(file.frames, round(left * file.rate)))))
        left -= file.seconds
    return tuple(chosen)


def _write(config: AudioTrainConfig, inputs: Inputs, trained: AudioModel, result: TrainedAudio) -> None:
    folder, found = result.folder, result.evaluation
    write_json(folder / "summary.json", result.to_dict())
    report = Report(f"{result.model} on {Path(config.source).name}", subtitle=folder.name)
    report.heading(found.title).table(result.table())
    for note in result.notes:
        report.text(note)
    report.figure(result.figure(), caption="Held-out figure of the model")
    if isinstance(found, AudioEvaluation):
        report.heading("Bits by context").table(found.context_table())
        report.heading("Bits by file").table(found.file_table())
    report.heading("Sound").table(_parts_table(inputs))
    for note in inputs.notes:
        report.text(note)
    shown = inputs.parts.test[0]
    report.figure(sound_figure(shown, trained.sample_rate), caption=f"{shown.path.name}, its beginning", kind="png")
    report.heading("Files left out").text(f"{len(result.skipped)} files were left out.")
    if result.skipped:
        report.table(skipped_rows(result.skipped))
    report.heading("Model").table(trained.table())
    training_report(folder, into=report).write(folder / "report.html")


def _parts_table(inputs: Inputs) -> list[dict[str, Any]]:
    return [
        {"part": name, "files": len(files), "seconds": sum(file.seconds for file in files)}
        for name, files in ((name, getattr(inputs.parts, name)) for name in ("train", "valid", "test"))
    ]


def sound_figure(file: AudioFile, rate: int) -> Figure:
    """Draw the waveform and the spectrogram of the beginning of a file."""
    from matplotlib.figure import Figure

    samples = read_audio(file, rate=rate, seconds=_SHOWN_SECONDS)[:, 0]
    figure = Figure(figsize=(7.0, 4.0), layout="constrained")
    wave, spectrum = figure.subplots(2, 1, sharex=True)
    wave.plot(np.arange(len(samples)) / rate, samples, color="#0072B2", lw=0.4)
    wave.set(ylabel="amplitude")
    draw_spectrogram(spectrum, decibels(samples), rate)
    spectrum.set_xlabel("seconds")
    return figure
