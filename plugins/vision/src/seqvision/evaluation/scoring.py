"""Class probabilities and features of inputs, in batches.

probs = probabilities(model, items)              # (n, K) float64
rows = features(model, items)                    # (n, D) float32, what the last map reads
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from seqsuite.errors import UserError
from seqvision.data.labelled import Items
from seqvision.models.image_model import ImageModel


@contextmanager
def evaluating(model: ImageModel) -> Iterator[torch.device]:
    """Put a model in evaluation mode for a block, and back after it; gives its device."""
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield next(model.parameters()).device
    finally:
        model.train(training)


def probabilities(model: ImageModel, items: Items, *, batch: int = 64) -> np.ndarray:
    """Return the probabilities of the classes, averaged over an item's views: (n, K) float64.

    Args:
        model: The classifier.
        items: The inputs.
        batch: Inputs that run at once.

    Raises:
        UserError: An input cannot be read, or the model's output is not finite.
    """
    return _over(model, items, lambda inputs: model(inputs).double().softmax(1), batch)


def features(model: ImageModel, items: Items, *, batch: int = 64) -> np.ndarray:
    """Return the features in front of the last map, averaged over an item's views: (n, D) float64.

    Arguments and errors as `probabilities`.
    """
    return _over(model, items, lambda inputs: model.embed(inputs).double(), batch)


def _over(model: ImageModel, items: Items, function: Callable[[Tensor], Tensor], batch: int) -> np.ndarray:
    found, waiting, owners = [], [], []
    with evaluating(model) as device:
        dtype = next(model.parameters()).dtype
        for index in range(len(items)):
            views = items.views(index)
            waiting += list(views)
            owners += [index] * len(views)
            while len(waiting) >= batch or (waiting and index == len(items) - 1):
                inputs = torch.stack(waiting[:batch]).to(device, dtype)
                found.append(function(inputs).cpu())
                waiting = waiting[batch:]
    if not found:
        raise UserError("there is no input to run")
    rows = torch.cat(found).numpy()
    bad = np.flatnonzero(~np.isfinite(rows).all(1))
    if len(bad):
        raise UserError(f"{items.names[owners[bad[0]]]}: the model's output is not finite; train with a lower --lr")
    places = np.asarray(owners)
    total = np.zeros((len(items), rows.shape[1]))
    np.add.at(total, places, rows)
    return total / np.bincount(places, minlength=len(items))[:, None]
