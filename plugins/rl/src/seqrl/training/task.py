"""The training tasks: policies over windows (Decision Transformer, its relatives), and trajectories as tokens.

Over windows the loss is that of the action, mean over the valid steps and action dimensions (Chen et al. 2021); heads
for next states and next returns add theirs with a weight, as the Multi-Objective Decision Transformer has it (Ghanem
et al. 2023).
"""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor

from seqrl.configs.train import PolicyTrainConfig
from seqrl.models.heads import PolicyOutputs
from seqrl.models.trajectory_transformer import TrajectoryTransformer, dimension_weights, trajectory_loss
from seqrl.training.losses import action_losses, masked_mean, squared_errors
from seqrl.training.optim import make_policy_optimizer
from seqsuite.models.base import Model
from seqsuite.training import Scores, Task
from seqsuite.training.optim import make_schedule

Decays = Literal["all", "matrices"]


class RLTask(Task):
    """What the tasks of all policies share: the optimiser.

    Args:
        model: The network.
        config: The run's options, with none left open.
        decays: What weight decay applies to where --decay_of is auto.
    """

    unit = "steps"

    def __init__(self, model: Model, config: PolicyTrainConfig, *, decays: Decays) -> None:
        super().__init__(model, config)
        self.options, self.policy = config, model
        self.decays: Decays = decays if config.decay_of == "auto" else config.decay_of

    def configure_optimizers(self) -> Any:
        """Return AdamW with the family's decay rule, and the schedule of the core: warm-up, then cosine to min_lr."""
        optimizer = make_policy_optimizer(self.policy, self.options, self.decays)
        schedule = make_schedule(optimizer, self.options)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class WindowTask(RLTask):
    """Learn the actions of windows; metrics `loss`, and `action_error` (mean square) or `accuracy`.

    Args:
        model: A `DecisionTransformer`, `BehaviorCloning` or `RATE`.
        config: The run's options.
        decays: What weight decay applies to where --decay_of is auto.
    """

    def __init__(self, model: Model, config: PolicyTrainConfig, *, decays: Decays = "all") -> None:
        super().__init__(model, config, decays=decays)

    def training_scores(self, batch: Any) -> Scores:
        """Score windows as `seqrl.data.windows.EpisodeWindows` yields them."""
        mask = batch["mask"]
        inputs = (batch[name] for name in ("states", "actions", "returns_to_go", "timesteps"))
        predicted = self.model(*inputs, mask=mask)
        if not isinstance(predicted, PolicyOutputs):  # a model with a memory gives the one behind the window as well
            predicted = predicted[0]
        losses = {"action": masked_mean(action_losses(predicted.actions, batch["actions"]), mask)}
        loss, count = losses["action"], mask.sum()
        for name, weight, answers in (
            ("state", self.options.state_loss, predicted.states),
            ("return", self.options.return_loss, predicted.returns),
        ):
            if weight:
                known = batch["next_mask"] if name == "state" else mask
                losses[name] = masked_mean(squared_errors(answers, batch[f"next_{name}s"]), known)
                loss = loss + weight * losses[name]
        totals: dict[str, Any] = {"loss": (loss.detach() * count, count)}
        if len(losses) > 1:
            totals |= {f"{name}_loss": (part.detach() * count, count) for name, part in losses.items()}
        return Scores(loss, totals | _quality(predicted.actions.detach(), batch["actions"], mask), mask.numel())


class TokenTask(RLTask):
    """Learn the next token of trajectories (Janner et al. 2021); metrics `loss`, weighted, and `accuracy`.

    Args:
        model: The network.
        config: The run's options.
    """

    unit = "tok"

    def __init__(self, model: TrajectoryTransformer, config: PolicyTrainConfig) -> None:
        super().__init__(model, config, decays="matrices")
        self.weights = dimension_weights(model.config)

    def training_scores(self, batch: Any) -> Scores:
        """Score windows as `seqrl.data.windows_tokens.TokenBatches` yields them."""
        targets, mask = batch["targets"], batch["mask"]
        logits = self.model(batch["tokens"]).float()
        loss = trajectory_loss(logits, targets, mask, weights=self.weights)
        counted = mask != 0
        right = ((logits.detach().argmax(-1) == targets) & counted).sum()
        totals = {"loss": (loss.detach() * targets.numel(), targets.numel()), "accuracy": (right, counted.sum())}
        return Scores(loss, totals, targets.numel())


def _quality(predicted: Tensor, actions: Tensor, mask: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Return the sums behind the mean square error, or behind the share of right choices."""
    if actions.is_floating_point():
        return {"action_error": (masked_mean(squared_errors(predicted, actions), mask) * mask.sum(), mask.sum())}
    return {"accuracy": (((predicted.argmax(-1) == actions) & mask).sum(), mask.sum())}
