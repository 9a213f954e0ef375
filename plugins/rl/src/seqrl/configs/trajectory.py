"""Config of the Trajectory Transformer and its sizes (torch-free).

A sequence is the tokens of rows [observation, action, reward, value], one token a number; the discretiser that made
them lies in the config, so that a folder is all that planning needs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from seqrl.configs.models import PolicyConfig
from seqsuite.errors import UserError
from seqsuite.mixers.options import check_range
from seqsuite.models.configs import check_scales, require_positive


@dataclass(frozen=True, kw_only=True)
class TrajectoryTransformerConfig(PolicyConfig):
    """A language model of trajectories (Janner et al. 2021).

    Args:
        observation_dim: Numbers of an observation.
        action_dim: Numbers of an action.
        vocab_size: N, bins of each number; the stop token is one more.
        transitions: Rows that the model can see at once: its block has one token less than they.
        d_model: Width D of the residual stream.
        n_layer: Number of blocks.
        n_head: Heads of the attention; other mixers have their own option.
        mixer: "attention", which sees no value token, as published; or any causal mixer of the suite, or a pattern of
            them: to these a value token's embedding is zero.
        mixer_options: Options of a mixer other than "attention", by name; of a pattern by mixer.
        norm_epsilon: Of the layer norms.
        initializer_range: Standard deviation of the linear layers' and the embedding's initial weights.
        embd_pdrop: Dropout on the embedded tokens.
        resid_pdrop: Dropout on each branch.
        attn_pdrop: Dropout on the attention's weights.
        action_weight: Of an action's tokens in the loss; an observation's have 1.
        reward_weight: Of the reward's.
        value_weight: Of the value's.
        discount: Of the rewards that a value sums.
        termination_penalty: Stands for the reward of a step that ends an episode; None: the reward does.
        discretizer: How numbers become tokens, as `seqrl.data.discretizers` writes it; empty: not known.
    """

    model: ClassVar[str] = "seqrl.models.trajectory_transformer:TrajectoryTransformer"

    observation_dim: int
    action_dim: int
    vocab_size: int = 100
    transitions: int = 10
    d_model: int = 128
    n_layer: int = 4
    n_head: int = 4
    mixer: str = "attention"
    mixer_options: dict[str, Any] = field(default_factory=dict)
    norm_epsilon: float = 1e-5
    initializer_range: float = 0.02
    embd_pdrop: float = 0.1
    resid_pdrop: float = 0.1
    attn_pdrop: float = 0.1
    action_weight: float = 5.0
    reward_weight: float = 1.0
    value_weight: float = 1.0
    discount: float = 0.99
    termination_penalty: float | None = -100.0
    discretizer: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        owner = type(self).__name__
        sizes = ("observation_dim", "action_dim", "vocab_size", "d_model", "n_layer", "n_head")
        require_positive(self, *sizes)
        check_scales(self)
        check_range(owner, {"transitions": self.transitions}, least=2)
        rates = {name: getattr(self, name) for name in ("embd_pdrop", "resid_pdrop", "attn_pdrop")}
        check_range(owner, rates, least=0)
        if max(rates.values()) >= 1:
            raise UserError(f"{owner}: dropout must be below 1")
        weights = ("action_weight", "reward_weight", "value_weight")
        check_range(owner, {name: getattr(self, name) for name in weights}, least=0)

    @property
    def transition_dim(self) -> int:
        """Tokens of a row: observation, action, reward and value."""
        return self.observation_dim + self.action_dim + 2

    @property
    def block_size(self) -> int:
        """Tokens that the model can see at once: the last one of a window is only a target."""
        return self.transitions * self.transition_dim - 1


def trajectory_transformer() -> TrajectoryTransformerConfig:
    """The published size, for Hopper; other environments have other dimensions."""
    return TrajectoryTransformerConfig(observation_dim=11, action_dim=3)


def trajectory_transformer_debug() -> TrajectoryTransformerConfig:
    """Trains on a CPU in seconds."""
    return TrajectoryTransformerConfig(
        observation_dim=3, action_dim=1, vocab_size=12, transitions=5, d_model=24, n_layer=2, n_head=2
    )


SIZES: dict[str, Callable[[], PolicyConfig]] = {
    size.__name__: size for size in (trajectory_transformer, trajectory_transformer_debug)
}
"""The sizes by name; each is also an attribute of this module, as the plugin's table wants it."""

Strategy = Literal["quantile", "uniform", "percentile"]
"""How bins are chosen: the published quantiles of sorted data, equal widths, or interpolated percentiles."""
