"""Options of `seqdna embed` (torch-free); the docstring is the command line's help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from seqsuite.errors import UserError


@dataclass(frozen=True)
class EmbedConfig:
    """Options of `seqdna embed`.

    Args:
        run: A run folder or a model folder.
        sequences: What to embed: a FASTA, .2bit or GenBank file, a .csv or .tsv file with a sequence column, or
            the name of a shipped genome.
        bed: Embed only the intervals of this BED file; those on the "-" strand as their reverse complement.
        column: Of a CSV file: heading of the sequences.
        name_column: Of a CSV file: heading of the names; without it they are row_1, row_2, ...
        out: Where to write the vectors; the ending decides: .npz, .parquet or .zarr.
        layer: -1, the normalised features that the heads see, or the residual stream behind block 0, 1, ...
        pool: One vector a sequence (mean, max, first, last or centre of its bases), or none: a vector a base.
        strands: model: what the model reads; both: the average over a sequence and its reverse complement.
        window: Cut sequences longer than this into tiles of this length: a vector a tile, with its coordinates;
            with pool none a vector a base, from the tile in which the base lies deepest. 0: sequences stay whole;
            one longer than --max_length runs chunk by chunk, its features in temporary files (in TMPDIR), with the
            same result in bounded memory; --layer -1 alone.
        step: From tile to tile; by default the window.
        max_length: Bases that run in one piece in memory; without --window a longer sequence is refused.
        batch_tokens: Bases to run at once.
        device: Where to run: cpu, cuda, ...
        overwrite: Replace the output.
        json: Print JSON instead of text.
    """

    run: str
    sequences: str
    bed: str | None = None
    column: str = "sequence"
    name_column: str | None = None
    out: str = "embeddings.npz"
    layer: int = -1
    pool: Literal["mean", "max", "first", "last", "centre", "none"] = "mean"
    strands: Literal["model", "both"] = "model"
    window: int | None = None
    step: int | None = None
    max_length: int = 131_072
    batch_tokens: int = 65536
    device: str = "cpu"
    overwrite: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        for name in ("batch_tokens", "max_length"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name} is {getattr(self, name)}; it must be at least 1.")
