"""What a classifier says of images or videos without labels.

found = predict(seqvision.load("runs/digits"), "photos/")
found.save("predictions.csv")                       # name, predicted, and the most probable classes
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from seqsuite.errors import UserError
from seqsuite.reports import TableView
from seqsuite.reports.csv_files import write_csv
from seqvision.data import images_arrays
from seqvision.data.images import ImageItems, fixed_inputs
from seqvision.data.images_convert import SUFFIXES
from seqvision.data.images_sources import image_files
from seqvision.data.images_stores import ArrayStore, FileStore, ImageStore
from seqvision.data.labelled import Items
from seqvision.evaluation.scoring import probabilities

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from seqvision.api import VisionModel

_SHOWN = 12
"""Inputs in the figure."""


@dataclass(frozen=True)
class Predictions(TableView):
    """What a classifier says of inputs.

    Attributes:
        names: One an input.
        classes: Names of the classes.
        probs: (n, K) probabilities.
        top: How many classes tables and figures show.
        pictures: A few of the inputs as the model saw them, (H, W) or (H, W, 3) from 0 to 1, for the figure.
        skipped: Inputs that could not be read, and why.
    """

    names: tuple[str, ...] = field(repr=False)
    classes: tuple[str, ...]
    probs: np.ndarray = field(repr=False)
    top: int = 5
    pictures: tuple[np.ndarray, ...] = field(default=(), repr=False)
    skipped: tuple[tuple[str, str], ...] = ()

    @property
    def predicted(self) -> tuple[str, ...]:
        """The most probable class of each input."""
        return tuple(self.classes[index] for index in self.probs.argmax(1))

    def best(self, index: int) -> list[tuple[str, float]]:
        """Return the most probable classes of an input with their probabilities, the best first."""
        order = np.argsort(-self.probs[index], kind="stable")[: self.top]
        return [(self.classes[place], float(self.probs[index, place])) for place in order]

    def table(self) -> list[dict[str, Any]]:
        """Return one row an input: its name and the most probable classes."""
        rows = []
        for index, name in enumerate(self.names):
            row: dict[str, Any] = {"name": name}
            for place, (label, probability) in enumerate(self.best(index), 1):
                row |= {f"top{place}": label, f"p{place}": probability}
            rows.append(row)
        return rows

    def figure(self) -> Figure:
        """Draw the first inputs, each beside its most probable classes."""
        from matplotlib.figure import Figure

        count = min(_SHOWN, len(self.names))
        figure = Figure(figsize=(7.0, 1.3 * count + 0.4), layout="constrained")
        axes = figure.subplots(count, 2, squeeze=False, width_ratios=(1, 3))
        for index, (left, right) in enumerate(axes):
            left.axis("off")
            if index < len(self.pictures):
                left.imshow(self.pictures[index], cmap="gray", vmin=0, vmax=1)
            best = self.best(index)[::-1]
            right.barh(range(len(best)), [probability for _, probability in best], color="#0072B2")
            right.set_yticks(range(len(best)), [label for label, _ in best], fontsize=8)
            right.set_xlim(0, 1)
            right.set_title(Path(self.names[index]).name, fontsize=8, loc="left")
            right.spines[["top", "right"]].set_visible(False)
        return figure

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {"predictions": self.table(), "skipped": [list(pair) for pair in self.skipped]}

    def save(self, path: str | Path) -> Path:
        """Write a .csv file: name, and the most probable classes with their probabilities.

        Raises:
            UserError: The disk is full or the place is not writable.
        """
        rows = self.table()
        return write_csv(path, list(rows[0]), [[_cell(value) for value in row.values()] for row in rows])


def predict(
    model: VisionModel, source: str | Path | np.ndarray, *, top: int = 5, batch: int = 64, skip: bool = False
) -> Predictions:
    """Classify inputs.

    Args:
        model: As `seqvision.load` returned it.
        source: An image, a folder (searched through), an .npz file with x or images, or an array (n, H, W[, C]); for a
            model of clips a video, or a folder of videos.
        top: How many classes to show.
        batch: Inputs that run at once.
        skip: Leave out what cannot be read, and list it.

    Raises:
        UserError: There is no such source, or an input cannot be read.
    """
    if top < 1 or batch < 1:
        raise UserError(f"--top is {top} and --batch is {batch}; both must be at least 1")
    items, skipped = read_inputs(model, source, skip=skip)
    config = model.config
    classes = config.classes or tuple(str(number) for number in range(config.num_classes))
    probs = probabilities(model.model, items, batch=batch)
    mean, std = np.array(config.mean), np.array(config.std)
    pictures = tuple(_picture(items.scoring(index), mean, std) for index in range(min(_SHOWN, len(items))))
    return Predictions(tuple(items.names), classes, probs, min(top, len(classes)), pictures, tuple(skipped))


def read_inputs(
    model: VisionModel, source: str | Path | np.ndarray, *, skip: bool = False
) -> tuple[Items, Sequence[tuple[str, str]]]:
    """Return unlabelled inputs as a model wants them, and what was skipped.

    Raises:
        UserError: As `predict`.
    """
    if len(model.config.img_size) == 3:
        return _clips(model, source, skip)
    if isinstance(source, np.ndarray):
        store: ImageStore = _array(source, "the array")
    else:
        store = _store(Path(os.path.expanduser(source)), skip)
    items = ImageItems(store, np.full(len(store), -1), fixed_inputs(model.config))
    skipped = store.skipped if isinstance(store, FileStore) else []
    if not len(items):
        raise UserError(f"{source}: none of its images can be read; the first: {skipped[0][1]}")
    return items, skipped


def _clips(model: VisionModel, source: str | Path | np.ndarray, skip: bool) -> tuple[Items, Sequence[tuple[str, str]]]:
    from seqvision.data.video_scoring import model_view, unlabelled_clips

    if isinstance(source, np.ndarray):
        raise UserError("a model of clips takes video files, not an array")
    return unlabelled_clips(source, model_view(model.config), skip=skip)


def _store(path: Path, skip: bool) -> ImageStore:
    if not path.exists():
        raise UserError(f"{path}: there is no such file or folder")
    if path.suffix == ".npz":
        return _array(images_arrays.read_images(path), str(path))
    files = image_files(path) if path.is_dir() else [path]
    if not files:
        raise UserError(f"{path}: holds no image ({', '.join(SUFFIXES[:4])}, ...)")
    root = path if path.is_dir() else path.parent
    return FileStore(files, root, verify=skip, skip=skip)


def _array(array: np.ndarray, name: str) -> ArrayStore:
    if array.ndim not in (3, 4) or not array.size:
        raise UserError(f"{name}: must be (n, height, width) or (n, height, width, channels), not {array.shape}")
    return ArrayStore(images_arrays.eight_bit(array, name), name)


def _picture(inputs: Tensor, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Return an input as it looks: (H, W) or (H, W, 3) from 0 to 1; of a clip the middle frame."""
    image = inputs.numpy() if inputs.ndim == 3 else inputs[:, inputs.shape[1] // 2].numpy()
    image = np.clip(image * std[:, None, None] + mean[:, None, None], 0, 1)
    return np.moveaxis(image, 0, 2) if len(image) == 3 else image[0]


def _cell(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value
