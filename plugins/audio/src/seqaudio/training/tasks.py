"""What a batch of sound is asked: the next sample of each, or the noise in it.

The loss is the mean over the samples of a batch that are there; padding asks for nothing. Metrics of the next sample
are `loss` (nats) and `bits` a sample, of the noise the mean squared error.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from seqaudio.features import log_mel
from seqaudio.models.base import SampleModel
from seqaudio.models.diffwave import DiffWave
from seqsuite.data.order import item_seed
from seqsuite.objectives import IGNORE, cross_entropy
from seqsuite.training import Scores, Task, TrainConfig

SETTINGS = "audio.json"
"""The file beside an exported model with what its config does not hold: how clips are levelled, the window."""

_NOISE = 11


def limit_ssm_lr(model: nn.Module, lr: float, most: float) -> None:
    """Let state matrices and step sizes of S4 layers learn with a rate of `most` at most.

    Args:
        model: Any model; layers with an `ssm_lr_scale` are S4's.
        lr: Learning rate of the other parameters.
        most: The limit; 0: none.
    """
    if not most or lr <= most:
        return
    for layer in model.modules():
        if hasattr(layer, "ssm_lr_scale"):
            for parameter in layer.parameters(recurse=False):
                if getattr(parameter, "_no_weight_decay", False):
                    parameter._lr_scale = min(getattr(parameter, "_lr_scale", 1.0), most / lr)  # type: ignore[attr-defined]


class AudioTask(Task):
    """Base of both tasks: what is exported, and the learning rate of S4.

    Args:
        model: The network.
        config: The run's options.
        settings: What goes to `SETTINGS` beside the model.
        ssm_lr: See `limit_ssm_lr`.
    """

    unit = "samples"

    def __init__(
        self, model: nn.Module, config: TrainConfig, *, settings: dict[str, Any] | None = None, ssm_lr: float = 0.0
    ) -> None:
        super().__init__(model, config)
        self.settings = dict(settings or {})
        limit_ssm_lr(model, config.lr, ssm_lr)

    def export(self, folder: Path) -> None:
        """Write the model and its settings into an empty folder."""
        super().export(folder)
        (folder / SETTINGS).write_text(json.dumps(self.settings, indent=2) + "\n", encoding="utf-8")


def shifted(codes: Tensor, zero: int) -> Tensor:
    """Return the inputs (B, L) that predict codes (B, L): the codes one step earlier, silence first."""
    return torch.cat((torch.full_like(codes[:, :1], zero), codes[:, :-1]), dim=1)


class NextSample(AudioTask):
    """Predict each code of {"codes": (B, L), "valid": (B, L)} from those before it."""

    model: SampleModel

    def training_scores(self, batch: Any) -> Scores:
        """Score a batch."""
        codes = batch["codes"]
        logits = self.model(shifted(codes, self.model.config.vocab_size // 2))
        loss = cross_entropy(logits, codes.masked_fill(~batch["valid"], IGNORE))
        return Scores(loss.mean, {"loss": (loss.total.detach(), loss.count)}, tokens=codes.numel())

    def finish(self, metrics: dict[str, float]) -> dict[str, float]:
        """Add the bits."""
        return {**metrics, "bits": metrics["loss"] / math.log(2)} if "loss" in metrics else metrics


class Drawn(Dataset[dict[str, Tensor]]):
    """Windows, each with the seed of what is drawn for it: a pure function of (seed, position).

    Args:
        windows: Windows of samples.
        seed: Of the draws.
    """

    def __init__(self, windows: Dataset[dict[str, Tensor]], seed: int) -> None:
        self.windows, self.seed = windows, seed

    def __len__(self) -> int:
        return len(self.windows)  # type: ignore[arg-type]

    def __getitem__(self, position: int) -> dict[str, Tensor]:
        drawn = item_seed(self.seed, position, _NOISE) >> 1
        return {**self.windows[position], "draw": torch.tensor(drawn, dtype=torch.int64)}


class Denoising(AudioTask):
    """Predict the noise in {"samples": (B, L, C), "valid": (B, L), "draw": (B,)} after a random number of steps."""

    model: DiffWave

    def __init__(self, model: DiffWave, config: TrainConfig, **options: Any) -> None:
        super().__init__(model, config, **options)
        self.process = model.process()

    def training_scores(self, batch: Any) -> Scores:
        """Score a batch; step and noise of a row depend on its position alone."""
        samples, valid = batch["samples"], batch["valid"]
        generators = [torch.Generator().manual_seed(draw) for draw in batch["draw"].tolist()]
        loss = self.process.loss(
            self.model,
            samples,
            generator=generators,
            mask=valid[..., None],
            condition=condition(self.model, samples, valid),
        )
        return Scores(loss.mean, {"loss": (loss.total.detach(), loss.count)}, tokens=valid.numel())


def condition(model: DiffWave, samples: Tensor, valid: Tensor) -> dict[str, Tensor]:
    """Return what a denoiser is told beside the noisy samples: their lengths, and the mel where it takes one."""
    told = {} if bool(valid.all()) else {"lengths": valid.sum(1)}
    if model.config.conditional:
        told["mel"] = log_mel(samples, model.config)
    return told
