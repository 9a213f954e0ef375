"""What a policy predicts at each step: the action from the state's token, the rest from the action's.

The action's head is that of Chen et al. 2021; the heads of the next state and the next return-to-go stand in their
code as well and are trained by Multi-Objective Decision Transformers (https://arxiv.org/abs/2308.16379).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from seqrl.configs.models import DecisionTransformerConfig
from seqsuite.errors import UserError


class PolicyOutputs(NamedTuple):
    """What a policy predicts for a window of K steps; None where it has no such head.

    Attributes:
        states: (B, K, W) the next normalised states.
        actions: (B, K, A) actions, or logits of discrete ones.
        returns: (B, K, R) the next returns-to-go, divided by the scale.
    """

    states: Tensor | None
    actions: Tensor
    returns: Tensor | None


class PolicyHeads(nn.Module):
    """From the features of a step's tokens (B, K, T, D) to `PolicyOutputs`.

    Args:
        config: Says which heads there are.
    """

    def __init__(self, config: DecisionTransformerConfig) -> None:
        super().__init__()
        width = config.d_model
        self.squash = config.action_tanh and not config.discrete
        self.action = nn.Linear(width, config.action_dim, bias=config.head_bias)
        self.state: nn.Linear | None = None
        self.return_to_go: nn.Linear | None = None
        if config.state_head:
            if config.pixels:
                raise UserError(f"{type(config).__name__}: state_head predicts vectors; observations are pixels")
            self.state = nn.Linear(width, config.observation_shape[0])
        if config.return_head and config.condition_on_returns:
            self.return_to_go = nn.Linear(width, config.return_dim)
        if config.discrete:
            nn.init.normal_(self.action.weight, std=config.initializer_range)

    def forward(self, features: Tensor) -> PolicyOutputs:
        """Predict.

        Args:
            features: (B, K, T, D), the action's token last and the state's before it.
        """
        of_state, of_action = features[:, :, -2], features[:, :, -1]
        actions = self.action(of_state)
        return PolicyOutputs(
            states=None if self.state is None else self.state(of_action),
            actions=torch.tanh(actions) if self.squash else actions,
            returns=None if self.return_to_go is None else self.return_to_go(of_action),
        )
