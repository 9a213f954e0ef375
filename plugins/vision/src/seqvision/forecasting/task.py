"""The training task: the rows behind a look-back, by squared, absolute or Huber error in scaled units."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from seqsuite.training import Scores, Task, TrainConfig
from seqvision.models.folders import FACTS

_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": F.mse_loss,
    "mae": F.l1_loss,
    "huber": F.huber_loss,
}


class ForecastTask(Task):
    """Learn to forecast; metrics `loss` (mean squared error in validation) and `mae`.

    Args:
        model: From (B, L, C) to (B, H, C).
        config: The run's options.
        facts: What is written beside the exported model.
        loss: mse, mae or huber.
    """

    unit = "values"

    def __init__(self, model: nn.Module, config: TrainConfig, *, facts: dict[str, Any], loss: str = "mse") -> None:
        super().__init__(model, config)
        self.facts, self.loss = facts, loss

    def training_scores(self, batch: Any) -> Scores:
        """Score {"past": (B, L, C), "future": (B, H, C)} by the loss that is minimised."""
        return self._scores(batch, self.loss)

    def validation_scores(self, batch: Any) -> Scores:
        """Score a batch by the squared error."""
        return self._scores(batch, "mse")

    def _scores(self, batch: Any, loss: str) -> Scores:
        found, truth = self.model(batch["past"]).float(), batch["future"]
        value = _LOSSES[loss](found, truth)
        count = len(truth)
        absolute = F.l1_loss(found.detach(), truth)
        totals = {"loss": (value.detach() * count, count), "mae": (absolute * count, count)}
        return Scores(value, totals, tokens=truth.numel())

    def export(self, folder: Path) -> None:
        """Write the model, and what must be known of its series, into an empty folder."""
        super().export(folder)
        (folder / FACTS).write_text(json.dumps(self.facts, indent=2) + "\n", encoding="utf-8")
