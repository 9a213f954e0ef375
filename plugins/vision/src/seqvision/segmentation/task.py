"""The training task: the class of every pixel, by cross entropy."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seqsuite.training import Scores, Task, TrainConfig
from seqvision.models.dense import DenseModel
from seqvision.segmentation.scores import pixel_scores


class Segmentation(Task):
    """Learn masks; metrics `loss`, `pixel_accuracy` and, in validation, `miou`, which chooses the best weights.

    Args:
        model: (B, 3, H, W) to logits (B, K, H, W).
        config: The run's options.
        ignore: The label of pixels that do not count.
    """

    monitor = "miou"
    lower_is_better = False
    unit = "pixels"

    def __init__(self, model: DenseModel, config: TrainConfig, *, ignore: int) -> None:
        super().__init__(model, config)
        self.ignore, self.classes = ignore, model.config.num_classes
        self._matrix: Tensor | None = None

    def training_scores(self, batch: Any) -> Scores:
        """Score {"image": (B, 3, H, W), "mask": (B, H, W)}; the loss is the mean over the pixels that count."""
        mask = batch["mask"]
        logits = self.model(batch["image"]).float()
        counted = mask != self.ignore
        count = counted.sum()
        # A batch without one counted pixel has the loss zero, not NaN.
        loss = F.cross_entropy(logits, mask, ignore_index=self.ignore, reduction="sum") / count.clamp(min=1)
        found = logits.detach().argmax(1)
        right = ((found == mask) & counted).sum()
        totals: dict[str, Any] = {"loss": (loss.detach() * count, count), "pixel_accuracy": (right, count)}
        pairs = (mask * self.classes + found)[counted]
        matrix = torch.bincount(pairs, minlength=self.classes**2).view(self.classes, self.classes)
        return Scores(loss, totals, tokens=mask.numel(), extras={"matrix": matrix})

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
