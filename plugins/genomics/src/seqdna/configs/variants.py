"""Options of `seqdna score-variants` (torch-free); the docstring is the command line's help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from seqsuite.errors import UserError


@dataclass(frozen=True)
class ScoreVariantsConfig:
    """Options of `seqdna score-variants`.

    Args:
        run: A run folder or a model folder.
        fasta: The FASTA that the variants were called on (plain, gzip or bgzip), or 'ecoli'.
        vcf: Variants to score: a VCF file (plain, gzip or bgzip).
        all_snvs: In place of a VCF, score every single-nucleotide variant of the FASTA.
        out: For a VCF: .vcf, .vcf.gz, .tsv or .tsv.gz. With --all_snvs: .npy, .tsv, .tsv.gz or .parquet.
        method: auto takes the likelihood score of the model's kind; embedding is for any model.
        window: Bases that the model sees around a variant; the training length of the run if not given.
        reduce: Sum of the log probabilities of the judged bases, or their mean.
        span_flank: Bases judged on either side of an insertion or deletion (masked and leave-one-out models).
        allow_mismatch: Score records whose REF differs from the FASTA too, flagged.
        unsorted: Accept a VCF that is not in order.
        info_prefix: Of the INFO keys in a VCF; the FILTER codes have it in lower case.
        overlap: With --all_snvs, bases that neighbouring windows share; half a window if not given.
        force: With --all_snvs, let a masked model score a long genome, one forward pass a base.
        shard: Share of the work, such as 2/4; the last share to finish joins. torchrun's RANK and WORLD_SIZE if
            not given.
        device: auto, cpu, cuda, or another name torch knows; with torchrun, cuda is the process's own.
        batch_tokens: Bases to run at once.
        block_records: Lines of the VCF in a block, which an interrupted run loses at most.
        overwrite: Replace the output file.
        json: Print JSON instead of a table.
    """

    run: str
    fasta: str
    vcf: str | None = None
    all_snvs: bool = False
    out: str = "scored.vcf"
    method: Literal["auto", "masked", "likelihood", "embedding", "leave_one_out"] = "auto"
    window: int | None = None
    reduce: Literal["sum", "mean"] = "sum"
    span_flank: int = 2
    allow_mismatch: bool = False
    unsorted: bool = False
    info_prefix: str = "SEQDNA"
    overlap: int | None = None
    force: bool = False
    shard: str | None = None
    device: str = "auto"
    batch_tokens: int = 16384
    block_records: int = 256
    overwrite: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        if self.all_snvs == (self.vcf is not None):
            raise UserError("give either --vcf FILE or --all_snvs.")
        if self.all_snvs and self.method == "embedding":
            raise UserError("--all_snvs scores by likelihood; --method embedding is for --vcf.")
        for name, least in (("batch_tokens", 1), ("block_records", 1), ("span_flank", 0)):
            if getattr(self, name) < least:
                raise UserError(f"--{name} is {getattr(self, name)}; it must be at least {least}.")
