"""`segment_train`: train a model of masks and measure it on test images at their own size."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F

import seqsuite
from seqsuite.errors import UserError
from seqsuite.models import model_config
from seqsuite.training import FitResult, Interrupted, RunFolder, fit, say, seed_everything
from seqsuite.training.run_folder import process_rank
from seqvision.configs.dense import DenseModelConfig, WeatherModelConfig, chosen
from seqvision.configs.segment_train import SegmentTrainConfig
from seqvision.data.masks import FoundMasks
from seqvision.models.dense import DenseModel
from seqvision.segmentation.inputs import Masked, Part, open_parts, resized, to_input
from seqvision.segmentation.losses import enet_weights
from seqvision.segmentation.results import SHOWN, TrainedSegmentation, write_run
from seqvision.segmentation.scores import confusion, pixel_scores
from seqvision.segmentation.task import Segmentation

_HALF = (0.5, 0.5, 0.5)
_COUNTED = 500
"""Training images that say how frequent the classes are."""


def segment_train(config: SegmentTrainConfig) -> TrainedSegmentation | None:
    """Train a model of masks, measure it on the test images, write the run folder.

    Returns:
        The result; None where the run is not complete (`max_minutes`) or in the further processes of a distributed
        run.

    Raises:
        UserError: The images, an option or the run folder; one line says what to do.
        Interrupted: Ctrl-C; the state was saved.
    """
    began = time.monotonic()
    if config.threads:
        torch.set_num_threads(config.threads)
    known = model_config(config.model)
    if not isinstance(known, DenseModelConfig) or isinstance(known, WeatherModelConfig):
        raise UserError(f"--model {config.model} has no output for every pixel of an image; give dense_debug")
    found, parts = open_parts(config)
    fingerprints = {"images": found.fingerprint}
    with RunFolder(config.out).claim(config, fingerprints):
        pass  # `fit` claims it for good; a folder that is refused is the first thing to say
    seed_everything(config.seed)
    model = make_model(config, found.classes)
    counts = ", ".join(f"{len(part):,} for {name}" for name, part in parts.items())
    say(f"images: {counts}; {len(found.classes)} classes; model: {model.num_parameters():,} parameters")
    train, valid = Masked(parts["train"], config, train=True), Masked(parts["valid"], config, train=False)
    weights = None
    if config.class_weights == "enet":
        weights = enet_weights(count_pixels(parts["train"], len(found.classes), config.ignore))
    task = Segmentation(model, config, weights=weights)
    done = fit(task, train, valid, config, inputs=fingerprints, export="best", report=False)
    if process_rank() != 0:
        return None
    if done.reason != "finished":
        say(f"stopped after {done.steps} of {config.steps} steps; go on with --resume")
        return None
    try:
        return measure(config, model, found, parts, done, began)
    except KeyboardInterrupt:
        raise Interrupted(f"stopped while measuring; the model is in {done.model}, --resume measures it") from None


def make_model(config: SegmentTrainConfig, classes: tuple[str, ...]) -> DenseModel:
    """Build the model for these classes; images from 0 to 1 are centred as timm's transformers have it."""
    known = model_config(config.model)
    assert isinstance(known, DenseModelConfig)
    # The size is the user's choice here: one that the patch divides costs nothing, and padding is for who asks for it.
    options = {"mean": _HALF, "std": _HALF, "padding": "refuse", **chosen(known, config.model_options)}
    facts = {"num_classes": len(classes), "class_names": classes, "size": config.size, "in_chans": 3}
    model = seqsuite.create_model(config.model, **options, **facts)
    assert isinstance(model, DenseModel)
    return model


@torch.no_grad()
def predict_masks(model: DenseModel, pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the classes (H, W) int64 of pictures (H, W, 3) uint8 of any size, at their own size.

    They are resized to the model's size; the logits are resized back, bilinear, before the largest is taken.
    """
    model.eval()
    batch = torch.stack([to_input(resized(picture, model.config.size)) for picture in pictures])
    logits = model(batch.to(next(model.parameters()).device)).float()
    found = []
    for picture, scores in zip(pictures, logits, strict=True):
        whole = F.interpolate(scores[None], size=picture.shape[:2], mode="bilinear", align_corners=False)
        found.append(whole[0].argmax(0).cpu().numpy())
    return found


def measure(
    config: SegmentTrainConfig,
    model: DenseModel,
    found: FoundMasks,
    parts: Mapping[str, Part],
    done: FitResult,
    began: float,
) -> TrainedSegmentation:
    """Score the test images at their own size; write summary.json and report.html."""
    classes, test = len(found.classes), parts["test"]
    matrix = np.zeros((classes, classes), np.int64)
    shown: dict[str, list[np.ndarray]] = {"picture": [], "truth": [], "found": []}
    for first in range(0, len(test), config.batch_size):
        pairs = [test[index] for index in range(first, min(first + config.batch_size, len(test)))]
        said = predict_masks(model, [picture for picture, _ in pairs])
        for (picture, mask), guess in zip(pairs, said, strict=True):
            matrix += confusion(mask, guess, classes, config.ignore)
            if len(shown["picture"]) < SHOWN:
                for name, array in zip(shown, (picture, mask, guess), strict=True):
                    shown[name].append(array)
    usual = int(count_pixels(parts["train"], classes, config.ignore).argmax())
    plain = np.zeros_like(matrix)
    plain[:, usual] = matrix.sum(1)
    result = TrainedSegmentation(
        folder=done.folder,
        model=config.model,
        source=config.source,
        parameters=model.num_parameters(),
        steps=done.steps,
        seconds=time.monotonic() - began,
        classes=found.classes,
        counts={name: len(part) for name, part in parts.items()},
        scores=pixel_scores(matrix),
        plain=pixel_scores(plain),
        notes=found.notes,
        shown={name: tuple(arrays) for name, arrays in shown.items()},
    )
    write_run(result)
    return result


def count_pixels(part: Part, classes: int, ignore: int) -> np.ndarray:
    """Return the pixels (K,) of each class in the first images of a part."""
    counts = np.zeros(classes, np.int64)
    for index in range(min(len(part), _COUNTED)):
        mask = part[index][1]
        counts += np.bincount(mask[mask != ignore].ravel(), minlength=classes)
    return counts
