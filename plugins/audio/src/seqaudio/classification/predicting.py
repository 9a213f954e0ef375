"""What a trained classifier says of clips, and the features behind it.

features, probs = embed_clips("runs/digits", clips, rate=16000)       # (n, D), (n, classes) float64
found = predict("runs/digits", read_clips("recordings", rate=8000)[0])
found.save("predictions.csv")
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from seqaudio.classification.batches import padded
from seqaudio.classification.clips import Clips
from seqaudio.classification.networks import embed, logits
from seqaudio.classification.task import HEAD
from seqaudio.data import resample
from seqsuite.errors import UserError
from seqsuite.models.create import load_model, to_device
from seqsuite.reports import TableView
from seqsuite.reports.csv_files import write_csv

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Classifier:
    """A network with the names of its classes.

    Attributes:
        model: The network.
        classes: Names of its outputs.
        rate: Samples a second that it hears.
    """

    model: nn.Module = field(repr=False)
    classes: tuple[str, ...]
    rate: int

    def embed(self, waves: Sequence[np.ndarray], *, batch: int = 16) -> tuple[np.ndarray, np.ndarray]:
        """Return features (n, D) and probabilities (n, classes), float64, of clips (L,) at `rate`.

        Args:
            waves: The clips, of any lengths above 0.
            batch: Clips that run at once.
        """
        order = sorted(range(len(waves)), key=lambda index: len(waves[index]))
        found: list[Any] = [None] * len(waves)
        device = next(self.model.parameters()).device
        training = self.model.training
        self.model.eval()
        try:
            for first in range(0, len(order), batch):
                rows = order[first : first + batch]
                wave, lengths = padded([waves[row] for row in rows])
                with torch.inference_mode():
                    features = embed(self.model, wave.to(device), lengths.to(device))
                    probs = logits(self.model, features).double().softmax(1)
                for row, *pair in zip(rows, features.double().cpu().numpy(), probs.cpu().numpy(), strict=True):
                    found[row] = pair
        finally:
            self.model.train(training)
        return np.stack([pair[0] for pair in found]), np.stack([pair[1] for pair in found])


def load_classifier(run: str | Path, *, device: str = "cpu") -> Classifier:
    """Load a classifier.

    Args:
        run: A run folder of `seqaudio classify`, or the folder of its model.
        device: Where it runs.

    Raises:
        UserError: There is none, or it is damaged.
    """
    folder = Path(os.path.expanduser(run))
    folder = folder / "model" if (folder / "model").is_dir() else folder
    path = folder / HEAD
    if not path.is_file():
        raise UserError(f"{run}: holds no classifier (no {HEAD}); give a run folder of seqaudio classify")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        classes, rate = tuple(str(name) for name in values["classes"]), int(values["sample_rate"])
    except (ValueError, KeyError, TypeError, OSError):
        raise UserError(f"{path}: damaged; it names classes and sample_rate") from None
    model = load_model(folder)
    if model.config.num_classes != len(classes):
        raise UserError(f"{path}: names {len(classes)} classes, but the model has {model.config.num_classes}")
    to_device(model, device)
    return Classifier(model, classes, rate)


def embed_clips(
    run: str | Path | Classifier, clips: Sequence[np.ndarray], *, rate: int, batch: int = 16, device: str = "cpu"
) -> tuple[np.ndarray, np.ndarray]:
    """Return features and class probabilities of clips, for distances between sets of them.

    Args:
        run: A run folder of `seqaudio classify`, or a loaded classifier.
        clips: n clips, (L,) floats each.
        rate: Samples a second of the clips; they are resampled to the classifier's.
        batch: Clips that run at once.
        device: Where a classifier that is not loaded yet runs.

    Returns:
        Features (n, D) and probabilities (n, classes), float64.

    Raises:
        UserError: The run, or a clip that is empty or not finite.
    """
    classifier = run if isinstance(run, Classifier) else load_classifier(run, device=device)
    waves = []
    for number, clip in enumerate(clips):
        wave = np.asarray(clip, dtype=np.float32)
        if wave.ndim != 1 or not wave.size or not np.isfinite(wave).all():
            raise UserError(f"clip {number} must be (L,) finite samples, L above 0, not {np.shape(clip)}")
        waves.append(wave if rate == classifier.rate else resample(wave[:, None], rate, classifier.rate)[:, 0])
    if not waves:
        raise UserError("there is no clip to classify")
    return classifier.embed(waves, batch=batch)


@dataclass(frozen=True)
class Predictions(TableView):
    """What a classifier says of clips.

    Attributes:
        names: One name a clip.
        classes: Names of the classes.
        probs: (n, classes) probabilities.
        skipped: Clips that could not be read, and why.
    """

    names: tuple[str, ...]
    classes: tuple[str, ...]
    probs: np.ndarray = field(repr=False)
    skipped: tuple[tuple[str, str], ...] = ()

    @property
    def predicted(self) -> tuple[str, ...]:
        """The most probable class of each clip."""
        return tuple(self.classes[index] for index in self.probs.argmax(1))

    def table(self) -> list[dict[str, Any]]:
        """Return one row a clip: its name, class and probabilities."""
        return [
            {"file": name, "predicted": said, **{k: float(p) for k, p in zip(self.classes, row, strict=True)}}
            for name, said, row in zip(self.names, self.predicted, self.probs, strict=True)
        ]

    def figure(self) -> Figure:
        """Draw how many clips are of each class."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6.0, 3.2), layout="constrained")
        axes = figure.subplots()
        counts = np.bincount(self.probs.argmax(1), minlength=len(self.classes))
        axes.bar(range(len(self.classes)), counts)
        axes.set_xticks(range(len(self.classes)), self.classes, rotation=90)
        axes.set(ylabel="clips")
        return figure

    def save(self, path: str | Path) -> Path:
        """Write a .csv file: file, predicted, and a column for the probability of each class.

        Raises:
            UserError: The disk is full or the place is not writable.
        """
        rows = zip(self.names, self.predicted, self.probs, strict=True)
        lines = ([name, said, *(f"{p:.6g}" for p in row)] for name, said, row in rows)
        return write_csv(path, ["file", "predicted", *self.classes], lines)


def predict(
    run: str | Path | Classifier,
    clips: Clips,
    *,
    batch: int = 16,
    device: str = "cpu",
    skip: bool = False,
) -> Predictions:
    """Classify clips.

    Args:
        run: A run folder of `seqaudio classify`, or a loaded classifier.
        clips: The clips, at the classifier's rate.
        batch: Clips that run at once.
        device: Where a classifier that is not loaded yet runs.
        skip: Leave out clips that cannot be decoded or are silent, and list them.

    Raises:
        UserError: The run or a clip.
    """
    classifier = run if isinstance(run, Classifier) else load_classifier(run, device=device)
    if clips.rate != classifier.rate:
        raise UserError(f"the clips are at {clips.rate} Hz, the classifier hears {classifier.rate} Hz")
    names, probs, skipped, waves = [], [], [], []
    for index, name in enumerate(clips.names):
        try:
            wave = clips.samples(index)
            if not np.ptp(wave):
                raise UserError(f"{name}: the clip is silent; leave it out, or use --on_error skip")
        except UserError as error:
            if not skip:
                raise
            skipped.append((name, str(error)))
            continue
        names.append(name)
        waves.append(wave)
        if len(waves) == 16 * batch:  # enough to be sorted by length, and not all in memory
            probs.append(classifier.embed(waves, batch=batch)[1])
            waves = []
    if waves:
        probs.append(classifier.embed(waves, batch=batch)[1])
    if not names:
        raise UserError(f"none of the {len(clips)} clips can be read; the first: {skipped[0][1]}")
    return Predictions(tuple(names), classifier.classes, np.concatenate(probs), tuple(skipped))
