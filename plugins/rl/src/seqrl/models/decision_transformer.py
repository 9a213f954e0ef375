"""Decision Transformer: actions from returns-to-go, states and past actions (Chen et al. 2021).

    model = seqsuite.create_model("decision_transformer", observation_shape=(17,), action_dim=6, mixer="mamba")
    predicted = model(states, actions, returns_to_go, timesteps, mask=mask)     # PolicyOutputs
    predicted.actions[:, -1]                                                    # what to do now

https://arxiv.org/abs/2106.01345. Each step is three tokens (R, s, a); a causal stack runs over them and a step's
action is read where its state stands, so the action given there is not seen. One class for continuous and discrete
actions, vectors and pixels: the published Atari agent is the size `decision_transformer_atari`. The initial weights are
those of the published code: N(0, 0.02) in the stack, torch's own in the embeddings and heads of continuous policies.
"""

from __future__ import annotations

from torch import Tensor

from seqrl.configs.models import DecisionTransformerConfig
from seqrl.models.decision_transformer_parts import StepTokens, pick, policy_stack, valid_steps_first
from seqrl.models.heads import PolicyHeads, PolicyOutputs
from seqsuite.models.base import Model, settle_mixer


class DecisionTransformer(Model):
    """A causal model of windows of K steps.

    Args:
        config: Sizes, mixer, heads and what an agent must know of the environment.
    """

    config: DecisionTransformerConfig

    def __init__(self, config: DecisionTransformerConfig) -> None:
        super().__init__(settle_mixer(config))
        config = self.config
        self.tokens = StepTokens(config)
        self.backbone = policy_stack(config)
        self.heads = PolicyHeads(config)

    @property
    def needs_target(self) -> bool:
        """Whether an agent must be told what return to reach."""
        return self.config.condition_on_returns

    def forward_features(  # type: ignore[override]
        self,
        states: Tensor,
        actions: Tensor,
        returns_to_go: Tensor,
        timesteps: Tensor,
        *,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Return the features (B, K, T, D) of each step's tokens; see `forward`. At padding they mean nothing."""
        order = valid_steps_first(mask)
        given = (states, actions, returns_to_go, timesteps)
        if order is None:
            features = self.backbone(self.tokens(*given, None))
        else:
            features = self.backbone(self.tokens(*(pick(x, order[0]) for x in given), order[1]))
        features = features.unflatten(1, (-1, self.config.tokens))
        return features if order is None else pick(features, order[0].argsort(1))

    def forward_head(self, features: Tensor) -> PolicyOutputs:  # type: ignore[override]
        """Return what the heads make of features (B, K, T, D)."""
        return self.heads(features)

    def forward(  # type: ignore[override]
        self,
        states: Tensor,
        actions: Tensor,
        returns_to_go: Tensor,
        timesteps: Tensor,
        *,
        mask: Tensor | None = None,
    ) -> PolicyOutputs:
        """Predict what follows each step of a window.

        Args:
            states: (B, K, W) normalised; pixels (B, K, *S) uint8.
            actions: (B, K, A) or, discrete, (B, K) int64. The action of a step is not seen where it is predicted.
            returns_to_go: (B, K, R), divided by the scale; not read without `condition_on_returns`.
            timesteps: (B, K) int64, steps since the episode began.
            mask: (B, K), True where a step is real, False at padding, wherever it stands; None: all are. What is
                predicted at real steps does not depend on what stands at padding.

        Raises:
            ValueError: The window is longer than its positions.
        """
        return self.forward_head(self.forward_features(states, actions, returns_to_go, timesteps, mask=mask))
