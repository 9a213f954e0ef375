"""From a genome to a pretrained model, measured: what `seqdna pretrain` does, as a function.

    from seqdna.pretraining import pretrain
    from seqdna.configs import PretrainConfig
    result = pretrain(PretrainConfig(fasta="genome.fa", out="runs/mine"))
    result.bits_per_base, result.pooled

The run folder is the same as the command's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqdna.pretraining.result import PretrainResult, caption
    from seqdna.pretraining.run import pretrain

__all__ = ["PretrainResult", "caption", "pretrain"]

__getattr__, __dir__ = lazy_names(__name__, {"result": ["PretrainResult", "caption"], "run": ["pretrain"]})
