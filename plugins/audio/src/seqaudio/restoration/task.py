"""The training task: degraded windows in, clean windows out; no discriminator (see `seqaudio.restoration.loss`)."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from seqaudio.restoration.loss import RestorationLoss, si_sdr_rows
from seqsuite.training import Scores, Task, TrainConfig


class Restoration(Task):
    """Restore windows; metrics `loss`, its parts, and `si_sdr_gain`, the decibels won over the degraded window.

    Args:
        model: (R, L) to (R, L).
        config: The run's options.
        loss: What to minimise.
    """

    unit = "samples"

    def __init__(self, model: nn.Module, config: TrainConfig, loss: RestorationLoss | None = None) -> None:
        super().__init__(model, config)
        self.objective = loss or RestorationLoss()

    def training_scores(self, batch: Any) -> Scores:
        """Score {"degraded": (B, L), "clean": (B, L)}."""
        degraded, clean = batch["degraded"], batch["clean"]
        rows: dict[str, Tensor] = self.objective(self.model(degraded), clean)
        won = rows["si_sdr"].detach() - si_sdr_rows(degraded, clean)
        totals = {name: (value.detach().sum(), len(clean)) for name, value in {**rows, "si_sdr_gain": won}.items()}
        return Scores(rows["loss"].mean(), totals, tokens=clean.numel())
