"""The training task: classes of clips, by cross entropy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from torch import nn

from seqaudio.classification.networks import embed, logits
from seqsuite.training import Scores, Task, TrainConfig

HEAD = "classes.json"


class ClassifyClips(Task):
    """Learn classes of clips; metrics `loss` (without smoothing) and `accuracy`.

    Args:
        model: A network of `seqaudio.classification.networks`.
        config: The run's options.
        classes: Names of the classes; exported beside the model.
        rate: Samples a second that it hears; exported too.
        label_smoothing: Share of each label spread over all classes.
    """

    unit = "samples"

    def __init__(
        self,
        model: nn.Module,
        config: TrainConfig,
        *,
        classes: tuple[str, ...],
        rate: int,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(model, config)
        self.classes, self.rate, self.label_smoothing = classes, rate, label_smoothing

    def training_scores(self, batch: Any) -> Scores:
        """Score {"wave": (B, L), "lengths": (B,), "labels": (B,)}."""
        return self._scores(batch, self.label_smoothing)

    def validation_scores(self, batch: Any) -> Scores:
        """Score a batch against its labels, unsmoothed."""
        return self._scores(batch, 0.0)

    def _scores(self, batch: Any, smoothing: float) -> Scores:
        labels = batch["labels"]
        scores = logits(self.model, embed(self.model, batch["wave"], batch["lengths"])).float()
        plain, count = F.cross_entropy(scores.detach(), labels), len(labels)
        totals = {"loss": (plain * count, count), "accuracy": ((scores.detach().argmax(1) == labels).sum(), count)}
        loss = F.cross_entropy(scores, labels, label_smoothing=smoothing)
        return Scores(loss, totals, tokens=int(batch["lengths"].sum()))

    def export(self, folder: Path) -> None:
        """Write the model, and the names of its classes, into an empty folder."""
        super().export(folder)
        text = json.dumps({"classes": list(self.classes), "sample_rate": self.rate}, indent=2) + "\n"
        (folder / HEAD).write_text(text, encoding="utf-8")
