"""Options of `seqdna evaluate` (torch-free); the docstring is the command line's help."""

from __future__ import annotations

from dataclasses import dataclass

from seqsuite.errors import UserError


@dataclass(frozen=True)
class EvaluateConfig:
    """Options of `seqdna evaluate`.

    Args:
        run: A run folder or a model folder.
        fasta: Genome to measure on: a FASTA file (plain, gzip or bgzip), or 'ecoli' for the one that comes along.
        region: Where to measure: a record, record:start or record:start-end, 1-based with both ends as in samtools;
            empty: everywhere.
        sites: Bases to measure, drawn at random; fewer where the region holds no more.
        length: Bases in a window; 0: as in training (1024 for a model without a run folder).
        seed: Of the choice of bases.
        batch_tokens: Bases to run at once.
        json: Print JSON instead of a table.
    """

    run: str
    fasta: str = "ecoli"
    region: str = ""
    sites: int = 4096
    length: int = 0
    seed: int = 0
    batch_tokens: int = 16384
    json: bool = False

    def __post_init__(self) -> None:
        for name, least in (("sites", 1), ("length", 0), ("seed", 0), ("batch_tokens", 1)):
            if getattr(self, name) < least:
                raise UserError(f"--{name} is {getattr(self, name)}; it must be at least {least}.")
