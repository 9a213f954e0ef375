"""What restoring gives: files with scores before and after, as a table, spectrograms and plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqaudio.pictures import decibels, draw_spectrogram
from seqaudio.sources import skipped_rows
from seqsuite.reports import TableView

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN_SECONDS = 10.0
"""Length of what a figure shows."""


@dataclass(frozen=True)
class Scores:
    """How near a signal is to its reference.

    Attributes:
        sdr: dB; nan where the reference is silent.
        si_sdr: dB, likewise.
        lsd: Log-spectral distance, in units of log10 of power; less is better.
    """

    sdr: float
    si_sdr: float
    lsd: float


def score(reference: np.ndarray, estimate: np.ndarray) -> Scores:
    """Score samples (frames, channels) against a reference of the same shape, all channels together."""
    from seqaudio.metrics import log_spectral_distance, sdr, si_sdr

    pair = reference.T, estimate.T
    return Scores(
        float(sdr(*pair, joint_channels=True)),
        float(si_sdr(*pair, joint_channels=True)),
        float(np.mean(log_spectral_distance(*pair))),
    )


def mean_scores(scores: Sequence[Scores]) -> Scores:
    """Return the means; what has no number is left out."""
    columns = zip(*((one.sdr, one.si_sdr, one.lsd) for one in scores), strict=True)
    known = [[value for value in column if not math.isnan(value)] for column in columns]
    return Scores(*(float(np.mean(values)) if values else math.nan for values in known))


@dataclass(frozen=True)
class RestoredFile:
    """One file.

    Attributes:
        file: The input.
        out: What was written.
        seconds: Its length.
        channels: Of them.
        clipped: Restored samples beyond full scale, which the file format cut off; 0 in a float file.
        before: Scores of the degraded signal; None without a reference.
        after: Scores of the restored signal.
    """

    file: Path
    out: Path
    seconds: float
    channels: int
    clipped: int = 0
    before: Scores | None = None
    after: Scores | None = None


@dataclass(frozen=True)
class Restored(TableView):
    """Restored files.

    Attributes:
        files: One entry a file.
        model: Where the model came from.
        degradation: What `degrade` did to clean input; empty otherwise.
        skipped: Files that could not be read, and why.
        seconds: Wall time.
        rate: Samples a second.
        shown: Name -> (frames,) of the first channel of the first file, for the figure.
    """

    files: tuple[RestoredFile, ...]
    model: str
    degradation: str
    skipped: tuple[tuple[Path, str], ...]
    seconds: float
    rate: int
    shown: Mapping[str, np.ndarray] = field(repr=False, default_factory=dict)

    @property
    def audio_seconds(self) -> float:
        """Length of all files."""
        return sum(item.seconds for item in self.files)

    def table(self) -> list[dict[str, Any]]:
        """Return one row a file, and the means where there are references."""
        rows = [
            {"file": item.file.name, "seconds": f"{item.seconds:.1f}", **_cells(item.before, item.after)}
            for item in self.files
        ]
        scored = [item for item in self.files if item.before is not None and item.after is not None]
        if len(scored) > 1:
            means = (mean_scores([getattr(item, name) for item in scored]) for name in ("before", "after"))
            rows.append({"file": "mean", "seconds": f"{sum(f.seconds for f in scored):.1f}", **_cells(*means)})
        return rows

    def figure(self) -> Figure | None:
        """Draw spectrograms of the first file: degraded or input, restored, and the reference if there is one."""
        return spectrograms(self.shown, self.rate) if self.shown else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        files = [{**asdict(item), "file": str(item.file), "out": str(item.out)} for item in self.files]
        return {
            "model": self.model,
            "degradation": self.degradation,
            "rate": self.rate,
            "seconds": self.seconds,
            "files": _plain(files),
            "skipped": skipped_rows(self.skipped),
        }


@dataclass(frozen=True)
class TrainedRestorer(TableView):
    """A trained restoration model, measured on the test files.

    Attributes:
        folder: The run folder.
        model: Name of the model.
        parameters: Their number.
        steps: Training steps.
        seconds: Wall time of the whole command.
        test_seconds: Length of what was measured, for each degradation.
        scores: Degradation -> (before, after), means over the test files; of a band limit also with noise above it.
        skipped: Files that could not be read, and why.
        rate: Samples a second.
        shown: Name -> (frames,) for the figure: the first degradation of the first test file.
    """

    folder: Path
    model: str
    parameters: int
    steps: int
    seconds: float
    test_seconds: float
    scores: Mapping[str, tuple[Scores, Scores]]
    skipped: tuple[tuple[Path, str], ...]
    rate: int
    shown: Mapping[str, np.ndarray] = field(repr=False, default_factory=dict)

    def table(self) -> list[dict[str, Any]]:
        """Return one row a degradation."""
        return [{"degradation": name, **_cells(*pair)} for name, pair in self.scores.items()]

    def figure(self) -> Figure | None:
        """Draw spectrograms of a test file: degraded, restored, clean."""
        return spectrograms(self.shown, self.rate) if self.shown else None

    def to_dict(self) -> dict[str, Any]:
        """Return what summary.json holds."""
        pairs = {
            name: {"before": asdict(before), "after": asdict(after)} for name, (before, after) in self.scores.items()
        }
        return {
            "folder": self.folder.name,
            "model": self.model,
            "parameters": self.parameters,
            "steps": self.steps,
            "seconds": self.seconds,
            "test_seconds": self.test_seconds,
            "rate": self.rate,
            "scores": _plain(pairs),
            "skipped": skipped_rows(self.skipped),
        }


def _cells(before: Scores | None, after: Scores | None) -> dict[str, str]:
    if before is None or after is None:
        return {}
    cells = {}
    for name, label in (("sdr", "SDR dB"), ("si_sdr", "SI-SDR dB"), ("lsd", "log-spectral distance")):
        for when, scores in (("before", before), ("after", after)):
            cells[f"{label} {when}"] = (
                f"{getattr(scores, name):.3f}" if name == "lsd" else f"{getattr(scores, name):.2f}"
            )
    return cells


def _plain(value: Any) -> Any:
    """Replace what JSON has no number for by None."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def spectrograms(signals: Mapping[str, np.ndarray], rate: int) -> Figure:
    """Draw the spectrograms of signals (frames,) above each other, on one scale in dB."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 2.0 * len(signals)), layout="constrained")
    panels = figure.subplots(len(signals), 1, sharex=True, squeeze=False)[:, 0]
    levels = {name: decibels(samples) for name, samples in signals.items()}
    top = max(float(level.max()) for level in levels.values())
    for axes, (name, level) in zip(panels, levels.items(), strict=True):
        image = draw_spectrogram(axes, level, rate, top=top)
        axes.set_title(name)
    panels[-1].set_xlabel("seconds")
    figure.colorbar(image, ax=list(panels), label="dB")
    return figure
