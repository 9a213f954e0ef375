"""Early stopping that a resumed run remembers.

Lightning's callback decides after a validation and forgets that it did: a run that had stopped, was killed before its
result was written and then resumed would train on until the next validation, and might take other weights.
"""

from __future__ import annotations

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping


class Patience(EarlyStopping):
    """Stop after `patience` validations without a better one; a run that had stopped stays stopped.

    Args:
        metric: A validation metric.
        patience: Number of validations.
        lower_is_better: Whether less of the metric is better.
    """

    def __init__(self, metric: str, patience: int, *, lower_is_better: bool) -> None:
        mode = "min" if lower_is_better else "max"
        super().__init__(f"valid_{metric}", patience=patience, mode=mode, strict=False)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop before the first step where the restored state says so."""
        if self.wait_count >= self.patience:
            trainer.should_stop = True
