"""Options of `seqchem embed` (torch-free); the docstring is the help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from seqsuite.errors import UserError


@dataclass(frozen=True)
class EmbedConfig:
    """Options of `seqchem embed`.

    Args:
        run: A run folder, or a model folder.
        input: Sequences: CSV, TSV, .smi, .sdf or .fasta, plain or gzip.
        out: The file to write, a vector for every row of the input; the ending decides: .npz, .parquet or .csv.
        pooling: A vector is the mean over the sequence's tokens, the one of [CLS], or the one of the last token.
        sequence_column: Column of the sequences; left out: found by its name.
        salts: Mixtures and salts: keep them, keep the largest part, or refuse them.
        on_invalid: Rows that have no vector: error, left out (skip), or kept with their status.
        batch_size: Rows at once.
        device: Where to run: cpu, cuda, cuda:1 and so on.
        threads: Threads on a CPU; 0: torch's own number.
        overwrite: Replace what is there.
        json: Print JSON instead of text.
    """

    run: str
    input: str
    out: str = "embeddings.npz"
    pooling: Literal["mean", "cls", "last"] = "mean"
    sequence_column: str = ""
    salts: Literal["keep", "largest", "refuse"] = "keep"
    on_invalid: Literal["error", "skip", "keep"] = "keep"
    batch_size: int = 64
    device: str = "cpu"
    threads: int = 0
    overwrite: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        for name, least in {"batch_size": 1, "threads": 0}.items():
            if getattr(self, name) < least:
                raise UserError(f"--{name} is {getattr(self, name)}; it must be at least {least}")
