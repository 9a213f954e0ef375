"""A loss or a gradient that is not finite ends a run with one line, and spoils no checkpoint and no model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from seqsuite.errors import UserError
from seqsuite.training import Scores, Task, TrainConfig


class Spoiled(Task):
    """One weight pulled towards 0; from a step on its loss, or only its gradient, is not finite."""

    spoil_at = 7
    spoil = "loss"

    def __init__(self, config: TrainConfig) -> None:
        super().__init__(nn.Linear(1, 1, bias=False), config)

    def training_scores(self, batch: Any) -> Scores:
        weight = next(self.model.parameters()).sum()
        loss = weight.square()
        if self.training and self.global_step >= self.spoil_at - 1:
            # The root's slope at 0 is infinite, its value is not.
            loss = loss * float("nan") if self.spoil == "loss" else loss + (weight - weight.detach()).abs().sqrt()
        return Scores(loss, tokens=1)


class SpoiledGradient(Spoiled):
    spoil_at = 8
    spoil = "gradient"


class Empty(Spoiled):
    """A batch without any masked token now and then: its loss is 0 and counts nothing."""

    spoil_at = 100

    def training_scores(self, batch: Any) -> Scores:
        loss = super().training_scores(batch).loss * (self.global_step % 2)
        return Scores(loss, {"loss": (loss.detach(), self.global_step % 2)}, tokens=1)


@pytest.mark.parametrize("valid", [0, 2])
@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"make": Spoiled}, "the training loss is nan at step 8"),  # the next logged step
        ({"make": Spoiled, "log_every": 100, "checkpoint_every": 1}, "the training loss is nan at step 7"),
        ({"make": Spoiled, "log_every": 100, "checkpoint_every": 100, "validate_every": 0}, "nan at step 12"),
        ({"make": SpoiledGradient, "log_every": 100}, "the weights are no longer finite at step 8"),
    ],
)
def test_a_run_that_diverges_stops(options: dict[str, Any], told: str, valid: int, toy: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"{told}; (the last good|no) checkpoint .*lower --lr") as caught:
        toy(tmp_path, valid=valid, **options)
    assert "\n" not in str(caught.value)
    saved = sorted((tmp_path / "checkpoints").glob("*.ckpt"))
    assert bool(saved) == (options.get("checkpoint_every", 4) < 100)
    for path in saved:
        assert torch.load(path, weights_only=True)["state_dict"]["model.weight"].isfinite().all()
    assert not (tmp_path / "model").exists()


def test_steps_without_a_masked_token_are_fine(toy: Any, tmp_path: Path) -> None:
    assert toy(tmp_path, make=Empty, log_every=1).result.reason == "finished"
