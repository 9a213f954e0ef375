"""Scores of sequence variants: VCF and FASTA in, annotated VCF or table out; or every SNV of a genome.

from seqdna.variants import all_snvs, score_variants
scores = score_variants(seqdna.load("runs/demo"), "calls.vcf.gz", "genome.fa")

The work is in `run` (a VCF) and `all_snvs` (a whole genome); importing the package loads no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqdna.variants.all_snvs import AllSnvs, all_snvs
    from seqdna.variants.results import ScoreReport, VariantScores
    from seqdna.variants.run import annotate_vcf, score_variants, training_length

__all__ = [
    "AllSnvs",
    "ScoreReport",
    "VariantScores",
    "all_snvs",
    "annotate_vcf",
    "score_variants",
    "training_length",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "all_snvs": ["AllSnvs", "all_snvs"],
        "results": ["ScoreReport", "VariantScores"],
        "run": ["annotate_vcf", "score_variants", "training_length"],
    },
)
