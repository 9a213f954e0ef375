"""Configs of the policies and their sizes (torch-free).

What every policy's checkpoint carries (environment, spaces, statistics, scale, references) is part of the model's
config.json, so that a folder is all that an agent needs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from seqsuite.errors import UserError
from seqsuite.mixers.options import check_range
from seqsuite.models.configs import ModelConfig, check_scales, require_positive


@dataclass(frozen=True, kw_only=True)
class PolicyConfig(ModelConfig):
    """What a policy must know of its environment.

    Args:
        env_id: The environment of the data, as gymnasium names it; empty: not known.
        env_options: Arguments that it was made with, such as the length of a corridor.
        observation_space: Its observations, as `seqrl.spaces` writes spaces; empty: not known.
        action_space: Its actions.
        state_mean: Of each encoded observation, subtracted; empty: nothing is.
        state_std: Deviation of each; empty: nothing is divided.
        return_scale: Returns are divided by it before the model sees them.
        max_ep_len: Time steps beyond the last one of these count as the last.
        discount: Of returns.
        reference: {"minimum", "maximum", "source"} of the normalised score; empty: not known.
    """

    env_id: str = ""
    env_options: dict[str, Any] = field(default_factory=dict)
    observation_space: str = ""
    action_space: str = ""
    state_mean: tuple[float, ...] = ()
    state_std: tuple[float, ...] = ()
    return_scale: float = 1.0
    max_ep_len: int = 1000
    discount: float = 1.0
    reference: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        owner = type(self).__name__
        require_positive(self, "max_ep_len")
        check_range(owner, {"return_scale": self.return_scale}, above=0)
        check_range(owner, {"discount": self.discount}, least=0)
        check_range(owner, dict.fromkeys(["state_std"], min(self.state_std, default=1.0)), above=0)
        if self.state_std and len(self.state_std) != len(self.state_mean):
            raise UserError(f"{owner}: {len(self.state_mean)} means of states, {len(self.state_std)} deviations")


@dataclass(frozen=True, kw_only=True)
class WindowPolicyConfig(PolicyConfig):
    """A policy that sees windows of K steps.

    Args:
        observation_shape: Of one observation: (width,) encoded; or pixels, (C, H, W), or (H, W, C) with C 1, 3 or 4.
        action_dim: Numbers of a continuous action, or how many discrete ones there are.
        discrete: An action is one of `action_dim`; its head gives logits.
        action_tanh: Continuous actions go through a tanh.
        context: K, steps of a window.
    """

    observation_shape: tuple[int, ...] = (11,)
    action_dim: int = 3
    discrete: bool = False
    action_tanh: bool = True
    context: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        owner = type(self).__name__
        require_positive(self, "action_dim", "context")
        check_range(owner, dict.fromkeys(["observation_shape"], min(self.observation_shape, default=0)), least=1)
        if len(self.observation_shape) not in (1, 3):
            raise UserError(f"{owner}: observation_shape must be (width,) or that of pixels, not "
                            f"{self.observation_shape}")  # fmt: skip
        if self.pixels and min(self.frame[1:]) < 36:
            raise UserError(f"{owner}: pixels must be at least 36 x 36, observation_shape is {self.observation_shape}")
        if self.state_mean and (self.pixels or len(self.state_mean) != self.observation_shape[0]):
            raise UserError(f"{owner}: {len(self.state_mean)} means of states for observations of shape "
                            f"{self.observation_shape}")  # fmt: skip

    @property
    def pixels(self) -> bool:
        """Whether observations are pictures."""
        return len(self.observation_shape) == 3

    @property
    def channels_last(self) -> bool:
        """Whether pixels are (H, W, C)."""
        return self.pixels and self.observation_shape[-1] in (1, 3, 4) and self.observation_shape[0] >= 36

    @property
    def frame(self) -> tuple[int, int, int]:
        """(C, H, W) of pixels."""
        first, second, third = self.observation_shape
        return (third, first, second) if self.channels_last else (first, second, third)


@dataclass(frozen=True, kw_only=True)
class DecisionTransformerConfig(WindowPolicyConfig):
    """A causal model of returns-to-go, states and actions (Chen et al. 2021), over any causal mixer.

    Args:
        condition_on_returns: Steps have a token of their return-to-go; without it this is behaviour cloning.
        return_dim: R, numbers of a return-to-go: one an objective.
        state_head: Predict the next state from an action's token.
        return_head: Predict the next return-to-go from an action's token.
        d_model: Width D.
        n_layer: Number of blocks.
        n_head: Heads of the attention; other mixers have their own option.
        d_inner: Width of the blocks' MLP; None: 4 D.
        activation: Of the MLP; "gelu_tanh" is what GPT-2 calls gelu_new.
        mixer: Name of the causal mixer, or a pattern of blocks: "mamba*2, attention".
        mixer_options: Its options; of a pattern by mixer. Attention has `n_head` heads, biases, no positions of its
            own and `attn_pdrop` unless they say otherwise.
        position: What tells a token its time. timestep: an embedding of the environment's step (gym, published);
            window: of the step's place in the window; global: of the token's place in the window and of the
            environment's step at its beginning (Atari, published); none.
        token_norm: A layer norm on the embedded tokens (gym, published).
        token_tanh: A tanh on the embedded tokens (Atari, published).
        head_bias: The action head has a bias.
        norm_epsilon: Of the layer norms.
        initializer_range: Deviation of the initial weights of attention and MLP.
        embd_pdrop: Dropout on the tokens.
        resid_pdrop: Dropout on each branch.
        attn_pdrop: Dropout on the attention's weights.
    """

    model: ClassVar[str] = "seqrl.models.decision_transformer:DecisionTransformer"

    condition_on_returns: bool = True
    return_dim: int = 1
    state_head: bool = True
    return_head: bool = True
    d_model: int = 128
    n_layer: int = 3
    n_head: int = 1
    d_inner: int | None = None
    activation: Literal["relu", "gelu", "gelu_tanh", "silu"] = "relu"
    mixer: str = "attention"
    mixer_options: dict[str, Any] = field(default_factory=dict)
    position: Literal["timestep", "window", "global", "none"] = "timestep"
    token_norm: bool = True
    token_tanh: bool = False
    head_bias: bool = True
    norm_epsilon: float = 1e-5
    initializer_range: float = 0.02
    embd_pdrop: float = 0.1
    resid_pdrop: float = 0.1
    attn_pdrop: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "return_dim", "d_model", "n_layer", "n_head")
        check_scales(self)
        if self.d_inner is not None:
            require_positive(self, "d_inner")
        check_dropouts(self, "embd_pdrop", "resid_pdrop", "attn_pdrop")

    @property
    def tokens(self) -> int:
        """T, tokens of a step: return, state and action, or the latter two."""
        return 3 if self.condition_on_returns else 2


@dataclass(frozen=True, kw_only=True)
class BehaviorCloningConfig(WindowPolicyConfig):
    """An MLP over the last K states: the Decision Transformer's baseline.

    Args:
        d_model: Width of the hidden layers; of pixels also that of an encoded picture.
        n_layer: Number of hidden layers.
        dropout: On the hidden layers.
    """

    model: ClassVar[str] = "seqrl.models.behavior_cloning:BehaviorCloning"

    d_model: int = 128
    n_layer: int = 3
    dropout: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "d_model", "n_layer")
        check_dropouts(self, "dropout")


@dataclass(frozen=True, kw_only=True)
class RATEConfig(DecisionTransformerConfig):
    """A Decision Transformer over consecutive segments of K steps with a memory between them (Cherepanov et al. 2023).

    Args:
        memory_tokens: M, tokens of the memory; they stand in front of a segment's and again behind them.
        valve: The memory retention valve: what is carried on is what the memory before, as queries, picks from the
            new one by cross attention. Without it the new memory is carried on.
        valve_heads: Heads of the cross attention.
        cached_segments: Through their keys and values, without a gradient, a step sees at least so many segments before
            its own; of other mixers than attention any number above 0 carries their state.
    """

    model: ClassVar[str] = "seqrl.models.rate:RATE"

    position: Literal["timestep", "window", "global", "none"] = "window"
    memory_tokens: int = 5
    valve: bool = True
    valve_heads: int = 1
    cached_segments: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "memory_tokens", "valve_heads")
        check_range(type(self).__name__, {"cached_segments": self.cached_segments}, least=0)
        if self.valve and self.d_model % self.valve_heads:
            raise UserError(f"{type(self).__name__}: valve_heads must divide d_model, {self.d_model}, not "
                            f"{self.valve_heads}")  # fmt: skip


def check_dropouts(config: object, *names: str) -> None:
    """Raise a one-line error unless the named fields are at least 0 and below 1."""
    rates = {name: getattr(config, name) for name in names}
    check_range(type(config).__name__, rates, least=0)
    for name, rate in rates.items():
        if rate >= 1:
            raise UserError(f"{type(config).__name__}: {name} must be below 1, not {rate}")


def decision_transformer() -> DecisionTransformerConfig:
    """The published size for gym's locomotion; the widths are Hopper's."""
    return DecisionTransformerConfig()


def decision_transformer_atari() -> DecisionTransformerConfig:
    """The published size for Atari: four grey frames of 84 x 84, 30 steps, plain returns."""
    return DecisionTransformerConfig(
        observation_shape=(4, 84, 84), action_dim=4, discrete=True, context=30, n_layer=6, n_head=8, activation="gelu",
        position="global", token_norm=False, token_tanh=True, head_bias=False, state_head=False, return_head=False,
        max_ep_len=4096,
    )  # fmt: skip


def decision_transformer_debug() -> DecisionTransformerConfig:
    """Trains on a CPU in seconds."""
    return DecisionTransformerConfig(
        observation_shape=(4,), action_dim=2, context=5, d_model=16, n_layer=2, n_head=2, max_ep_len=50
    )


def behavior_cloning() -> BehaviorCloningConfig:
    """The size of the published baseline; the widths are Hopper's."""
    return BehaviorCloningConfig()


def behavior_cloning_debug() -> BehaviorCloningConfig:
    """Trains on a CPU in seconds."""
    return BehaviorCloningConfig(observation_shape=(4,), action_dim=2, context=5, d_model=16, max_ep_len=50)


def rate() -> RATEConfig:
    """Segments of 20 steps with five tokens of memory; the widths are Hopper's."""
    return RATEConfig()


def rate_debug() -> RATEConfig:
    """Trains on a CPU in seconds."""
    return RATEConfig(
        observation_shape=(4,), action_dim=2, context=3, d_model=16, n_layer=1, n_head=2, memory_tokens=2, max_ep_len=50
    )


SIZES: dict[str, Callable[[], PolicyConfig]] = {
    size.__name__: size
    for size in (
        decision_transformer,
        decision_transformer_atari,
        decision_transformer_debug,
        behavior_cloning,
        behavior_cloning_debug,
        rate,
        rate_debug,
    )
}
"""The sizes by name; each is also an attribute of this module, as the plugin's table wants it."""
