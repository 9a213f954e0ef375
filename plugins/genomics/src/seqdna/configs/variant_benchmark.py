"""Options of `seqdna benchmark-variants` (torch-free); the docstring is the command line's help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from seqsuite.errors import UserError


@dataclass(frozen=True)
class VariantBenchmarkConfig:
    """Options of `seqdna benchmark-variants`.

    Args:
        folder: A folder of labelled variants in the layout of TraitGym, BEND or DART-Eval task 5.
        run: A run folder or a model folder.
        genome: The FASTA of the sets' assembly, or 'ecoli'.
        only: Names of sets to do; none means all.
        subset: A subset of TraitGym, as its folder `subset` names them.
        scores: auto takes what the suite defines and the model can give; all insists on it.
        probe: Of TraitGym: its logistic regression, one chromosome left out at a time, too.
        whole_window: Of DART-Eval with a masked model: judge alleles by every base of the window as the suite does, two
            forward passes a base and variant, instead of by the changed base.
        window: Bases that the model sees around a variant; the training length of the run if not given.
        unscorable: refuse stops where REF differs from the genome or a variant lies outside of it; skip leaves such
            variants out and counts them.
        device: auto, cpu, cuda, or another name torch knows.
        batch_tokens: Bases to run at once.
        seed: Of the standard errors.
        out: A folder for summary.json, report.html and the scores of every variant; none writes no files.
        overwrite: Replace what is in --out.
        json: Print JSON instead of a table.
    """

    folder: str
    run: str
    genome: str = ""
    only: tuple[str, ...] = ()
    subset: str = "all"
    scores: Literal["auto", "all", "likelihood", "embedding"] = "auto"
    probe: bool = False
    whole_window: bool = False
    window: int | None = None
    unscorable: Literal["refuse", "skip"] = "refuse"
    device: str = "auto"
    batch_tokens: int = 16384
    seed: int = 0
    out: str = ""
    overwrite: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        if not self.genome:
            raise UserError("--genome is missing; give the FASTA of the sets' assembly.")
        if self.batch_tokens < 1:
            raise UserError(f"--batch_tokens is {self.batch_tokens}; it must be at least 1.")
        if self.seed < 0:
            raise UserError(f"--seed is {self.seed}; it must be at least 0.")
