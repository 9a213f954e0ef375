"""Configs of the core's models and their named sizes (torch-free).

A config is a frozen dataclass that names its model class; a named size is a function of a few lines
that returns one. Published sizes carry the numbers of the published checkpoints.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from seqsuite.errors import UserError
from seqsuite.mixers.options import check_range

Activation = Literal["gelu_tanh", "gelu", "relu", "silu"]
"""Of a feed-forward layer; "gelu" is the exact form, "gelu_tanh" its approximation by a tanh."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What every model config has: the class that it configures, as ``"module:attribute"``."""

    model: ClassVar[str]


@dataclass(frozen=True, kw_only=True)
class MixerLMConfig(ModelConfig):
    """A causal language model over a residual stack of mixers (Gu and Dao 2023 with `mixer="mamba"`).

    Args:
        d_model: Width D of the residual stream.
        n_layer: Number of blocks.
        vocab_size: Number of token ids.
        pad_vocab_size_multiple: The embedding has this multiple of rows.
        mixer: Name of the sequence mixer; or a pattern of blocks, repeated or cut to `n_layer`: "mamba*3, attention".
            All of them causal.
        mixer_options: Its options, by name; of a pattern {"mamba": {...}, "attention": {...}}, by mixer.
        norm: Normalisation in front of each mixer.
        norm_epsilon: Its epsilon.
        residual_in_fp32: Keep the residual stream in float32 under lower precision.
        tie_embeddings: The output projection is the embedding.
        initializer_range: Standard deviation of the embedding.
        pad_token_id: Rows are padded with this id; padded steps change nothing. None: no padding.
    """

    model: ClassVar[str] = "seqsuite.models.mixer_lm:MixerLM"

    d_model: int
    n_layer: int
    vocab_size: int = 50277
    pad_vocab_size_multiple: int = 8
    mixer: str = "mamba"
    mixer_options: dict[str, Any] = field(default_factory=dict)
    norm: Literal["rms", "layer"] = "rms"
    norm_epsilon: float = 1e-5
    residual_in_fp32: bool = True
    tie_embeddings: bool = True
    initializer_range: float = 0.02
    pad_token_id: int | None = None

    def __post_init__(self) -> None:
        require_positive(self, "d_model", "n_layer", "vocab_size", "pad_vocab_size_multiple")
        check_scales(self)

    @property
    def padded_vocab_size(self) -> int:
        """Rows of the embedding: `vocab_size` rounded up."""
        return round_up(self.vocab_size, self.pad_vocab_size_multiple)


@dataclass(frozen=True, kw_only=True)
class XLNetConfig(ModelConfig):
    """A two-stream language model over permutations (Yang et al. 2019), in the published PyTorch form.

    Args:
        n_token: Number of token ids.
        d_model: Width D.
        n_layer: Number of layers.
        n_head: Heads H of the attention; they divide D.
        d_inner: Width of the feed-forward layers.
        activation: Of the feed-forward layers. Where a published config says "gelu", models trained with transformers
            before version 4 mean "gelu_tanh".
        dropout: On embeddings, attention weights and branches.
        layer_norm_eps: Of the layer norms.
        initializer_range: Deviation of the initial weights.
        attn_type: "bi": a token sees both sides; "uni": what stands before it, and itself.
        same_length: With "uni" and memories: every token sees as many tokens as the first one does.
        mem_len: Tokens of the content stream that are carried over as memories; None: none are kept, 0: all.
        reuse_len: Only so many tokens of a segment, its first ones, are carried over; None: all.
        clamp_len: Distances beyond count as this one; -1: none is.
        bi_data: The second half of the rows is read from right to left.
    """

    model: ClassVar[str] = "seqsuite.models.xlnet:XLNetLM"

    n_token: int = 32000
    d_model: int = 1024
    n_layer: int = 24
    n_head: int = 16
    d_inner: int = 4096
    activation: Activation = "gelu"
    dropout: float = 0.1
    layer_norm_eps: float = 1e-12
    initializer_range: float = 0.02
    attn_type: Literal["bi", "uni"] = "bi"
    same_length: bool = False
    mem_len: int | None = None
    reuse_len: int | None = None
    clamp_len: int = -1
    bi_data: bool = False

    def __post_init__(self) -> None:
        owner = type(self).__name__
        require_positive(self, "n_token", "d_model", "n_layer", "n_head", "d_inner")
        check_range(owner, {"layer_norm_eps": self.layer_norm_eps}, above=0)
        check_range(owner, {"initializer_range": self.initializer_range}, least=0)
        check_range(owner, {"mem_len": self.mem_len or 0, "reuse_len": self.reuse_len or 0}, least=0)
        check_dropout(self)
        if self.d_model % self.n_head:
            raise UserError(f"{owner}: n_head must divide d_model, {self.d_model}, not {self.n_head}")


@dataclass(frozen=True, kw_only=True)
class MixerMLMConfig(ModelConfig):
    """A masked language model over a bidirectional residual stack of any mixers.

    Args:
        d_model: Width D of the residual stream.
        n_layer: Number of blocks.
        vocab_size: Number of token ids.
        mixer: Name of the sequence mixer; or a pattern of blocks, repeated or cut to `n_layer`: "mamba*3, attention".
            Attention looks both ways; other causal mixers run in both directions.
        mixer_options: Its options, by name; of a pattern {"mamba": {...}, "attention": {...}}, by mixer.
        combine: How the two directions of a causal mixer are joined.
        tie: What the two directions share; "projections" only mixers that have some.
        d_inner: Width of a feed-forward layer behind each mixer; None: there is none.
        activation: Of the feed-forward layers.
        dropout: On the embeddings and on each branch.
        norm: Normalisation in front of each branch.
        norm_epsilon: Its epsilon.
        residual_in_fp32: Keep the residual stream in float32 under lower precision.
        initializer_range: Deviation of the initial embedding.
        pad_token_id: Rows are padded with this id; padded steps change nothing. None: no padding.
    """

    model: ClassVar[str] = "seqsuite.models.mixer_mlm:MixerMaskedLM"

    d_model: int
    n_layer: int
    vocab_size: int
    mixer: str = "mamba"
    mixer_options: dict[str, Any] = field(default_factory=dict)
    combine: Literal["add", "multiply", "concat"] = "add"
    tie: Literal["none", "projections", "all"] = "none"
    d_inner: int | None = None
    activation: Activation = "gelu_tanh"
    dropout: float = 0.0
    norm: Literal["rms", "layer"] = "rms"
    norm_epsilon: float = 1e-5
    residual_in_fp32: bool = True
    initializer_range: float = 0.02
    pad_token_id: int | None = None

    def __post_init__(self) -> None:
        require_positive(self, "d_model", "n_layer", "vocab_size")
        if self.d_inner is not None:
            require_positive(self, "d_inner")
        check_scales(self)
        check_dropout(self)


def check_dropout(config: Any) -> None:
    """Raise a one-line error unless `dropout` is at least 0 and below 1."""
    check_range(type(config).__name__, {"dropout": config.dropout}, least=0)
    if config.dropout >= 1:
        raise UserError(f"{type(config).__name__}: dropout must be below 1, not {config.dropout}")


def require_positive(config: object, *names: str) -> None:
    """Raise a one-line error if one of the named fields is below 1."""
    check_range(type(config).__name__, {name: getattr(config, name) for name in names}, least=1)


def check_scales(config: Any) -> None:
    """Raise a one-line error unless `norm_epsilon` is positive and `initializer_range` not negative."""
    owner = type(config).__name__
    check_range(owner, {"norm_epsilon": config.norm_epsilon}, above=0)
    check_range(owner, {"initializer_range": config.initializer_range}, least=0)


def round_up(value: int, multiple: int) -> int:
    """Return the smallest multiple of `multiple` that is not below `value`."""
    return -(-value // multiple) * multiple


def mamba_lm_debug() -> MixerLMConfig:
    """Trains on a CPU in seconds."""
    return MixerLMConfig(d_model=32, n_layer=2, vocab_size=16, mixer_options={"d_state": 8})


def mamba_130m() -> MixerLMConfig:
    """Size of `state-spaces/mamba-130m`."""
    return MixerLMConfig(d_model=768, n_layer=24)


def mamba_370m() -> MixerLMConfig:
    """Size of `state-spaces/mamba-370m`."""
    return MixerLMConfig(d_model=1024, n_layer=48)


def mamba_790m() -> MixerLMConfig:
    """Size of `state-spaces/mamba-790m`."""
    return MixerLMConfig(d_model=1536, n_layer=48)


def mamba_1_4b() -> MixerLMConfig:
    """Size of `state-spaces/mamba-1.4b`."""
    return MixerLMConfig(d_model=2048, n_layer=48)


def mamba_2_8b() -> MixerLMConfig:
    """Size of `state-spaces/mamba-2.8b`."""
    return MixerLMConfig(d_model=2560, n_layer=64)


def xlnet_lm_debug() -> XLNetConfig:
    """Trains on a CPU in seconds."""
    return XLNetConfig(n_token=48, d_model=32, n_layer=2, n_head=2, d_inner=64)


def xlnet_base() -> XLNetConfig:
    """Size of `xlnet/xlnet-base-cased`."""
    return XLNetConfig(d_model=768, n_layer=12, n_head=12, d_inner=3072)


def xlnet_large() -> XLNetConfig:
    """Size of `xlnet/xlnet-large-cased`."""
    return XLNetConfig()


def mixer_mlm_debug() -> MixerMLMConfig:
    """Trains on a CPU in seconds."""
    return MixerMLMConfig(d_model=32, n_layer=2, vocab_size=16, mixer_options={"d_state": 8}, d_inner=64)
