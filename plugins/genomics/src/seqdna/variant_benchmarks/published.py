"""Published figures, for the table beside a new run's; constants, nothing here was measured by this project.

DART-Eval task 5, zero-shot embeddings: the outputs of Zero_Shot_Final.ipynb in its repository (kundajelab/DART-Eval,
src/dnalm_bench/task_2_5_single/experiments/task_5_variant_effect_prediction), which also prints the numbers of
variants. TraitGym: the official result that TraitGym.ipynb in its repository (songlab-cal/TraitGym) reads and prints.
Of BEND no table was found in a source that could be read.
"""

from __future__ import annotations

from typing import NamedTuple

_COSINE = "cosine distance of mean embeddings"


class PublishedRow(NamedTuple):
    """One figure of one model: the score and metric as in `suites`, and the standard error where one is given."""

    model: str
    score: str
    metric: str
    value: float
    standard_error: float | None = None


PUBLISHED: dict[str, tuple[PublishedRow, ...]] = {
    "mendelian_traits_matched_9": (
        PublishedRow(
            "GPN-Promoter",
            "Embeddings.plus.euclidean_distance",
            "AUPRC_by_chrom_weighted_average",
            0.346963,
            0.056745,
        ),
    ),
    "Afr.CaQTLS": (
        PublishedRow("Nucleotide Transformer v2 500M", _COSINE, "AUROC", 0.518533),
        PublishedRow("HyenaDNA large 1M", _COSINE, "AUROC", 0.515425),
        PublishedRow("DNABERT-2", _COSINE, "AUROC", 0.479869),
        PublishedRow("GENA-LM large", _COSINE, "AUROC", 0.508138),
        PublishedRow("Nucleotide Transformer v2 500M", _COSINE, "AUPRC", 0.0863223),
        PublishedRow("HyenaDNA large 1M", _COSINE, "AUPRC", 0.0850768),
        PublishedRow("DNABERT-2", _COSINE, "AUPRC", 0.0768987),
        PublishedRow("GENA-LM large", _COSINE, "AUPRC", 0.0850954),
    ),
    "yoruban.dsqtls.benchmarking": (
        PublishedRow("Nucleotide Transformer v2 500M", _COSINE, "AUROC", 0.61264),
        PublishedRow("HyenaDNA large 1M", _COSINE, "AUROC", 0.51525),
        PublishedRow("DNABERT-2", _COSINE, "AUROC", 0.504702),
        PublishedRow("GENA-LM large", _COSINE, "AUROC", 0.501009),
        PublishedRow("Nucleotide Transformer v2 500M", _COSINE, "AUPRC", 0.0303582),
        PublishedRow("HyenaDNA large 1M", _COSINE, "AUPRC", 0.0207789),
        PublishedRow("DNABERT-2", _COSINE, "AUPRC", 0.0205324),
        PublishedRow("GENA-LM large", _COSINE, "AUPRC", 0.0215699),
    ),
}
"""By the name of the set, as a whole."""

COUNTS = {"Afr.CaQTLS": (6821, 77999), "yoruban.dsqtls.benchmarking": (560, 26813)}
"""Positives and controls of the published sets."""
