"""Measure a classifier on a split of a source: by default the test split of its own run.

result = evaluate(seqvision.load("runs/digits"))                     # the run's own data and split
result = evaluate(seqvision.load("runs/digits"), "more_digits/")     # all of another source
"""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from seqsuite.errors import UserError
from seqvision.configs.train import VisionTrainConfig
from seqvision.data.labelled import Items, Labelled
from seqvision.data.opening import open_labelled
from seqvision.evaluation.results import Evaluation, measure
from seqvision.evaluation.scoring import probabilities
from seqvision.models.image_model import ImageModel

if TYPE_CHECKING:
    from seqvision.api import VisionModel

SPLITS = ("train", "valid", "test")


def measure_items(model: ImageModel, data: Labelled, split: str, *, batch: int = 64) -> Evaluation:
    """Measure a model on one split of data that are made for it, or on "all" of them.

    Args:
        model: The classifier.
        data: The inputs.
        split: "train", "valid", "test" or "all".
        batch: Inputs that run at once.

    Raises:
        UserError: The split is empty, or an input cannot be read.
    """
    parts = [getattr(data, name) for name in (SPLITS if split == "all" else (split,))]
    chosen: list[Items] = [part for part in parts if part is not None and len(part)]
    if not chosen:
        there = [name for name in SPLITS if getattr(data, name) is not None and len(getattr(data, name))]
        raise UserError(f"{data.source}: has no {data.unit} in the split {split!r}; it has {', '.join(there)}")
    began = time.monotonic()
    probs = np.concatenate([probabilities(model, part, batch=batch) for part in chosen])
    return measure(
        probs,
        np.concatenate([part.labels for part in chosen]),
        classes=model.config.classes or data.classes,
        names=[name for part in chosen for name in part.names],
        source=data.source,
        split=split,
        unit=data.unit,
        parameters=model.num_parameters(),
        seconds=time.monotonic() - began,
        skipped=data.skipped,
        notes=data.notes,
    )


def evaluate(model: VisionModel, source: str = "", *, split: str = "", batch: int = 64, **options: Any) -> Evaluation:
    """Measure a trained model.

    Args:
        model: As `seqvision.load` returned it.
        source: Labelled inputs, see `VisionTrainConfig`; empty: those of the model's run.
        split: "train", "valid", "test" or "all"; empty: the test where the source is the run's own or marks a test,
            else all of it.
        batch: Inputs that run at once.
        options: Further fields of `VisionTrainConfig`, such as on_error or label_column.

    Raises:
        UserError: There is no such source, class or split, or an input cannot be read.
    """
    if split not in ("", "all", *SPLITS):
        raise UserError(f"--split is {split!r}; it must be train, valid, test or all")
    if not source and model.options is None:
        raise UserError(f"{model.name} comes without its run, so that its data are not known; give a source")
    config = model.options or VisionTrainConfig("digits", task="video" if len(model.config.img_size) == 3 else "image")
    own = not source or source == config.source
    if not own:
        # What another source does not mark is measured whole.
        options = {"valid_fraction": 0.0, "test_fraction": 0.0, "source": source, **options}
    data = open_labelled(dataclasses.replace(config, **options), model.config)
    default = "test" if own or data.test is not None else "all"
    return measure_items(model.model, data, split or default, batch=batch)
