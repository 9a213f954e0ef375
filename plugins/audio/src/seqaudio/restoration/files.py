"""`restore_files`: restore files and folders with a trained model, and say what it gained where that can be known."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seqaudio.configs.restore import RestoreConfig
from seqaudio.data import AudioFile, find_audio, read_audio
from seqaudio.models.restoration import RestorationModel
from seqaudio.restoration.chunked import check_samples, restore
from seqaudio.restoration.degrade import Degradation, delay, fitted
from seqaudio.restoration.results import SHOWN_SECONDS, Restored, RestoredFile, score
from seqaudio.sources import skipped_rows
from seqaudio.writing import write_wav
from seqsuite.errors import UserError
from seqsuite.models.create import load_model, to_device
from seqsuite.models.published import own_folder

if TYPE_CHECKING:
    from seqaudio.restoration.results import Scores

_LARGEST_GAP = 0.5
"""Seconds by which an input and its reference may differ in length."""


def load_restorer(source: str | Path, *, device: str = "cpu") -> RestorationModel:
    """Load a restoration model from a run folder or a model folder.

    Raises:
        UserError: There is no model, it is no restoration model, or the device cannot be used.
    """
    path = Path(source).expanduser()
    if not path.exists():
        raise UserError(f"{path}: there is no such folder; give a run folder of `seqaudio restore-train` (--model)")
    folder = own_folder(path) or path
    model = load_model(folder)
    if not isinstance(model, RestorationModel):
        raise UserError(f"{folder} holds a {type(model).__name__}, which restores nothing; see restore-train")
    to_device(model, device)
    return model


@dataclass(frozen=True)
class _Job:
    """A file to restore: where it goes, where its degraded version goes, its clean version."""

    item: AudioFile
    target: Path
    beside: Path | None
    reference: AudioFile | None


def restore_files(config: RestoreConfig) -> Restored:
    """Restore what the options say; no sound is read before the outputs are known to be free.

    Raises:
        UserError: An input, the reference, the model or an output; one line names it.
    """
    began = time.monotonic()
    degradation = Degradation(config.degrade, config.degradation_value) if config.degrade else None
    model = load_restorer(config.model, device=config.device)
    found = find_audio(config.input, on_error=config.on_error)
    report = Path(config.out) / "report.html" if config.degrade or config.reference else None
    jobs = _jobs(config, found.files, report)
    done: list[RestoredFile] = []
    skipped = list(found.skipped)
    shown: dict[str, np.ndarray] = {}
    for number, job in enumerate(jobs):
        try:
            samples = _read(job.item, model, config.resample)
        except UserError as error:
            if config.on_error == "raise":
                raise
            skipped.append((job.item.path, str(error)))
            continue
        entry, signals = _restore_one(config, model, job, samples, degradation)
        if not done:
            length = int(SHOWN_SECONDS * model.config.sample_rate)
            shown = {name: signal[:length, 0] for name, signal in signals.items()}
        done.append(entry)
        print(f"{number + 1} of {len(jobs)}: {job.item.path.name}", file=sys.stderr, flush=True)
    result = Restored(
        files=tuple(done),
        model=str(config.model),
        degradation=str(degradation or ""),
        skipped=tuple(skipped),
        seconds=time.monotonic() - began,
        rate=model.config.sample_rate,
        shown=shown,
    )
    if report is not None and done:
        write_report(result, report)
    return result


def _jobs(config: RestoreConfig, files: Sequence[AudioFile], report: Path | None) -> list[_Job]:
    """Name the outputs, refuse those that exist, and find the references."""
    paths = [item.path for item in files]
    names = output_names(Path(config.input), paths)
    references = _references(config.reference, paths, names)
    jobs = []
    for item, name, reference in zip(files, names, references, strict=True):
        target = Path(config.out) / f"{name}.wav"
        jobs.append(_Job(item, target, target.with_suffix(".degraded.wav") if config.degrade else None, reference))
    for path in [*(job.target for job in jobs), *(job.beside for job in jobs), report]:
        if path is not None and path.exists() and not config.overwrite:
            raise UserError(f"{path} exists; add --overwrite to replace it, or choose another --out")
    return jobs


def _restore_one(
    config: RestoreConfig,
    model: RestorationModel,
    job: _Job,
    samples: np.ndarray,
    degradation: Degradation | None,
) -> tuple[RestoredFile, dict[str, np.ndarray]]:
    """Restore one file's samples (frames, channels), write and score them; also return the signals by name."""
    rate = model.config.sample_rate
    given, clean = samples, _reference(job.reference, job.item, samples, model)
    if degradation is not None:
        given, clean = degradation.apply(samples, rate), samples
    restored = restore(
        model,
        given,
        rate,
        chunk_seconds=config.chunk_seconds,
        overlap_seconds=config.overlap_seconds,
        batch=config.batch,
        name=str(job.item.path),
    )
    # What may not be overwritten was refused before anything was read.
    clipped = write_wav(job.target, restored, rate, kind=config.sample_format, overwrite=True).clipped
    if job.beside is not None:
        write_wav(job.beside, given, rate, kind=config.sample_format, overwrite=True)
    before: Scores | None = None
    after: Scores | None = None
    if clean is not None:
        late = 0 if degradation is not None else delay(clean, given)
        before, after = (score(clean, fitted(signal, len(clean), late)) for signal in (given, restored))
    signals = {"before": given, "after": restored, **({} if clean is None else {"reference": clean})}
    entry = RestoredFile(job.item.path, job.target, len(given) / rate, given.shape[1], clipped, before, after)
    return entry, signals


def output_names(source: Path, files: Sequence[Path]) -> list[str]:
    """Return a relative name without ending for each file: its place below the folder, or its bare name.

    Files that differ in their ending alone keep it. A manifest's files go by their bare names.

    Raises:
        UserError: Two files would get the same name.
    """
    places = [_place(source, path) for path in files]
    bare = Counter(place.with_suffix("") for place in places)
    names = [str(place if bare[place.with_suffix("")] > 1 else place.with_suffix("")) for place in places]
    seen: dict[str, Path] = {}
    for name, path in zip(names, files, strict=True):
        if name in seen:
            raise UserError(f"{seen[name]} and {path} would both be written as {name}.wav; restore them apart")
        seen[name] = path
    return names


def _place(source: Path, path: Path) -> Path:
    """Return where a file lies below a folder; its bare name where the source is no folder of it."""
    return path.relative_to(source) if path.is_relative_to(source) and path != source else Path(path.name)


def write_report(result: Restored, path: Path) -> None:
    """Write the table and the spectrograms as a page."""
    from seqsuite.reports import Report

    title = f"Restored with {result.model}"
    page = Report(title, subtitle=f"input degraded by {result.degradation}" if result.degradation else "")
    page.table(result.table())
    figure = result.figure()
    if figure is not None:
        page.figure(figure, caption=f"{result.files[0].file.name}, first channel", kind="png")
    if result.skipped:
        page.heading("Skipped").table(skipped_rows(result.skipped))
    page.write(path)


def _read(item: AudioFile, model: RestorationModel, resample: bool) -> np.ndarray:
    """Read a whole file (frames, channels) at the model's rate, and check that it can be restored."""
    rate = model.config.sample_rate
    if item.rate != rate and not resample:
        raise UserError(
            f"{item.path} has {item.rate} samples a second, the model was trained on {rate}; add --resample"
        )
    samples = read_audio(item, rate=rate, channels=item.channels)
    check_samples(samples, str(item.path))
    return samples


def _references(source: str, files: Sequence[Path], names: Sequence[str]) -> list[AudioFile | None]:
    """Return the clean file of each input, found by its name without ending; Nones without a source."""
    if not source:
        return [None] * len(files)
    found = find_audio(source).files
    if len(files) == 1 and len(found) == 1:
        return [found[0]]
    known: dict[str, AudioFile] = {}
    for item in found:
        place = _place(Path(source), item.path)
        known.setdefault(str(place), item)
        known.setdefault(str(place.with_suffix("")), item)
    for path, name in zip(files, names, strict=True):
        if name not in known:
            raise UserError(f"{path}: --reference {source} has no file of that name")
    return [known[name] for name in names]


def _reference(
    reference: AudioFile | None, item: AudioFile, samples: np.ndarray, model: RestorationModel
) -> np.ndarray | None:
    """Read the clean signal of an input."""
    if reference is None:
        return None
    rate = model.config.sample_rate
    if reference.channels != item.channels:
        raise UserError(
            f"{reference.path} has {reference.channels} channels, {item.path} has {item.channels}; "
            "a reference needs as many"
        )
    clean = read_audio(reference, rate=rate, channels=reference.channels)
    if abs(len(clean) - len(samples)) > _LARGEST_GAP * rate:
        raise UserError(
            f"{reference.path} is {len(clean) / rate:.2f} s long, {item.path} {len(samples) / rate:.2f} s: "
            "this cannot be its reference"
        )
    return clean
