"""Configs of the genome models, their named sizes, and the options of the verbs; nothing here imports torch."""

from __future__ import annotations

from seqdna.configs.embed import EmbedConfig
from seqdna.configs.hyenadna import HyenaDNAConfig
from seqdna.configs.models import COMPLEMENT, CaduceusConfig, GenomeConfig, LeaveOneOutConfig
from seqdna.configs.pretrain import PretrainConfig

__all__ = [
    "COMPLEMENT",
    "CaduceusConfig",
    "EmbedConfig",
    "GenomeConfig",
    "HyenaDNAConfig",
    "LeaveOneOutConfig",
    "PretrainConfig",
]
