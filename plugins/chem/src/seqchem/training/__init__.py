"""Training Regression Transformers on files of sequences.

from seqchem.configs.finetune import RTFinetuneConfig
from seqchem.training import finetune
result = finetune(RTFinetuneConfig("freesolv.csv.gz", properties=("expt",), out="runs/freesolv"))
result.table()
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqchem.training.results import PartScores, RTFinetuneResult, RTPretrainResult
    from seqchem.training.run import finetune, pretrain

__all__ = ["PartScores", "RTFinetuneResult", "RTPretrainResult", "finetune", "pretrain"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {"results": ["PartScores", "RTFinetuneResult", "RTPretrainResult"], "run": ["finetune", "pretrain"]},
)
