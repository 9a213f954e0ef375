"""Labelled variant sets of TraitGym, BEND and DART-Eval, scored zero-shot and measured as each suite defines it.

    from seqdna.variant_benchmarks import benchmark_variants
    result = benchmark_variants(seqdna.load("runs/demo"), "TraitGym/", "GRCh38.fa")

`readers` knows the layouts, `distances` the embedding scores, `metrics` the metrics; importing the package loads
no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqdna.variant_benchmarks.readers import LabelledVariants, VariantTask, recognise
    from seqdna.variant_benchmarks.results import ScoreRow, TaskResult, VariantBenchmarkResult
    from seqdna.variant_benchmarks.run import benchmark_variants

__all__ = [
    "LabelledVariants",
    "ScoreRow",
    "TaskResult",
    "VariantBenchmarkResult",
    "VariantTask",
    "benchmark_variants",
    "recognise",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "readers": ["LabelledVariants", "VariantTask", "recognise"],
        "results": ["ScoreRow", "TaskResult", "VariantBenchmarkResult"],
        "run": ["benchmark_variants"],
    },
)
