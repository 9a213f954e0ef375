"""`segment`: masks of images with a trained model, as PNG files with a palette, and a figure of the first ones."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from seqsuite.errors import UserError
from seqsuite.models.create import load_model, to_device
from seqsuite.reports.csv_files import write_csv
from seqsuite.training.run_folder import told
from seqvision.configs.segment import SegmentConfig
from seqvision.data.images_convert import SUFFIXES
from seqvision.data.masks import image_files, masks_by_stem, read_mask, read_picture
from seqvision.models.dense import DenseModel
from seqvision.models.folders import model_folder
from seqvision.segmentation.results import SHOWN, Segmented, SegmentedImage, palette
from seqvision.segmentation.scores import confusion, pixel_scores
from seqvision.segmentation.train import predict_masks


def load_segmenter(source: str | Path, *, device: str = "cpu") -> DenseModel:
    """Load a model of masks from a run folder or a model folder.

    Raises:
        UserError: There is no model, it is another kind of model, or the device cannot be used.
    """
    path = Path(source).expanduser()
    model = load_model(model_folder(path, "segment-train"))
    if not isinstance(model, DenseModel):
        raise UserError(f"{path} holds a {type(model).__name__}, which segments no images; see segment-train")
    to_device(model, device)
    return model


def segment(config: SegmentConfig, model: DenseModel | None = None) -> Segmented:
    """Segment images; nothing is computed before the outputs are known to be free.

    Args:
        config: The options.
        model: The model, where it is loaded already.

    Raises:
        UserError: The model, an image, a mask or an output; one line names it.
    """
    if config.batch_size < 1:
        raise UserError(f"--batch_size is {config.batch_size}; it must be at least 1.")
    out = Path(config.out).expanduser()
    images = find_images(config.images)
    targets = [out / f"{path.stem}.png" for path in images]
    _check_outputs(images, [*targets, out / "overlay.png", out / "areas.csv"], overwrite=config.overwrite)
    masks = _masks_of(images, Path(config.masks).expanduser()) if config.masks else []
    model = model or load_segmenter(config.run, device=config.device)
    classes = model.config.class_names or tuple(map(str, range(model.config.num_classes)))
    with _aside(out) as aside:
        result = _run(config, model, classes, images, aside, masks)
        _write(result, aside)
        for path in sorted(aside.iterdir()):
            with told(out / path.name):
                os.replace(path, out / path.name)
    return result


@contextmanager
def _aside(out: Path) -> Iterator[Path]:
    """Give a folder within `out` to write to; nothing of it is left behind, nor `out` where that is new and empty."""
    aside, new = out / f".{os.getpid()}.tmp", not out.exists()
    with told(out):
        aside.mkdir(parents=True)
    try:
        yield aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        if new and not any(out.iterdir()):
            out.rmdir()


def _run(
    config: SegmentConfig,
    model: DenseModel,
    classes: tuple[str, ...],
    images: list[Path],
    aside: Path,
    masks: list[Path],
) -> Segmented:
    """Segment the images; masks go to the folder `aside`, and the result says where they will lie."""
    out = Path(config.out).expanduser()
    entries: list[SegmentedImage] = []
    shown: dict[str, list[np.ndarray]] = {"picture": [], "found": [], "truth": []}
    matrix = np.zeros((len(classes), len(classes)), np.int64)
    for first in range(0, len(images), config.batch_size):
        some = slice(first, first + config.batch_size)
        pictures = [read_picture(path) for path in images[some]]
        found = predict_masks(model, pictures)
        truths = [
            _truth(path, mask, len(classes), config.ignore) for path, mask in zip(masks[some], found, strict=False)
        ]
        for truth, mask in zip(truths, found, strict=False):
            matrix += confusion(truth, mask, len(classes), config.ignore)
        for path, mask in zip(images[some], found, strict=True):
            name = f"{path.stem}.png"
            write_mask(aside / name, mask, len(classes))
            entries.append(_entry(path, out / name, mask, classes))
        for name, arrays in (("picture", pictures), ("found", found), ("truth", truths)):
            shown[name] += arrays[: SHOWN - len(shown[name])]
    return Segmented(
        out=out,
        classes=classes,
        images=tuple(entries),
        scores=pixel_scores(matrix) if masks else None,
        shown={name: tuple(arrays) for name, arrays in shown.items()},
    )


def _truth(path: Path, mask: np.ndarray, classes: int, ignore: int) -> np.ndarray:
    """Read a true mask and check that it fits."""
    truth = read_mask(path)
    if truth.shape != mask.shape:
        sizes = ["x".join(map(str, shape[::-1])) for shape in (truth.shape, mask.shape)]
        raise UserError(f"{path}: is {sizes[0]} pixels, its image {sizes[1]}")
    bad = truth[(truth != ignore) & ((truth < 0) | (truth >= classes))]
    if bad.size:
        raise UserError(
            f"{path}: has the label {bad[0]}; the model's {classes} classes end at {classes - 1}, and --ignore is "
            f"{ignore}"
        )
    return truth


def find_images(source: str) -> list[Path]:
    """Return an image, or those of a folder in the order of their names.

    Raises:
        UserError: There are none, or two have one stem.
    """
    path = Path(source).expanduser()
    if not path.exists():
        raise UserError(f"{path}: there is no such image or folder")
    if path.is_file():
        return [path]
    found = image_files(path)
    if not found:
        raise UserError(f"{path}: holds no images ({', '.join(SUFFIXES)})")
    twice = [stem for stem, count in Counter(item.stem for item in found).items() if count > 1]
    if twice:
        raise UserError(f"{path}: several images are called {twice[0]}; their masks would have one name")
    return found


def _masks_of(images: list[Path], folder: Path) -> list[Path]:
    """Return the true mask of each image."""
    if not folder.is_dir():
        raise UserError(f"--masks {folder}: there is no such folder")
    known = masks_by_stem(folder)
    for path in images:
        if path.stem not in known:
            raise UserError(f"{path}: has no mask {folder / path.stem}.png")
    return [known[path.stem] for path in images]


def _entry(path: Path, target: Path, mask: np.ndarray, classes: tuple[str, ...]) -> SegmentedImage:
    counts = np.bincount(mask.ravel(), minlength=len(classes)) / mask.size
    shares = {name: float(share) for name, share in zip(classes, counts, strict=True) if share > 0}
    return SegmentedImage(path, target, (mask.shape[1], mask.shape[0]), shares)


def write_mask(path: Path, mask: np.ndarray, classes: int) -> None:
    """Write a mask as a PNG whose pixels are the class numbers: with a palette, or 16 bits beyond 256 classes.

    Raises:
        UserError: It cannot be written.
    """
    if classes <= 256:
        image = Image.fromarray(mask.astype(np.uint8))
        image.putpalette(palette(classes).ravel().tolist())
    else:
        image = Image.fromarray(mask.astype(np.uint16))
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp.png")
    with told(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def _check_outputs(images: list[Path], paths: list[Path], *, overwrite: bool) -> None:
    inputs = {path.resolve() for path in images}
    for path in paths:
        if path.resolve() in inputs or paths.count(path) > 1:
            raise UserError(f"{path} would be written over; choose another --out, or rename the image")
        if path.exists() and not overwrite:
            raise UserError(f"{path} exists; add --overwrite to replace it, or choose another --out")


def _write(result: Segmented, folder: Path) -> None:
    """Write the overlay and the table of areas into a folder."""
    with told(result.out / "overlay.png"):
        result.figure().savefig(folder / "overlay.png", dpi=120, bbox_inches="tight")
    rows = (
        [item.image.name, *item.size, *(f"{item.shares.get(name, 0):.6f}" for name in result.classes)]
        for item in result.images
    )
    write_csv(folder / "areas.csv", ["image", "width", "height", *result.classes], rows)
