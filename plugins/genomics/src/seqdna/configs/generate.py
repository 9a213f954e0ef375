"""Options of `seqdna generate` (torch-free); the docstring is the command line's help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from seqsuite.errors import UserError


@dataclass(frozen=True)
class GenerateConfig:
    """Options of `seqdna generate`.

    Args:
        run: A run folder or a model folder.
        prompt: Causal models continue it; it may be empty. Models that see both sides fill its _ marks, or where
            it has none its N.
        fasta: Continue or fill every record of this FASTA file, in place of --prompt.
        n: Sequences from each prompt.
        length: New bases, of causal models.
        temperature: Below 1 the likely bases become likelier; 0 takes the likeliest.
        top_k: Draw from the k likeliest bases; 0 is all four.
        top_p: Draw from the likeliest bases that together reach this probability.
        seed: Seed of the draws.
        mode: How a causal model runs; recurrent: in constant memory; recompute: the whole sequence for each base;
            auto: recurrent where the model can.
        steps: When filling: passes in which every marked base is drawn once; by default one base a pass.
        order: When filling with a masked model: the bases that it is surest of first, or random.
        sweeps: When filling: how often each base is drawn; by default 1, or 5 with a leave-one-out model.
        out: A FASTA file to write; by default the sequences go to standard output.
        device: Where to run: cpu, cuda, ...
        overwrite: Replace the output file.
        json: Print JSON instead of FASTA or text.
    """

    run: str
    prompt: str = ""
    fasta: str | None = None
    n: int = 1
    length: int = 100
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0
    mode: Literal["auto", "recurrent", "recompute"] = "auto"
    steps: int | None = None
    order: Literal["confident", "random"] = "confident"
    sweeps: int | None = None
    out: str | None = None
    device: str = "cpu"
    overwrite: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        if self.prompt and self.fasta is not None:
            raise UserError("--prompt and --fasta cannot be given together; choose one.")
        if self.seed < 0:
            raise UserError(f"--seed is {self.seed}; it must be 0 or above.")
