"""Labelled images for training and evaluation: read, split, and made into inputs.

    data = open_images(VisionTrainConfig("digits", hflip=0.0))
    data.describe()
    data.train.training(0, seed=1)              # (C, H, W), a pure function of its arguments
    data = open_images(config, fixed=model.config)      # as a trained model wants them

A source that marks test images keeps them; what it does not mark is dealt out by class and seed. Where it marks `val`
but no test, as ImageNet does, `val` is the test, and what chooses the weights comes out of the training images.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

from seqsuite.errors import UserError
from seqvision.configs.models import ImageModelConfig
from seqvision.configs.train import VisionTrainConfig
from seqvision.data.images_convert import conversion_notes
from seqvision.data.images_sources import Found, Part, check_classes, read_source
from seqvision.data.images_stores import ImageStore
from seqvision.data.images_transforms import SMALL, Preprocess, Transform, seeded
from seqvision.data.labelled import Items, Labelled, Subset, stratified

_MEASURED = 1000
"""Images whose mean and deviation stand for those of all."""


class ImageItems(Items):
    """Images of a store as inputs.

    Args:
        store: The images.
        labels: (n,) int64.
        preprocess: How they become inputs.
        training: The random transform; None: as in scoring.
    """

    def __init__(
        self, store: ImageStore, labels: np.ndarray, preprocess: Preprocess, training: Transform | None = None
    ) -> None:
        self.store, self.labels, self.preprocess = store, labels, preprocess
        self._scoring, self._training = preprocess.scoring(), training

    @property
    def names(self) -> Sequence[str]:  # type: ignore[override]
        """One name each."""
        return self.store.names

    def scoring(self, index: int) -> Tensor:
        """See `Items`."""
        return self._scoring(self.store.read(index, self.preprocess.channels))

    def training(self, index: int, seed: int) -> Tensor:
        """See `Items`."""
        if self._training is None:
            return self.scoring(index)
        image = self.store.read(index, self.preprocess.channels)
        with seeded(seed):
            return self._training(image)


def open_images(config: VisionTrainConfig, fixed: ImageModelConfig | None = None) -> Labelled:
    """Read the images that the options name, and make them ready.

    Args:
        config: The options of `seqvision train`.
        fixed: Of a trained model: inputs and labels are made as it wants them.

    Raises:
        UserError: The source, an image, a label, or an option that does not fit them.
    """
    found = read_source(
        config.source,
        image_column=config.image_column,
        label_column=config.label_column,
        skip=config.on_error == "skip",
    )
    if fixed is None:
        check_classes(found)
    rows, notes = split_parts(found, config)
    preprocess = fixed_inputs(fixed) if fixed is not None else plan_inputs(found, rows, config)
    training = preprocess.training(config) if fixed is None else None
    classes, lookup = _classes(found, fixed)
    items = {}
    for split, (name, chosen) in rows.items():
        part = found.parts[name]
        whole = ImageItems(part.store, lookup[part.labels], preprocess, training)
        items[split] = Subset(whole, chosen)
    kinds: dict[str, int] = {}
    for part in found.parts.values():
        for kind, count in part.store.kinds.items():
            kinds[kind] = kinds.get(kind, 0) + count
    return Labelled(
        train=items.get("train"),
        valid=items.get("valid"),
        test=items.get("test"),
        classes=classes,
        size=preprocess.size,
        channels=preprocess.channels,
        mean=preprocess.mean,
        std=preprocess.std,
        interpolation=preprocess.interpolation,
        crop_pct=preprocess.crop_pct,
        crop_mode=preprocess.crop_mode,  # type: ignore[arg-type]
        fingerprint=_fingerprint(found, rows),
        source=str(config.source),
        notes=(*found.notes, *conversion_notes(kinds, preprocess.channels), *notes),
        skipped=found.skipped,
    )


def split_parts(found: Found, config: VisionTrainConfig) -> tuple[dict[str, tuple[str, np.ndarray]], tuple[str, ...]]:
    """Return split -> (the source's part, its rows), and how it was decided in words."""
    every = {name: np.arange(len(part.labels)) for name, part in found.parts.items()}
    marked: dict[str, tuple[str, np.ndarray]] = {
        name: (name, every[name]) for name in ("train", "valid", "test") if name in every
    }
    seed = f"by class, seed {config.seed}"
    if "all" in found.parts:
        part = found.parts["all"]
        shares = (config.valid_fraction, config.test_fraction)
        valid, test, train = stratified(part.labels, shares, config.seed, classes=found.classes, source=found.source)
        rows = {"train": ("all", train), "valid": ("all", valid), "test": ("all", test)}
        note = f"validation ({shares[0]:g}) and test ({shares[1]:g}) were dealt out {seed}"
        return {split: value for split, value in rows.items() if len(value[1])}, (note,)
    notes: list[str] = []
    if "test" not in marked and "valid" in marked:
        marked["test"] = marked.pop("valid")
        notes.append("the source's validation images are the test, since it has no other")
    if "train" in marked and "valid" not in marked and config.valid_fraction:
        labels = found.parts["train"].labels
        valid, train = stratified(
            labels, (config.valid_fraction,), config.seed, classes=found.classes, source=found.source
        )
        marked |= {"train": ("train", train), "valid": ("train", valid)}
        notes.append(f"validation ({config.valid_fraction:g} of the training images) was dealt out {seed}")
    return marked, tuple(notes)


def plan_inputs(found: Found, rows: dict[str, tuple[str, np.ndarray]], config: VisionTrainConfig) -> Preprocess:
    """Decide on size, channels and normalisation of a new model's inputs.

    Raises:
        UserError: The model is not known, or the channels do not fit.
    """
    from seqvision.models.image_model import data_config
    from seqvision.training.models import architecture_of

    says = data_config(architecture_of(config))
    stores = [part.store for part in found.parts.values()]
    own = {store.size for store in stores}
    common = own.pop() if len(own) == 1 else None
    size = _size(config, common, tuple(says["input_size"][-2:]))
    native = common == size
    channels = _channels(stores, config)
    plan = Preprocess(
        size=size,
        channels=channels,
        mean=_repeat(says["mean"], channels),
        std=_repeat(says["std"], channels),
        interpolation=config.interpolation or says["interpolation"],
        crop_pct=config.crop_pct or (1.0 if native else says["crop_pct"]),
        crop_mode=says["crop_mode"] or "center",
    )
    if config.norm == "model" or (config.norm == "auto" and config.pretrained_from) or "train" not in rows:
        return plan
    name, chosen = rows["train"]
    mean, std = measure(found.parts[name], chosen, channels)
    return dataclasses.replace(plan, mean=mean, std=std)


def measure(part: Part, rows: np.ndarray, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation of each channel on a scale of 0 to 1, over images spread evenly over the rows."""
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _MEASURED)).round().astype(np.int64))]
    total, square, count = np.zeros(channels), np.zeros(channels), 0
    for row in chosen:
        image = part.store.read(int(row), channels)
        pixels = (image if isinstance(image, Tensor) else pil_to_tensor(image) / 255).flatten(1).to(torch.float64)
        total += pixels.sum(1).numpy()
        square += pixels.square().sum(1).numpy()
        count += pixels.shape[1]
    mean = total / count
    std = np.sqrt(np.maximum(square / count - mean**2, 0))
    # Black images have no deviation to divide by.
    std = np.where(std < 1e-3, 1.0, std)
    return tuple(round(float(value), 6) for value in mean), tuple(round(float(value), 6) for value in std)


def _size(config: VisionTrainConfig, common: tuple[int, int] | None, model: tuple[int, ...]) -> tuple[int, int]:
    asked = config.img_size if isinstance(config.img_size, tuple) else (config.img_size, config.img_size)
    if min(asked) > 0:
        return asked
    small = common is not None and max(common) <= SMALL
    return common if small and common is not None else (model[0], model[1])


def _channels(stores: Sequence[ImageStore], config: VisionTrainConfig) -> int:
    special = {store.channels for store in stores if store.channels}
    if special:
        own = special.pop()
        if special or config.in_chans not in (0, own):
            raise UserError(f"{config.source}: its images have {own} channels; --in_chans cannot be another number")
        return own
    if config.in_chans not in (0, 1, 3):
        raise UserError(f"--in_chans is {config.in_chans}; images of {config.source} give 1 or 3")
    return config.in_chans or (1 if all(store.grey for store in stores) else 3)


def _repeat(values: Sequence[float], channels: int) -> tuple[float, ...]:
    return tuple(values) if len(values) == channels else (sum(values) / len(values),) * channels


def fixed_inputs(model: ImageModelConfig) -> Preprocess:
    """Return how images become inputs of a trained model."""
    height, width = model.img_size[-2:]
    return Preprocess(
        size=(height, width),
        channels=model.in_chans,
        mean=model.mean,
        std=model.std,
        interpolation=model.interpolation,
        crop_pct=model.crop_pct,
        crop_mode=model.crop_mode,
    )


def _classes(found: Found, fixed: ImageModelConfig | None) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the classes' names, and the model's class of each of the source's."""
    if fixed is None or not fixed.classes:
        if fixed is not None and len(found.classes) > fixed.num_classes:
            raise UserError(f"{found.source}: has {len(found.classes)} classes, the model {fixed.num_classes}")
        return found.classes, np.arange(len(found.classes))
    strange = [name for name in found.classes if name not in fixed.classes]
    if strange:
        raise UserError(f"{found.source}: the model does not know the class {strange[0]!r}")
    return fixed.classes, np.array([fixed.classes.index(name) for name in found.classes])


def _fingerprint(found: Found, rows: dict[str, tuple[str, np.ndarray]]) -> str:
    digest = hashlib.sha256(found.fingerprint().encode())
    for split, (name, chosen) in sorted(rows.items()):
        digest.update(f"{split} {name} ".encode() + chosen.tobytes())
    return digest.hexdigest()
