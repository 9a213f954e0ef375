"""Configs of the genome models, their named sizes, and the options of the verbs (torch-free).

Sizes carry the numbers of the published checkpoints; `*_debug` trains on a CPU in seconds. The
docstrings of the verbs' options are the command line's help.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from seqsuite.errors import UserError
from seqsuite.models.configs import ModelConfig, check_scales, require_positive, round_up
from seqsuite.training.configs import TrainConfig

COMPLEMENT = (0, 1, 2, 3, 4, 5, 6, 10, 9, 8, 7, 11)
"""Complement of each id of the published vocabulary: A7-T10, C8-G9, everything else itself."""


@dataclass(frozen=True, kw_only=True)
class CaduceusConfig(ModelConfig):
    """Caduceus (Schiff et al. 2024): a two-way genome model, RC-equivariant with `rcps`.

    Args:
        d_model: Width D of one strand's residual stream.
        n_layer: Number of blocks.
        vocab_size: Number of token ids.
        pad_vocab_size_multiple: The embedding has this multiple of rows.
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
        complement_map: Complement of each token id, in pairs; ids beyond it are their own.
        pad_token_id: Rows are padded with this id; None: no padding.
        padding: "masked": padding changes no other position; "as_published": it is a token like any other.
        head: What `forward` returns: logits over the vocabulary, over classes, or the features.
        num_classes: Classes of the classification head.
        pooling: How the classification head pools positions.
        conjoin_train: A Ph classifier averages over both strands while training.
        conjoin_eval: A Ph classifier averages over both strands in evaluation.
        initializer_range: Standard deviation of the embedding and of the classification head.
    """

    model: ClassVar[str] = "seqdna.models.caduceus:Caduceus"

    d_model: int
    n_layer: int
    vocab_size: int = 12
    pad_vocab_size_multiple: int = 8
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
    complement_map: tuple[int, ...] = COMPLEMENT
    pad_token_id: int | None = 4
    padding: Literal["masked", "as_published"] = "masked"
    head: Literal["masked_lm", "sequence_classification", "none"] = "masked_lm"
    num_classes: int = 2
    pooling: Literal["mean", "max", "first", "last"] = "mean"
    conjoin_train: bool = False
    conjoin_eval: bool = False
    initializer_range: float = 0.02

    def __post_init__(self) -> None:
        require_positive(self, "d_model", "n_layer", "vocab_size", "pad_vocab_size_multiple", "num_classes")
        check_scales(self)
        rows = self.padded_vocab_size
        if len(self.complement_map) > rows or not all(0 <= token < rows for token in self.complement_map):
            raise UserError(f"CaduceusConfig: complement_map must map ids below {rows}, not {self.complement_map}")
        table = self.full_complement_map
        if self.rcps and (table == tuple(range(rows)) or any(table[table[token]] != token for token in range(rows))):
            raise UserError(
                "CaduceusConfig: with rcps=True complement_map must exchange tokens in pairs (the complement of a "
                f"complement is the token), and at least one pair; not {self.complement_map}"
            )
        if self.swap_halves and not self.rcps:
            raise UserError("CaduceusConfig: swap_halves exchanges the strands of rcps=True; this has rcps=False")
        if (self.conjoin_train or self.conjoin_eval) and (self.rcps or self.head != "sequence_classification"):
            raise UserError("CaduceusConfig: conjoin_* is for rcps=False with head='sequence_classification'")

    @property
    def padded_vocab_size(self) -> int:
        """Rows of the embedding: `vocab_size` rounded up."""
        return round_up(self.vocab_size, self.pad_vocab_size_multiple)

    @property
    def full_complement_map(self) -> tuple[int, ...]:
        """Complement of every row of the embedding."""
        return self.complement_map + tuple(range(len(self.complement_map), self.padded_vocab_size))


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


SIZES = (
    "caduceus_ps",
    "caduceus_ph",
    "caduceus_ps_1k_d256",
    "caduceus_ph_1k_d256",
    "caduceus_ps_1k_d118",
    "caduceus_ph_1k_d118",
    "caduceus_ps_debug",
    "caduceus_ph_debug",
)
"""The names of the sizes above, for the plugin's table."""


@dataclass(frozen=True, kw_only=True)
class PretrainConfig(TrainConfig):
    """Options of `seqdna pretrain`.

    Args:
        fasta: Genome to train on: a FASTA file (plain, gzip or bgzip), or 'ecoli' for the one that comes along.
        model: Name of a masked language model; `seqsuite models` lists them.
        model_options: Fields of its config to change, such as --model_options.d_model 64.
        length: Bases in a window.
        mask_rate: Share of the bases to predict in training.
        valid_fraction: Share of the genome held out for validation, before the test block.
        test_fraction: Share of the genome held out for the test, at its end.
        lower: What lower-case (soft-masked) bases become: upper-case bases, N, or the unknown token.
        iupac: What ambiguity codes other than N become: the unknown token or N.
        uracil: What U becomes: T or the unknown token.
        valid_windows: Windows of the validation block that are scored during training.
        eval_sites: Test positions to measure one at a time, at the end.
        baselines: Fit and score the count models on the same split.
        json: Print the result as JSON instead of a table.
    """

    fasta: str = "ecoli"
    model: str = "caduceus_ps_debug"
    model_options: dict[str, Any] = field(default_factory=dict)
    length: int = 1024
    mask_rate: float = 0.15
    valid_fraction: float = 0.1
    test_fraction: float = 0.1
    lower: Literal["upper", "n", "unk"] = "upper"
    iupac: Literal["unk", "n"] = "unk"
    uracil: Literal["t", "unk"] = "t"
    valid_windows: int = 128
    eval_sites: int = 4096
    baselines: bool = True
    json: bool = False
    out: str = "runs/pretrain"

    free_on_resume: ClassVar[frozenset[str]] = TrainConfig.free_on_resume | {
        *("valid_windows", "eval_sites", "baselines", "json"),
        "fasta",  # its content is compared instead
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("length", "valid_windows", "eval_sites"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name} is {getattr(self, name)}; it must be at least 1.")
        for name in ("mask_rate", "valid_fraction", "test_fraction"):
            if not 0 < getattr(self, name) < 1:
                raise UserError(f"--{name} is {getattr(self, name)}; it must lie between 0 and 1.")


@dataclass(frozen=True)
class EmbedConfig:
    """Options of `seqdna embed`.

    Args:
        run: A run folder or a model folder.
        fasta: Sequences to embed: a FASTA file (plain, gzip or bgzip).
        out: Where to write the vectors: an .npz file with `names` and `vectors`.
        pool: mean: one vector a sequence; none: one vector a base.
        batch_tokens: Bases to run at once.
        overwrite: Replace the output file.
        json: Print JSON instead of a table.
    """

    run: str
    fasta: str
    out: str = "embeddings.npz"
    pool: Literal["mean", "none"] = "mean"
    batch_tokens: int = 65536
    overwrite: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        if self.batch_tokens < 1:
            raise UserError(f"--batch_tokens is {self.batch_tokens}; it must be at least 1.")
