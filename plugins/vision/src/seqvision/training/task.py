"""The training task: classes of images or clips, with timm's optimiser, schedule, Mixup and averaged weights.

What is exact on resume: timm's schedule is a function of the step; Mixup draws from the batch's own seed; the averaged
weights are part of the task's state and are moved by a callback that runs before checkpoints are written.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch.nn.functional as F
from lightning.pytorch import Callback, LightningModule, Trainer
from timm.utils import ModelEmaV3
from torch import Tensor

from seqsuite.data.order import item_seed
from seqsuite.training import Scores, Task
from seqvision.configs.train import VisionTrainConfig
from seqvision.models.image_model import ImageModel
from seqvision.training.mixing import Mixing
from seqvision.training.optim import make_optimizer, make_schedule

_MIX = 2


class ClassifyInputs(Task):
    """Learn classes; metrics `loss` (without smoothing and mixing), `top1`, and `top5` where there are more classes.

    Args:
        model: The network.
        config: The run's options.
        unit: What is counted for the throughput.
    """

    monitor = "top1"
    lower_is_better = False

    def __init__(self, model: ImageModel, config: VisionTrainConfig, *, unit: str = "image") -> None:
        super().__init__(model, config)
        self.unit = f"{unit}s"
        self.options = config
        self.mixing = Mixing.from_config(config, model.config.num_classes)
        self.ema: ModelEmaV3 | None = None
        if config.ema:
            self.ema = ModelEmaV3(model, decay=config.ema_decay, use_warmup=config.ema_warmup)
            self.ema.requires_grad_(False)

    @property
    def result(self) -> ImageModel:
        """The weights that are validated, exported and tested: the average where there is one."""
        model: Any = self.model if self.ema is None else self.ema.module
        assert isinstance(model, ImageModel)
        return model

    def training_scores(self, batch: Any) -> Scores:
        """Score {"inputs": (B, C, *size), "label": (B,), "position": (B,)}."""
        inputs, labels = batch["inputs"], batch["label"]
        if self.mixing is None or self.trainer.global_step >= self.mixing.until * self.options.steps:
            logits = self.model(inputs).float()
            loss = F.cross_entropy(logits, labels, label_smoothing=self.options.label_smoothing)
            totals = _totals(logits, labels)
        else:
            seed = item_seed(self.options.seed, _MIX, int(batch["position"][0]))
            inputs, targets = self.mixing(inputs, labels, seed)
            loss = F.cross_entropy(self.model(inputs).float(), targets)
            totals = {}  # neither class of a mixture is the right one
        count = len(labels)
        return Scores(loss, {"loss": (loss.detach() * count, count), **totals}, tokens=count)

    def validation_scores(self, batch: Any) -> Scores:
        """Score a batch by the weights that would be exported."""
        logits = self.result(batch["inputs"]).float()
        return Scores(F.cross_entropy(logits, batch["label"]), _totals(logits, batch["label"]), len(batch["label"]))

    def export(self, folder: Path) -> None:
        """Write the model."""
        self.result.save_pretrained(folder)

    def configure_optimizers(self) -> Any:
        """Return timm's optimiser and schedule."""
        optimizer = make_optimizer(self.model, self.options)  # type: ignore[arg-type]
        schedule = make_schedule(optimizer, self.options)
        if schedule is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Set the rate of the next update."""
        scheduler.step_update(self.trainer.global_step)


class Averaging(Callback):
    """Moves the averaged weights after every step, before any checkpoint of it is written."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take a finished step into the average."""
        assert isinstance(pl_module, ClassifyInputs)
        if pl_module.ema is not None and (batch_idx + 1) % trainer.accumulate_grad_batches == 0:
            pl_module.ema.update(pl_module.model, step=trainer.global_step)


def _totals(logits: Tensor, labels: Tensor) -> dict[str, tuple[Tensor | float, Tensor | float]]:
    """Return the sums behind loss, top-1 and top-5."""
    logits, count = logits.detach(), len(labels)
    best = logits.topk(min(5, logits.shape[1]), dim=1).indices == labels[:, None]
    totals: dict[str, tuple[Tensor | float, Tensor | float]] = {
        "loss": (F.cross_entropy(logits, labels, reduction="sum"), count),
        "top1": (best[:, 0].sum(), count),
    }
    if logits.shape[1] > 5:
        totals["top5"] = (best.any(1).sum(), count)
    return totals
