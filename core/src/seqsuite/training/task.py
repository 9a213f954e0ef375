"""The task: a model, its loss and its optimizer, as a LightningModule.

A subclass says how a batch is scored; fit() does the rest.

    class MyTask(Task):
        def training_scores(self, batch):
            loss = cross_entropy(self.model(batch["tokens"]), batch["labels"])
            count = batch["labels"].numel()
            return Scores(loss, {"loss": (loss * count, count)}, tokens=count)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from seqsuite.errors import UserError
from seqsuite.training.configs import TrainConfig
from seqsuite.training.optim import make_optimizer, make_schedule


def checkpoint_activations(model: nn.Module, on: bool = True) -> int:
    """Switch activation checkpointing in every part of a model that has it (an attribute of this name).

    Args:
        model: Any model with a `seqsuite.backbones.ResidualStack`, or with parts of the same attribute.
        on: Whether to run blocks again in the backward pass.

    Returns:
        The number of parts switched.

    Raises:
        UserError: There is none.
    """
    parts: list[Any] = [part for part in model.modules() if hasattr(part, "checkpoint_activations")]
    if not parts:
        raise UserError(f"{type(model).__name__} cannot checkpoint its activations; leave --checkpoint_activations out")
    for part in parts:
        part.checkpoint_activations = on
    return len(parts)


@dataclass(frozen=True)
class Scores:
    """What a task says of one batch.

    Args:
        loss: Mean loss, a scalar; its gradient trains the model.
        totals: Metric -> (sum, count), scalars; they are added up over batches, accumulated parts and
            ranks before the division, so that a mean is exact whatever the sizes of the batches.
            "loss" is the mean loss where it is not given.
        tokens: Tokens (or frames, pixels, ...) in the batch, for the throughput.
        extras: Tensors for `observe`, detached: logits and labels of a classifier, say.
    """

    loss: Tensor
    totals: Mapping[str, tuple[Tensor | float, Tensor | float]] = field(default_factory=dict)
    tokens: int = 0
    extras: Mapping[str, Tensor] = field(default_factory=dict)

    def outputs(self) -> dict[str, Any]:
        """Return a dictionary as Lightning passes it to callbacks."""
        totals = dict(self.totals)
        totals.setdefault("loss", (self.loss.detach(), 1.0))
        return {"loss": self.loss, "totals": totals, "tokens": self.tokens}


class Task(LightningModule):
    """Base of all training tasks.

    Args:
        model: The network; exported at the end.
        config: The run's options: learning rate, weight decay, warm-up, steps, activation checkpointing.

    Raises:
        UserError: No part of the model can checkpoint its activations, and it is to.
    """

    #: The validation metric that chooses best.ckpt, and whether less of it is better.
    monitor: str = "loss"
    lower_is_better: bool = True
    #: What `Scores.tokens` counts, for the progress line.
    unit: str = "tok"

    def __init__(self, model: nn.Module, config: TrainConfig) -> None:
        super().__init__()
        self.model = model
        self.config = config
        if config.checkpoint_activations:
            checkpoint_activations(model)

    def training_scores(self, batch: Any) -> Scores:
        """Score one training batch.

        Args:
            batch: What the loader yields.

        Returns:
            Its loss and the totals behind the metrics.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how a batch is scored")

    def validation_scores(self, batch: Any) -> Scores:
        """Score one validation batch; as in training by default. It may run on a batch that is not counted.

        Args:
            batch: What the loader yields.

        Returns:
            Its loss and the totals behind the metrics.
        """
        return self.training_scores(batch)

    def observe(self, scores: Scores) -> None:
        """Take note of one counted validation batch, for metrics that are no means (torchmetrics, say).

        Args:
            scores: What `validation_scores` returned.
        """

    def summarize(self) -> dict[str, float]:
        """Return the metrics of all batches observed since the last call, the same on every rank."""
        return {}

    def finish(self, metrics: dict[str, float]) -> dict[str, float]:
        """Return the means of one period with what follows from them (bits, perplexity).

        Args:
            metrics: The means by name.

        Returns:
            The same and what follows from them, by name.
        """
        return metrics

    def export(self, folder: Path) -> None:
        """Write the model for others into an empty folder: `save_pretrained` where it has one, else its weights."""
        save = getattr(self.model, "save_pretrained", None)
        if save is not None:
            save(folder)
            return
        from safetensors.torch import save_model

        save_model(self.model, str(folder / "model.safetensors"))

    def training_step(self, batch: Any, batch_idx: int) -> dict[str, Any]:
        """Score a batch for Lightning."""
        return self.training_scores(batch).outputs()

    def validation_step(self, batch: Any, batch_idx: int) -> dict[str, Any]:
        """Score a batch for Lightning; batches beyond this rank's share are scored and forgotten."""
        scores = self.validation_scores(batch)
        if batch_idx >= self._counted(batch_idx):
            return {"loss": scores.loss, "totals": {}, "tokens": 0}
        self.observe(scores)
        return scores.outputs()

    def _counted(self, batch_idx: int) -> int:
        loader: Any = self.trainer.val_dataloaders
        return getattr(getattr(loader, "batch_sampler", None), "counted", batch_idx + 1)

    def configure_optimizers(self) -> Any:
        """Return AdamW with its parameter groups and a schedule that is a function of the step."""
        optimizer = make_optimizer(self, self.config)
        schedule = make_schedule(optimizer, self.config)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Move a batch; asynchronously where it lies in page-locked memory."""
        if isinstance(batch, dict):
            return {
                key: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
                for key, value in batch.items()
            }
        return super().transfer_batch_to_device(batch, device, dataloader_idx)
