"""Options of `seqdna saliency` (torch-free); the docstring is the command line's help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from seqsuite.errors import UserError


@dataclass(frozen=True)
class SaliencyConfig:
    """Options of `seqdna saliency`.

    Args:
        run: A run folder or a model folder: a language model or a classifier.
        fasta: A FASTA, .2bit or GenBank file, or the name of a shipped genome.
        region: Which part of it, 1-based with both ends as in samtools: chr1:1001-1200. Needed where the file has
            several records.
        sequence: Explain this sequence, in place of --fasta.
        method: ism: replace every base by every other; gradient: gradient times input.
        flank: Bases on both sides of the region that the model sees and that are not scored.
        target: Class of a classifier; by default the one it predicts.
        position: Gradient of a language model: explain its prediction of the base at this 1-based position; by
            default the middle of the region.
        mask_stride: Mutagenesis with a masked model: mask every k-th base together; by default one at a time.
        strands: model: what the model reads; both: the mean over the sequence and its reverse complement.
        motifs: Mark the motifs of this JASPAR file (.jaspar, plain or gzip).
        motif: Only motifs of this name or matrix id; wildcards: 'CTCF*'.
        taxon: Only motifs of this group (vertebrates, plants, ...), in files whose first lines have it as third word.
        p_value: Mark a site that scores as a random one does with at most this probability.
        out: Scores to write, a TSV file; motif hits go beside it to NAME.hits.tsv.
        figure: Figure to write: .png, .svg or .pdf; by default the name of --out with .png.
        max_length: Refuse a longer region, flanks included.
        batch_tokens: Bases to run at once.
        device: Where to run: cpu, cuda, ...
        overwrite: Replace the output files.
        json: Print JSON instead of text.
    """

    run: str
    fasta: str | None = None
    region: str | None = None
    sequence: str | None = None
    method: Literal["ism", "gradient"] = "ism"
    flank: int = 0
    target: int | None = None
    position: int | None = None
    mask_stride: int | None = None
    strands: Literal["model", "both"] = "model"
    motifs: str | None = None
    motif: str = "*"
    taxon: str | None = None
    p_value: float = 1e-4
    out: str = "saliency.tsv"
    figure: str | None = None
    max_length: int = 10_000
    batch_tokens: int = 16384
    device: str = "cpu"
    overwrite: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        if (self.fasta is None) == (self.sequence is None):
            raise UserError("give either --fasta (with --region) or --sequence.")
        if self.region is not None and self.fasta is None:
            raise UserError("--region needs a --fasta.")
        if self.flank and self.fasta is None:
            raise UserError("--flank needs a --fasta: all of a --sequence is scored.")
        if self.motifs is None and (self.motif != "*" or self.taxon is not None):
            raise UserError("--motif and --taxon choose from a file of motifs; add --motifs FILE.")
        for name, least in (("flank", 0), ("batch_tokens", 1), ("max_length", 1), ("mask_stride", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise UserError(f"--{name} is {value}; it must be at least {least}.")
        if not 0 < self.p_value < 1:
            raise UserError(f"--p_value is {self.p_value}; it must be between 0 and 1.")
