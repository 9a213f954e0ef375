"""Configs of the Mamba genome models and their named sizes (torch-free).

Sizes carry the numbers of the published checkpoints; `*_debug` trains on a CPU in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from seqsuite.errors import UserError, unknown_name
from seqsuite.models.configs import ModelConfig, check_scales, require_positive, round_up

Head = Literal["masked_lm", "causal_lm", "leave_one_out", "sequence_classification", "none"]

COMPLEMENT = (0, 1, 2, 3, 4, 5, 6, 10, 9, 8, 7, 11)
"""Complement of each id of the published vocabulary: A7-T10, C8-G9, everything else itself."""


@dataclass(frozen=True, kw_only=True)
class GenomeConfig(ModelConfig):
    """What every genome model has: a vocabulary with a complement, padding, and one of the heads.

    Args:
        d_model: Width D of one strand's residual stream.
        n_layer: Number of blocks.
        vocab_size: Number of token ids.
        pad_vocab_size_multiple: The embedding has this multiple of rows.
        complement_map: Complement of each token id, in pairs; ids beyond it are their own.
        pad_token_id: Rows are padded with this id; None: no padding.
        padding: "masked": padding changes no other position; "as_published": it is a token like any other.
        head: What `forward` returns: logits over the vocabulary, over classes, or the features.
        num_classes: Outputs of the classification head.
        classifier: The classification head: "linear" on the pooled features, or "conv": convolutions along the
            sequence and the strongest response in each of eight parts of it; or "positions": classes of every base, or
            of every so many bases.
        bases_per_label: Of the classifier "positions": how many bases one label stands for.
        pooling: How the linear classification head pools positions.
        strand_specific: Labels belong to the strand given, as those of splice sites do: a classifier of an
            RC-equivariant model reads the features of both strands side by side instead of averaging what it says of
            each, so that a sequence and its reverse complement may be of different classes.
        conjoin_train: A classifier that is not RC-equivariant averages over both strands while training.
        conjoin_eval: It averages over both strands in evaluation.
        initializer_range: Standard deviation of the embedding and of the classification head.
    """

    heads: ClassVar[tuple[str, ...]] = ()

    d_model: int
    n_layer: int
    vocab_size: int = 12
    pad_vocab_size_multiple: int = 8
    complement_map: tuple[int, ...] = COMPLEMENT
    pad_token_id: int | None = 4
    padding: Literal["masked", "as_published"] = "masked"
    head: Head = "none"
    num_classes: int = 2
    classifier: Literal["linear", "conv", "positions"] = "linear"
    bases_per_label: int = 1
    pooling: Literal["mean", "max", "first", "last", "centre"] = "mean"
    strand_specific: bool = False
    conjoin_train: bool = False
    conjoin_eval: bool = False
    initializer_range: float = 0.02

    def __post_init__(self) -> None:
        owner = type(self).__name__
        numbers = ("d_model", "n_layer", "vocab_size", "pad_vocab_size_multiple", "num_classes", "bases_per_label")
        require_positive(self, *numbers)
        check_scales(self)
        if self.head not in self.heads:
            raise unknown_name(f"{owner}: head", self.head, self.heads)
        rows = self.padded_vocab_size
        if len(self.complement_map) > rows or not all(0 <= token < rows for token in self.complement_map):
            raise UserError(f"{owner}: complement_map must map ids below {rows}, not {self.complement_map}")
        table = self.full_complement_map
        if self.both_strands and (
            table == tuple(range(rows)) or any(table[table[token]] != token for token in range(rows))
        ):
            raise UserError(
                f"{owner}: an RC-equivariant model's complement_map must exchange tokens in pairs (the complement of "
                f"a complement is the token), and at least one pair; not {self.complement_map}"
            )
        if self.strand_specific and (not self.both_strands or self.head != "sequence_classification"):
            raise UserError(
                f"{owner}: strand_specific is for RC-equivariant models with head='sequence_classification'; a model "
                "that reads one strand is specific to it"
            )
        if (self.conjoin_train or self.conjoin_eval) and (self.both_strands or self.head != "sequence_classification"):
            raise UserError(
                f"{owner}: conjoin_* is for models that read one strand, with head='sequence_classification'"
            )

    @property
    def both_strands(self) -> bool:
        """Whether the model reads both strands and is RC-equivariant by construction."""
        return False

    @property
    def padded_vocab_size(self) -> int:
        """Rows of the embedding: `vocab_size` rounded up."""
        return round_up(self.vocab_size, self.pad_vocab_size_multiple)

    @property
    def full_complement_map(self) -> tuple[int, ...]:
        """Complement of every row of the embedding."""
        return self.complement_map + tuple(range(len(self.complement_map), self.padded_vocab_size))


@dataclass(frozen=True, kw_only=True)
class CaduceusConfig(GenomeConfig):
    """Caduceus (Schiff et al. 2024): a two-way genome model, RC-equivariant with `rcps`.

    With `bidirectional=False` and head "causal_lm" it is the causal Mamba language model.

    Args:
        mixer: Name of the sequence mixer.
        mixer_options: Its options, by name.
        norm: Normalisation in front of each mixer.
        norm_epsilon: Its epsilon.
        residual_in_fp32: Keep the residual stream in float32 under lower precision.
        rcps: Share parameters between the strands (Caduceus-PS); False is Caduceus-Ph.
        bidirectional: Mix in both directions.
        bidirectional_strategy: How the two directions are combined.
        bidirectional_weight_tie: The directions share the mixer's outer projections.
        swap_halves: Each block exchanges the strands' streams, as published PS checkpoints do.
    """

    model: ClassVar[str] = "seqdna.models.caduceus:Caduceus"
    heads: ClassVar[tuple[str, ...]] = ("masked_lm", "causal_lm", "sequence_classification", "none")

    mixer: str = "mamba"
    mixer_options: dict[str, Any] = field(default_factory=dict)
    norm: Literal["rms", "layer"] = "rms"
    norm_epsilon: float = 1e-5
    residual_in_fp32: bool = False
    rcps: bool = False
    bidirectional: bool = True
    bidirectional_strategy: Literal["add", "ew_multiply"] = "add"
    bidirectional_weight_tie: bool = True
    swap_halves: bool = False
    head: Head = "masked_lm"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.swap_halves and not self.rcps:
            raise UserError("CaduceusConfig: swap_halves exchanges the strands of rcps=True; this has rcps=False")
        if self.head == "causal_lm" and (self.bidirectional or self.rcps):
            raise UserError(
                "CaduceusConfig: head='causal_lm' needs bidirectional=False and rcps=False, or it sees its targets"
            )

    @property
    def both_strands(self) -> bool:
        """Whether the model is RC-equivariant."""
        return self.rcps


@dataclass(frozen=True, kw_only=True)
class LeaveOneOutConfig(GenomeConfig):
    """Every base from all the others, in one pass: two tied causal towers, one on each strand, joined at the head.

    Position t of a tower is shifted by one, so that it sees the bases before t and never t itself; the
    tower on the reverse complement sees the bases behind it. RC-equivariant by construction.

    Args:
        mixer: Name of a causal sequence mixer.
        mixer_options: Its options, by name.
        norm: Normalisation in front of each mixer.
        norm_epsilon: Its epsilon.
        residual_in_fp32: Keep the residual stream in float32 under lower precision.
        join_expand: Width of the joint's hidden layer, in units of D.
    """

    model: ClassVar[str] = "seqdna.models.leave_one_out:LeaveOneOut"
    heads: ClassVar[tuple[str, ...]] = ("leave_one_out", "sequence_classification", "none")

    mixer: str = "mamba"
    mixer_options: dict[str, Any] = field(default_factory=dict)
    norm: Literal["rms", "layer"] = "rms"
    norm_epsilon: float = 1e-5
    residual_in_fp32: bool = False
    join_expand: int = 2
    head: Head = "leave_one_out"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "join_expand")

    @property
    def both_strands(self) -> bool:
        """Always: the second tower reads the other strand."""
        return True


def caduceus_ps() -> CaduceusConfig:
    """Size of the published PS model, 131k context."""
    return CaduceusConfig(d_model=256, n_layer=16, rcps=True)


def caduceus_ph() -> CaduceusConfig:
    """Size of the published Ph model, 131k context."""
    return CaduceusConfig(d_model=256, n_layer=16)


def caduceus_ps_1k_d256() -> CaduceusConfig:
    """Size of the published PS model, 1k context, width 256."""
    return CaduceusConfig(d_model=256, n_layer=4, rcps=True)


def caduceus_ph_1k_d256() -> CaduceusConfig:
    """Size of the published Ph model, 1k context, width 256."""
    return CaduceusConfig(d_model=256, n_layer=4)


def caduceus_ps_1k_d118() -> CaduceusConfig:
    """Size of the published PS model, 1k context, width 118."""
    return CaduceusConfig(d_model=118, n_layer=4, rcps=True)


def caduceus_ph_1k_d118() -> CaduceusConfig:
    """Size of the published Ph model, 1k context, width 118."""
    return CaduceusConfig(d_model=118, n_layer=4)


def caduceus_ps_debug() -> CaduceusConfig:
    """Trains on a CPU in seconds."""
    return CaduceusConfig(d_model=16, n_layer=2, rcps=True, mixer_options={"d_state": 8})


def caduceus_ph_debug() -> CaduceusConfig:
    """Trains on a CPU in seconds."""
    return CaduceusConfig(d_model=16, n_layer=2, mixer_options={"d_state": 8})


def mamba_dna() -> CaduceusConfig:
    """Causal Mamba language model of the size of the published 131k Caduceus."""
    return CaduceusConfig(d_model=256, n_layer=16, bidirectional=False, head="causal_lm")


def mamba_dna_1k() -> CaduceusConfig:
    """Causal Mamba language model of the size of the published 1k Caduceus, width 256."""
    return CaduceusConfig(d_model=256, n_layer=4, bidirectional=False, head="causal_lm")


def mamba_dna_debug() -> CaduceusConfig:
    """Trains on a CPU in seconds."""
    return CaduceusConfig(d_model=16, n_layer=2, bidirectional=False, head="causal_lm", mixer_options={"d_state": 8})


def bimamba_dna() -> CaduceusConfig:
    """Bidirectional Mamba without equivariance: Caduceus-Ph's architecture, trained without augmentation."""
    return CaduceusConfig(d_model=256, n_layer=4)


def bimamba_dna_debug() -> CaduceusConfig:
    """Trains on a CPU in seconds."""
    return CaduceusConfig(d_model=16, n_layer=2, mixer_options={"d_state": 8})


def leave_one_out() -> LeaveOneOutConfig:
    """Leave-one-out model of the size of the published 1k Caduceus, width 256."""
    return LeaveOneOutConfig(d_model=256, n_layer=4)


def leave_one_out_debug() -> LeaveOneOutConfig:
    """Trains on a CPU in seconds."""
    return LeaveOneOutConfig(d_model=16, n_layer=2, mixer_options={"d_state": 8})


SIZES = (
    "caduceus_ps",
    "caduceus_ph",
    "caduceus_ps_1k_d256",
    "caduceus_ph_1k_d256",
    "caduceus_ps_1k_d118",
    "caduceus_ph_1k_d118",
    "caduceus_ps_debug",
    "caduceus_ph_debug",
    "mamba_dna",
    "mamba_dna_1k",
    "mamba_dna_debug",
    "bimamba_dna",
    "bimamba_dna_debug",
    "leave_one_out",
    "leave_one_out_debug",
)
"""The names of the sizes above, for the plugin's table."""
