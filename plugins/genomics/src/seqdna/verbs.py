"""Options of the command line's verbs: torch-free dataclasses, whose docstrings are the help."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from seqsuite.errors import UserError
from seqsuite.training.configs import TrainConfig


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
    out: str = "runs/pretrain"

    free_on_resume: ClassVar[frozenset[str]] = TrainConfig.free_on_resume | {"valid_windows", "eval_sites", "baselines"}

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
