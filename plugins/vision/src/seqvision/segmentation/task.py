"""The training task: the class of every pixel, by cross entropy and, where asked for, the soft Dice loss."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seqsuite.training import Scores, Task
from seqvision.configs.segment_train import SegmentTrainConfig
from seqvision.models.dense import DenseModel
from seqvision.segmentation.losses import soft_dice
from seqvision.segmentation.scores import pixel_scores


class Segmentation(Task):
    """Learn masks; metrics `loss`, `pixel_accuracy` and, in validation, `miou`, which chooses the best weights.

    Args:
        model: (B, 3, H, W) to logits (B, K, H, W).
        config: The run's options.
        weights: Of the classes (K,) in the training's cross entropy; None: all alike.
    """

    monitor = "miou"
    lower_is_better = False
    unit = "pixels"

    def __init__(self, model: DenseModel, config: SegmentTrainConfig, *, weights: Tensor | None = None) -> None:
        super().__init__(model, config)
        self.ignore, self.classes, self.dice = config.ignore, model.config.num_classes, config.dice
        self.weights: Tensor | None
        self.register_buffer("weights", weights, persistent=False)
        self._matrix: Tensor | None = None

    def training_scores(self, batch: Any) -> Scores:
        """Score {"image": (B, 3, H, W), "mask": (B, H, W)}; `loss` is the plain cross entropy in any case."""
        logits, scores = self._scored(batch)
        if self.weights is None and not self.dice:
            return scores
        loss, mask = scores.loss, batch["mask"]
        if self.weights is not None:
            loss = _entropy(logits, mask, self.ignore, self.weights)
        if self.dice:
            loss = loss + self.dice * soft_dice(logits, mask, ignore=self.ignore)
        return replace(scores, loss=loss)

    def validation_scores(self, batch: Any) -> Scores:
        """Score a batch as training does, by the plain cross entropy."""
        return self._scored(batch)[1]

    def _scored(self, batch: Any) -> tuple[Tensor, Scores]:
        """Return the logits and the scores; the loss is the mean over the pixels that count."""
        mask = batch["mask"]
        logits = self.model(batch["image"]).float()
        counted = mask != self.ignore
        count = counted.sum()
        loss = _entropy(logits, mask, self.ignore)
        found = logits.detach().argmax(1)
        right = ((found == mask) & counted).sum()
        totals: dict[str, Any] = {"loss": (loss.detach() * count, count), "pixel_accuracy": (right, count)}
        pairs = (mask * self.classes + found)[counted]
        matrix = torch.bincount(pairs, minlength=self.classes**2).view(self.classes, self.classes)
        return logits, Scores(loss, totals, tokens=mask.numel(), extras={"matrix": matrix})

    def observe(self, scores: Scores) -> None:
        """Add up the confusion matrices of a validation."""
        matrix = scores.extras["matrix"]
        self._matrix = matrix if self._matrix is None else self._matrix + matrix

    def summarize(self) -> dict[str, float]:
        """Return the mean IoU over everything that was observed, on all ranks."""
        matrix = self._matrix
        if matrix is None:
            matrix = torch.zeros(self.classes, self.classes, dtype=torch.int64, device=self.device)
        self._matrix = None
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(matrix)
        return {"miou": pixel_scores(matrix.cpu().numpy()).miou}


def _entropy(logits: Tensor, mask: Tensor, ignore: int, weights: Tensor | None = None) -> Tensor:
    """Return the mean cross entropy of the pixels that count; of none it is zero, not NaN."""
    total = F.cross_entropy(logits, mask, weight=weights, ignore_index=ignore, reduction="sum")
    if weights is None:
        return total / (mask != ignore).sum().clamp(min=1)
    counted = mask[mask != ignore]
    return total / weights[counted].sum().clamp(min=torch.finfo(weights.dtype).tiny)
