"""Options of `seqdna predict` (torch-free); the docstring is the command line's help."""

from __future__ import annotations

from dataclasses import dataclass

from seqsuite.errors import UserError


@dataclass(frozen=True)
class PredictConfig:
    """Options of `seqdna predict`.

    Args:
        run: A run folder of `seqdna finetune`, or its model folder.
        input: Sequences: a FASTA file, or a CSV or TSV file with a sequence column (plain or gzip).
        out: Where to write the predictions: a CSV file.
        sequence_column: Column of the sequences; by default 'sequence' or 'seq'.
        batch_tokens: Bases to run at once.
        device: Where to run: cpu, cuda, cuda:1 and so on.
        overwrite: Replace the output file.
        json: Print JSON instead of a table.
    """

    run: str
    input: str
    out: str = "predictions.csv"
    sequence_column: str = ""
    batch_tokens: int = 65536
    device: str = "cpu"
    overwrite: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        if self.batch_tokens < 1:
            raise UserError(f"--batch_tokens is {self.batch_tokens}; it must be at least 1.")
