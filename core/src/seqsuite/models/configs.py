"""Configs of the core's models and their named sizes (torch-free).

A config is a frozen dataclass that names its model class; a named size is a function of a few lines
that returns one. Published sizes carry the numbers of the published checkpoints.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from seqsuite.mixers.options import check_range


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
