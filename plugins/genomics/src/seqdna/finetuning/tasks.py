"""The training task of fine-tuning: classes, yes/no labels or numbers of whole sequences, or labels along them.

The loss is cross entropy, binary cross entropy or the squared error of centred and scaled numbers. The
validation metrics are those of `seqdna.finetuning.metrics`, over all rows of all ranks.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqdna.finetuning.head import Head
from seqdna.finetuning.labelled import IGNORE
from seqdna.finetuning.metrics import lower_is_better, measure
from seqsuite.models.lora import merged
from seqsuite.training import Scores, Task, TrainConfig


class SequenceTask(Task):
    """Learn labels of sequences.

    Args:
        model: (B, L) ids -> (B, K) outputs; of labels along sequences, (B, L // bases, K).
        config: The run's options.
        head: What the outputs mean.
        metric: The validation metric that chooses the best weights.
        tokenizer: Exported beside the model.
    """

    def __init__(self, model: nn.Module, config: TrainConfig, *, head: Head, metric: str, tokenizer: Any) -> None:
        super().__init__(model, config)
        self.head, self.monitor, self.tokenizer = head, metric, tokenizer
        self.lower_is_better = lower_is_better(metric)
        self._seen: list[tuple[np.ndarray, np.ndarray]] = []

    def training_scores(self, batch: Any) -> Scores:
        """Score {"input_ids": (B, L), "labels": (B,) or (B, K)}, or labels along the sequences with a further axis."""
        outputs, labels = self.model(batch["input_ids"]), batch["labels"]
        if self.head.bases_per_label:
            known = labels != IGNORE if labels.ndim == 2 else (labels != IGNORE).all(-1)
            outputs, labels = outputs[known], labels[known]
        count = len(outputs)
        loss = self.loss(outputs.float(), labels) if count else outputs.float().sum()  # of nothing: 0, no gradient
        totals = {"loss": (loss.detach() * count, count)}
        extras = {"outputs": outputs.detach(), "labels": labels}
        return Scores(loss, totals, tokens=batch["input_ids"].numel(), extras=extras)

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss of (B, K) outputs."""
        if self.head.problem == "classification":
            return F.cross_entropy(outputs, labels)
        if self.head.problem == "multi_label":
            weight = outputs.new_tensor(getattr(self.config, "positive_weight", 1.0))
            return F.binary_cross_entropy_with_logits(outputs, labels, pos_weight=weight)
        mean, scale = (outputs.new_tensor(values) for values in (self.head.mean, self.head.scale))
        return F.mse_loss(outputs, (labels - mean) / scale)

    def observe(self, scores: Scores) -> None:
        """Keep outputs and labels of one validation batch."""
        outputs, labels = (scores.extras[name].float().cpu().numpy() for name in ("outputs", "labels"))
        self._seen.append((outputs, labels.astype(np.int64) if self.head.problem == "classification" else labels))

    def summarize(self) -> dict[str, float]:
        """Return the metrics of all batches observed since the last call, over all ranks."""
        seen, self._seen = self._seen, []
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            ranks: list[Any] = [None] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(ranks, seen)
            seen = [pair for rank in ranks for pair in rank]
        if not seen:
            return {}
        outputs, labels = (np.concatenate(part) for part in zip(*seen, strict=True))
        return measure(self.head.problem, self.head.scores(outputs), labels)

    def export(self, folder: Path) -> None:
        """Write the model, low-rank changes added to its weights, its tokenizer and its head into an empty folder."""
        save = getattr(merged(self.model), "save_pretrained", None)
        if save is None:
            super().export(folder)
            return
        save(folder)
        write_companions(folder, self.tokenizer, self.head)


def write_companions(folder: Path, tokenizer: Any, head: Head) -> None:
    """Write what belongs beside an exported model: tokenizer.json and head.json."""
    text = json.dumps(tokenizer.to_dict(), indent=2) + "\n"
    (folder / "tokenizer.json").write_text(text, encoding="utf-8")
    head.save(folder)
