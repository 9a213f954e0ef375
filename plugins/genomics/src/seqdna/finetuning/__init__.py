"""Fine-tuning: labelled sequences, classification and regression, probes, baselines, benchmark suites.

    from seqdna.configs.finetune import FinetuneConfig
    from seqdna.finetuning import finetune
    result = finetune(FinetuneConfig(data="sites.csv", model="runs/mine", out="runs/sites"))

The names load torch on first use; importing the package does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqdna.finetuning.benchmark import BenchmarkResult
    from seqdna.finetuning.predict import Predictions
    from seqdna.finetuning.results import FinetuneResult
    from seqdna.finetuning.run import finetune

__all__ = ["BenchmarkResult", "FinetuneResult", "Predictions", "finetune"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "benchmark": ["BenchmarkResult"],
        "predict": ["Predictions"],
        "results": ["FinetuneResult"],
        "run": ["finetune"],
    },
)
