"""Config of HyenaDNA and its named sizes (torch-free); sizes carry the numbers of the published checkpoints."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from seqdna.configs.models import GenomeConfig, Head
from seqsuite.errors import UserError
from seqsuite.mixers.options import check_range
from seqsuite.models.configs import require_positive


@dataclass(frozen=True, kw_only=True)
class HyenaDNAConfig(GenomeConfig):
    """HyenaDNA (Nguyen et al. 2023): a causal genome model of long convolutions, one strand.

    The mixer's `l_max` belongs to the weights: its filter is a function of the position as a fraction of it.

    Args:
        mixer: Name of the sequence mixer.
        mixer_options: Its options, by name.
        d_inner: Width of the MLPs; None: four times `d_model`.
        norm_epsilon: Epsilon of the layer norms.
        residual_in_fp32: Keep the residual stream in float32 under lower precision.
        embed_dropout: Dropout of the embedding.
        resid_dropout: Dropout of what mixers and MLPs add to the stream.
        tie_embeddings: The output projection is the embedding.
        score_bias: The classification head has a bias.
    """

    model: ClassVar[str] = "seqdna.models.hyenadna:HyenaDNA"
    heads: ClassVar[tuple[str, ...]] = ("causal_lm", "sequence_classification", "none")

    mixer: str = "hyena"
    mixer_options: dict[str, Any] = field(default_factory=dict)
    d_inner: int | None = None
    norm_epsilon: float = 1e-5
    residual_in_fp32: bool = True
    embed_dropout: float = 0.1
    resid_dropout: float = 0.0
    tie_embeddings: bool = True
    score_bias: bool = True
    head: Head = "causal_lm"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.d_inner is not None:
            require_positive(self, "d_inner")
        for name in ("embed_dropout", "resid_dropout"):
            check_range(type(self).__name__, {name: getattr(self, name)}, least=0)
            if getattr(self, name) >= 1:
                raise UserError(f"{type(self).__name__}: {name} must be below 1, not {getattr(self, name)}")

    @property
    def mlp_width(self) -> int:
        """Width of the MLPs."""
        return 4 * self.d_model if self.d_inner is None else self.d_inner


def hyenadna_tiny_1k() -> HyenaDNAConfig:
    """Size of `hyenadna-tiny-1k-seqlen`."""
    return HyenaDNAConfig(d_model=128, n_layer=2, mixer_options={"l_max": 1026, "shift": 0.05})


def hyenadna_tiny_1k_d256() -> HyenaDNAConfig:
    """Size of `hyenadna-tiny-1k-seqlen-d256`."""
    return HyenaDNAConfig(d_model=256, n_layer=2, mixer_options={"l_max": 1026, "shift": 0.05})


def hyenadna_tiny_16k() -> HyenaDNAConfig:
    """Size of `hyenadna-tiny-16k-seqlen-d128`."""
    return HyenaDNAConfig(d_model=128, n_layer=2, mixer_options={"l_max": 16386, "shift": 0.05})


def hyenadna_small_32k() -> HyenaDNAConfig:
    """Size of `hyenadna-small-32k-seqlen`."""
    return HyenaDNAConfig(d_model=256, n_layer=4, mixer_options={"l_max": 32770, "shift": 0.05})


def hyenadna_medium_160k() -> HyenaDNAConfig:
    """Size of `hyenadna-medium-160k-seqlen`."""
    return HyenaDNAConfig(d_model=256, n_layer=8, mixer_options={"l_max": 160002, "shift": 0.05})


def hyenadna_medium_450k() -> HyenaDNAConfig:
    """Size of `hyenadna-medium-450k-seqlen`."""
    return HyenaDNAConfig(d_model=256, n_layer=8, mixer_options={"l_max": 450002, "shift": 0.05})


def hyenadna_large_1m() -> HyenaDNAConfig:
    """Size of `hyenadna-large-1m-seqlen`."""
    return HyenaDNAConfig(d_model=256, n_layer=8, mixer_options={"l_max": 1000002, "shift": 0.05})


def hyenadna_debug() -> HyenaDNAConfig:
    """Trains on a CPU in seconds."""
    return HyenaDNAConfig(d_model=16, n_layer=2, mixer_options={"l_max": 1026, "filter_width": 16})


SIZES = (
    "hyenadna_tiny_1k",
    "hyenadna_tiny_1k_d256",
    "hyenadna_tiny_16k",
    "hyenadna_small_32k",
    "hyenadna_medium_160k",
    "hyenadna_medium_450k",
    "hyenadna_large_1m",
    "hyenadna_debug",
)
"""The names of the sizes above, for the plugin's table."""
