"""Behaviour cloning with an MLP over the last K states: the Decision Transformer's baseline (Chen et al. 2021).

    predicted = model(states, actions, returns_to_go, timesteps, mask=mask).actions      # (B, L, A)

Returns and past actions are not read. The network is the published one, and what it says of a full window's last step
is what that says. The published one is trained on the last step of each window alone; here every step is predicted
from the states of the window up to it, zeros before them, so that a window teaches as many actions as it teaches a
Decision Transformer and the first steps of an episode are seen in training as they are in acting.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqrl.configs.models import BehaviorCloningConfig
from seqrl.models.encoders import PixelEncoder
from seqrl.models.heads import PolicyOutputs
from seqsuite.models.base import Model


class BehaviorCloning(Model):
    """An MLP from K states to an action.

    Args:
        config: Sizes and what an agent must know of the environment.
    """

    config: BehaviorCloningConfig
    needs_target = False

    def __init__(self, config: BehaviorCloningConfig) -> None:
        super().__init__(config)
        width = config.d_model
        self.encoder: PixelEncoder | None = None
        each = config.observation_shape[0]
        if config.pixels:
            self.encoder, each = PixelEncoder(config.frame, width, channels_last=config.channels_last), width
        layers: list[nn.Module] = [nn.Linear(config.context * each, width)]
        for _ in range(config.n_layer - 1):
            layers += [nn.ReLU(), nn.Dropout(config.dropout), nn.Linear(width, width)]
        self.hidden = nn.Sequential(*layers, nn.ReLU(), nn.Dropout(config.dropout))
        self.action = nn.Linear(width, config.action_dim)

    def forward_features(self, states: Tensor, *, mask: Tensor | None = None) -> Tensor:  # type: ignore[override]
        """Return the last hidden layer (B, L, D); see `forward`."""
        x = states.to(self.action.weight.dtype) if self.encoder is None else torch.relu(self.encoder(states))
        if mask is not None:
            x = x.masked_fill(~mask.bool()[..., None], 0)
        context = self.config.context
        seen = F.pad(x, (0, 0, context - 1, 0)).unfold(1, context, 1)  # (B, L, W, K)
        return self.hidden(seen.mT.flatten(2))

    def forward_head(self, features: Tensor) -> PolicyOutputs:  # type: ignore[override]
        """Return what the head makes of (B, L, D)."""
        actions = self.action(features)
        squash = self.config.action_tanh and not self.config.discrete
        return PolicyOutputs(None, torch.tanh(actions) if squash else actions, None)

    def forward(  # type: ignore[override]
        self,
        states: Tensor,
        actions: Tensor | None = None,
        returns_to_go: Tensor | None = None,
        timesteps: Tensor | None = None,
        *,
        mask: Tensor | None = None,
    ) -> PolicyOutputs:
        """Predict the action of each step from the last K states.

        Args:
            states: (B, L, W) normalised; pixels (B, L, *S) uint8.
            actions: Not read; there, like the next two, because every policy is called alike.
            returns_to_go: Not read.
            timesteps: Not read.
            mask: (B, L), True where a step is real, False at padding, which counts as zero; None: all are.

        Returns:
            PolicyOutputs of actions alone: (B, L, A), or logits of discrete ones.
        """
        return self.forward_head(self.forward_features(states, mask=mask))
