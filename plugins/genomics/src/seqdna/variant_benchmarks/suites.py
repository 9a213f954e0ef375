"""What each suite scores and reports; facts of its public code, see docs/variant_benchmarks.md for the files.

All scores are oriented: larger means "more likely a positive". DART-Eval judges alleles by the likelihood of the whole
window; of a masked model that takes a forward pass for every base, so that the changed base alone may stand in for it,
under a name that says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class SuiteScore:
    """One number a variant.

    Attributes:
        name: The suite's name of it.
        kind: "likelihood" (log p(alternative) - log p(reference)) or "embedding".
        measure: Of `Scorer` ("score"), `WindowScorer` ("window_score") or `DistanceScorer`.
        turn: "minus" negates it, "abs" takes its magnitude.
    """

    name: str
    kind: Literal["likelihood", "embedding"]
    measure: str
    turn: Literal["plus", "minus", "abs"]


@dataclass(frozen=True)
class VariantSuite:
    """One suite.

    Attributes:
        name: Key.
        title: Its name.
        metrics: What it reports, its main metric first.
        scores: What it scores by.
        both_strands: Whether a score is the mean over both strands, or that of the given strand.
        context: Bases around a variant in its own runs, in words.
        assembly: The genome its coordinates are of.
    """

    name: str
    title: str
    metrics: tuple[str, ...]
    scores: tuple[SuiteScore, ...]
    both_strands: bool
    context: str
    assembly: str


TRAITGYM = VariantSuite(
    "traitgym",
    "TraitGym",
    ("AUPRC_by_chrom_weighted_average", "AUPRC"),
    (
        SuiteScore("LLR.minus", "likelihood", "score", "minus"),
        SuiteScore("absLLR.plus", "likelihood", "score", "abs"),
        SuiteScore("Embeddings.plus.cosine_distance", "embedding", "cosine_distance", "plus"),
        SuiteScore("Embeddings.plus.euclidean_distance", "embedding", "euclidean_distance", "plus"),
        SuiteScore("Embeddings.minus.inner_product", "embedding", "inner_product", "minus"),
    ),
    both_strands=True,
    context="each model's own",
    assembly="GRCh38",
)
BEND = VariantSuite(
    "bend",
    "BEND",
    ("AUROC",),
    (SuiteScore("cosine distance at the variant", "embedding", "cosine_at_variant", "plus"),),
    both_strands=False,
    context="256 on either side, or 512 to the left for one-sided models",
    assembly="GRCh38",
)
DART_EVAL = VariantSuite(
    "dart_eval",
    "DART-Eval task 5",
    ("AUROC", "AUPRC"),
    (
        SuiteScore("|LLR| of the window", "likelihood", "window_score", "abs"),
        SuiteScore("|LLR| of the base (not the suite's)", "likelihood", "score", "abs"),
        SuiteScore("cosine distance of mean embeddings", "embedding", "cosine_of_means", "plus"),
    ),
    both_strands=False,
    context="2114",
    assembly="GRCh38 (caQTLs) or hg19 (dsQTLs)",
)
SUITES = (TRAITGYM, BEND, DART_EVAL)
