"""The error of a diffusion model on held-out windows, by how much noise there is.

Windows lie end to end over the files. In each, one step of every group of steps is drawn with its noise, a function
of (seed, window, group); the error is the mean square over the samples that are there. A model that predicts no
noise at all has the error 1 in every group.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from seqaudio.data import AudioFile, Windows
from seqaudio.models.diffwave import DiffWave
from seqaudio.sources import skipped_rows
from seqaudio.training.tasks import condition
from seqsuite.data.order import item_rng, item_seed
from seqsuite.errors import UserError
from seqsuite.reports import TableView, line_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from seqaudio.api import AudioModel
    from seqaudio.evaluation.generated import GeneratedScores

GROUPS = 10
_STEP, _NOISE = 3, 5
_SAMPLES_AT_ONCE = 1 << 17
_WINDOW = 16000
_MOST_PADDING = 16


@dataclass(frozen=True)
class DenoisingEvaluation(TableView):
    """A diffusion model on held-out windows: mean squared error of the predicted noise.

    Attributes:
        model: Name of the model.
        source: What was measured.
        sample_rate: Samples a second.
        length: Samples of a window.
        steps: First and last step of each group, counted from 0; the last group has the most noise.
        errors: Mean squared error of each window in each group: (windows, groups).
        sizes: Number of samples of each window: (windows,).
        generated: Scores of generated clips, where there are any.
        skipped: Path and reason of each file left out.
        notes: What else is to be said, a line each.
    """

    model: str
    source: str
    sample_rate: int
    length: int
    steps: tuple[tuple[int, int], ...]
    errors: np.ndarray = field(repr=False)
    sizes: np.ndarray = field(repr=False)
    generated: GeneratedScores | None = None
    skipped: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def group_errors(self) -> np.ndarray:
        """Mean squared error of each group over all samples: (groups,)."""
        return np.average(self.errors, axis=0, weights=self.sizes)

    @property
    def mean_squared_error(self) -> float:
        """The training loss: the mean over all steps."""
        counts = [last - first + 1 for first, last in self.steps]
        return float(np.average(self.group_errors, weights=counts))

    @property
    def title(self) -> str:
        """A line that says what was measured."""
        seconds = self.sizes.sum() / self.sample_rate
        return f"Error of the predicted noise on {self.source}: {seconds:,.1f} s in windows of {self.length:,} samples"

    def table(self) -> list[dict[str, Any]]:
        """Return one row a group of steps, and one for all."""
        rows = [
            {"steps": f"{first} to {last}", "mean squared error": f"{error:.4f}", "+-": _error_text(column)}
            for (first, last), error, column in zip(self.steps, self.group_errors, self.errors.T, strict=True)
        ]
        return [*rows, {"steps": "all", "mean squared error": f"{self.mean_squared_error:.4f}", "+-": ""}]

    def figure(self) -> Figure:
        """Draw the error by step."""
        middle = [(first + last) / 2 for first, last in self.steps]
        curves = {self.model: (middle, self.group_errors.tolist())}
        return line_figure(curves, x="step", y="mean squared error", levels={"no prediction": 1.0}, log=True)

    def to_dict(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {
            "model": self.model,
            "source": self.source,
            "sample_rate": self.sample_rate,
            "length": self.length,
            "mean_squared_error": self.mean_squared_error,
            "by_steps": [
                {"first": first, "last": last, "mean_squared_error": float(error)}
                for (first, last), error in zip(self.steps, self.group_errors, strict=True)
            ],
            "windows": len(self.sizes),
            "generated": None if self.generated is None else self.generated.to_dict(),
            "skipped": skipped_rows(self.skipped),
            "notes": list(self.notes),
        }


def _error_text(values: np.ndarray) -> str:
    return f"{values.std(ddof=1) / math.sqrt(len(values)):.4f}" if len(values) > 1 else ""


def denoising_errors(
    model: AudioModel,
    files: Sequence[AudioFile],
    *,
    source: str = "",
    length: int = 0,
    rows: int = 16,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> DenoisingEvaluation:
    """Measure a diffusion model on files.

    Args:
        model: The model.
        files: The files.
        source: What to call them.
        length: Samples of a window; 0: as in training, a second where that is not known.
        rows: Most windows that run at once.
        seed: Of steps and noise.
        progress: Called with a line of text.

    Raises:
        UserError: The model is none of diffusion, or a file cannot be read.
    """
    denoiser = model.model
    if not isinstance(denoiser, DiffWave):
        raise UserError(f"{model.name} is no diffusion model")
    longest = max(file.frames_at(model.sample_rate) for file in files)
    if length > _MOST_PADDING * longest:
        raise UserError(f"--length {length}: the longest file has {longest:,} samples; choose a shorter --length")
    length = length or model.length or _WINDOW
    windows = Windows(
        files,
        length=length,
        rate=model.sample_rate,
        train=False,
        channels=model.channels,
        normalize=model.normalize,
    )
    if progress is not None:
        progress(f"measuring {len(windows)} windows of {len(files)} files at {GROUPS} levels of noise")
    groups = _groups(denoiser.config.diffusion_steps)
    rows = max(1, min(rows, _SAMPLES_AT_ONCE // length))
    parts, sizes = [], []
    for first in range(0, len(windows), rows):
        places = range(first, min(first + rows, len(windows)))
        items = [windows[place] for place in places]
        samples = torch.stack([item["samples"] for item in items]).to(model.device)
        valid = torch.stack([item["valid"] for item in items]).to(model.device)
        parts.append(_window_errors(denoiser, samples, valid, places, groups, seed))
        sizes.append(valid.sum(1).cpu().numpy())
    errors, counts = np.concatenate(parts), np.concatenate(sizes)
    return DenoisingEvaluation(model.name, source, model.sample_rate, length, groups, errors, counts)


def _groups(steps: int) -> tuple[tuple[int, int], ...]:
    edges = np.unique(np.linspace(0, steps, min(GROUPS, steps) + 1).round().astype(int)).tolist()
    return tuple((first, end - 1) for first, end in itertools.pairwise(edges))


@torch.no_grad()
def _window_errors(
    model: DiffWave,
    samples: torch.Tensor,
    valid: torch.Tensor,
    places: Sequence[int],
    groups: Sequence[tuple[int, int]],
    seed: int,
) -> np.ndarray:
    """Return the mean squared error of each window in each group: (B, groups)."""
    process, told = model.process(), condition(model, samples, valid)
    found = np.empty((len(samples), len(groups)))
    for number, (low, high) in enumerate(groups):
        draws = [int(item_rng(seed, place, number, _STEP).integers(low, high + 1)) for place in places]
        generators = [torch.Generator().manual_seed(item_seed(seed, place, number, _NOISE) >> 1) for place in places]
        noise = torch.stack([torch.randn(samples.shape[1:], generator=one) for one in generators]).to(samples)
        steps = torch.tensor(draws, device=samples.device)
        predicted = model(process.noised(samples, steps, noise), steps, **told)
        square = (predicted - noise).square().mean(-1).masked_fill(~valid, 0).double()
        found[:, number] = (square.sum(1) / valid.sum(1)).cpu().numpy()
    return found
