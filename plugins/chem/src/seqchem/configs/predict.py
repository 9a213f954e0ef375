"""Options of `seqchem predict` (torch-free); the docstring is the help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from seqsuite.errors import UserError


@dataclass(frozen=True)
class RTPredictConfig:
    """Options of `seqchem predict`.

    Args:
        run: A run folder of `seqchem finetune`, or a model folder.
        input: Sequences: CSV, TSV, .smi, .sdf or .fasta, plain or gzip.
        out: The CSV file to write: the columns of the input, then predictions, status and warnings.
        properties: Which to predict, as in qed,logp; left out: all of the model.
        sequence_column: Column of the sequences; left out: found by its name.
        salts: Mixtures and salts: keep them, keep the largest part, or refuse them.
        on_invalid: Rows that cannot be predicted: error, left out (skip), or kept with their status.
        decode: independent reads all digits in one pass, sequential shows each digit those before it.
        beams: Beginnings of a number that sequential decoding keeps.
        point: What stands for the distribution of a number: its mean or its mode; auto: the mean, but the likeliest
            class of columns of classes.
        level: What share of measured values the intervals are to cover; calibrated are 0.5, 0.8, 0.9 and 0.95.
        clip: Clip values and intervals to the trained range; without it they are only warned of.
        batch_size: Rows at once.
        device: Where to run: cpu, cuda, cuda:1 and so on.
        threads: Threads on a CPU; 0: torch's own number.
        report: Write a page beside the CSV file, with the ending .html.
        overwrite: Replace what is there.
        json: Print JSON instead of a table.
    """

    run: str
    input: str
    out: str = "predicted.csv"
    properties: tuple[str, ...] = ()
    sequence_column: str = ""
    salts: Literal["keep", "largest", "refuse"] = "keep"
    on_invalid: Literal["error", "skip", "keep"] = "keep"
    decode: Literal["independent", "sequential"] = "independent"
    beams: int = 4
    point: Literal["auto", "mean", "mode"] = "auto"
    level: float = 0.9
    clip: bool = False
    batch_size: int = 64
    device: str = "cpu"
    threads: int = 0
    report: bool = False
    overwrite: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        for name, least in {"batch_size": 1, "beams": 1, "threads": 0}.items():
            if getattr(self, name) < least:
                raise UserError(f"--{name} is {getattr(self, name)}; it must be at least {least}")
        if not 0 < self.level < 1:
            raise UserError(f"--level is {self.level:g}; it must lie between 0 and 1")
        if not self.out.endswith(".csv"):
            raise UserError(f"--out {self.out}: give a file that ends in .csv")
