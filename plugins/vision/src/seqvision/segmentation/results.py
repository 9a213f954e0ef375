"""What training and segmenting give: scores and areas as tables, overlays as figures, plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqsuite.reports import Report, TableView, training_report
from seqsuite.training.run_folder import write_json
from seqvision.segmentation.scores import PixelScores

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 6
"""Images in a figure."""


def palette(classes: int) -> np.ndarray:
    """Return a colour of each class (K, 3) uint8; class 0 is black, neighbours differ in hue."""
    from matplotlib.colors import hsv_to_rgb

    number = np.arange(classes)
    # Steps of the golden ratio leave every number of classes with hues far apart.
    hue = (number * 0.61803398875) % 1.0
    colours = hsv_to_rgb(np.stack((hue, np.full(classes, 0.75), 0.65 + 0.35 * (number % 2)), 1))
    colours[0] = 0
    found: np.ndarray = np.round(colours * 255).astype(np.uint8)
    return found


def overlay_figure(
    pictures: Sequence[np.ndarray],
    found: Sequence[np.ndarray],
    classes: Sequence[str],
    truth: Sequence[np.ndarray] = (),
    titles: Sequence[str] = (),
) -> Figure:
    """Draw images with their masks over them, a row an image: the image, the truth where it is known, the mask.

    Args:
        pictures: (H, W, 3) uint8 each.
        found: (H, W) classes each.
        classes: Their names; those that are drawn go into the legend.
        truth: (H, W) classes each, or nothing.
        titles: One an image, or nothing.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    columns = ("image", "truth", "model") if len(truth) else ("image", "model")
    figure = Figure(figsize=(2.2 * len(columns) + 1.6, 2.2 * len(pictures)), layout="constrained")
    panels = figure.subplots(len(pictures), len(columns), squeeze=False)
    colours = palette(len(classes))
    seen: set[int] = set()
    for number, row in enumerate(panels):
        masks = {"model": found[number]} | ({"truth": truth[number]} if len(truth) else {})
        for axes, column in zip(row, columns, strict=True):
            axes.set_axis_off()
            axes.imshow(_blended(pictures[number], masks.get(column), colours))
            seen |= {int(label) for label in np.unique(masks.get(column, 0)) if label < len(classes)}
            if number == 0:
                axes.set_title(column)
        if len(titles):
            row[0].text(0, -2, titles[number], fontsize=7, va="bottom")
    handles = [Patch(color=colours[label] / 255, label=classes[label]) for label in sorted(seen)]
    figure.legend(handles=handles, loc="outside right upper", frameon=False, fontsize=8)
    return figure


def _blended(picture: np.ndarray, mask: np.ndarray | None, colours: np.ndarray) -> np.ndarray:
    if mask is None:
        return picture
    known = (mask > 0) & (mask < len(colours))
    tinted = 0.4 * picture + 0.6 * colours[np.where(known, mask, 0)]
    return np.where(known[..., None], tinted, picture).astype(np.uint8)


@dataclass(frozen=True)
class TrainedSegmentation(TableView):
    """A trained model of masks, measured on test images at their own size.

    Attributes:
        folder: The run folder.
        model: Name of the model.
        source: Where the images come from.
        parameters: Their number.
        steps: Training steps.
        seconds: Wall time of the whole command.
        classes: Their names.
        counts: Part -> images.
        scores: Of the test images.
        plain: Of calling every pixel the class that is most frequent in training.
        notes: What is to be said of the images.
        shown: Test images, true masks and the model's.
    """

    folder: Path
    model: str
    source: str
    parameters: int
    steps: int
    seconds: float
    classes: tuple[str, ...]
    counts: Mapping[str, int]
    scores: PixelScores
    plain: PixelScores
    notes: tuple[str, ...] = ()
    shown: Mapping[str, tuple[np.ndarray, ...]] = field(default_factory=dict, repr=False)

    def table(self) -> list[dict[str, Any]]:
        """Return one row a class with its IoU, and one for all."""
        rows: list[dict[str, Any]] = [
            {"class": name, "test pixels": count, "IoU": _shown(iou), "IoU of one class for all": _shown(plain)}
            for name, count, iou, plain in zip(
                self.classes, self.scores.pixels, self.scores.iou, self.plain.iou, strict=True
            )
        ]
        names = {"mean IoU": "miou", "pixel accuracy": "accuracy"}
        for name, attribute in names.items():
            mine, plain = getattr(self.scores, attribute), getattr(self.plain, attribute)
            rows.append(
                {
                    "class": name,
                    "test pixels": sum(self.scores.pixels),
                    "IoU": _shown(mine),
                    "IoU of one class for all": _shown(plain),
                }
            )
        return rows

    def figure(self) -> Figure:
        """Draw test images with true and found masks."""
        return overlay_figure(self.shown["picture"], self.shown["found"], self.classes, self.shown["truth"])

    def to_dict(self) -> dict[str, Any]:
        """Return what summary.json holds."""
        names = ("model", "source", "parameters", "steps", "seconds", "classes", "counts", "notes")
        plain = {name: getattr(self, name) for name in names}
        scores = {"test": self.scores, "one_class_for_all": self.plain}
        return plain | {name: found.to_dict(self.classes) for name, found in scores.items()}


def _shown(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.3f}"


def write_run(result: TrainedSegmentation) -> None:
    """Write summary.json and report.html of a run."""
    folder = result.folder
    write_json(folder / "summary.json", result.to_dict())
    report = Report(f"{result.model} on {Path(result.source).name}", subtitle=folder.name)
    report.heading(f"{result.counts['test']} test images, at their own size").table(result.table())
    for note in result.notes:
        report.text(note)
    report.figure(result.figure(), caption="Test images", kind="png")
    report.heading("Images").table(dict(result.counts))
    training_report(folder, into=report).write(folder / "report.html")


@dataclass(frozen=True)
class SegmentedImage:
    """One image.

    Attributes:
        image: Its path.
        mask: The mask that was written.
        size: Width and height.
        shares: Class -> share of the pixels, of classes that occur.
    """

    image: Path
    mask: Path
    size: tuple[int, int]
    shares: Mapping[str, float]


@dataclass(frozen=True)
class Segmented(TableView):
    """Images with the masks that a model gave them.

    Attributes:
        out: The folder.
        classes: Names of the labels.
        images: One entry an image.
        scores: Over all images, where true masks were given.
        shown: The first images and masks.
    """

    out: Path
    classes: tuple[str, ...]
    images: tuple[SegmentedImage, ...] = field(repr=False)
    scores: PixelScores | None = None
    shown: Mapping[str, tuple[np.ndarray, ...]] = field(default_factory=dict, repr=False)

    def table(self) -> list[dict[str, Any]]:
        """Return one row an image: its size and the share of each class that occurs."""
        rows = []
        for item in self.images:
            parts = sorted(item.shares.items(), key=lambda pair: -pair[1])
            shares = ", ".join(f"{name} {share:.1%}" for name, share in parts)
            rows.append({"image": item.image.name, "size": "x".join(map(str, item.size)), "classes": shares})
        return rows

    def figure(self) -> Figure:
        """Draw the first images with their masks over them."""
        names = [item.image.name for item in self.images]
        shown = self.shown["found"]
        return overlay_figure(
            self.shown["picture"], shown, self.classes, self.shown.get("truth", ()), names[: len(shown)]
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "out": str(self.out),
            "classes": self.classes,
            "images": [
                {"image": str(item.image), "mask": str(item.mask), "size": item.size, "shares": item.shares}
                for item in self.images
            ],
            "scores": None if self.scores is None else self.scores.to_dict(self.classes),
        }
