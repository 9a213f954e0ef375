"""Options of runs of a few steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seqchem.configs.finetune import RTFinetuneConfig
from seqchem.configs.pretrain import RTPretrainConfig

TINY: dict[str, Any] = {"d_model": 16, "n_layer": 1, "n_head": 2, "d_inner": 32}


@pytest.fixture
def options(molecule_table: Path, tmp_path: Path) -> Callable[..., RTFinetuneConfig]:
    """Make the options of a fine-tuning of a few steps."""

    def made(name: str = "run", **more: Any) -> RTFinetuneConfig:
        plain: dict[str, Any] = {"source": str(molecule_table), "properties": ("weight", "other"), "model": "rt_debug"}
        plain |= {"model_options": TINY, "steps": 6, "alternate": 2, "batch_size": 8, "log_every": 1, "threads": 1}
        plain |= {"checkpoint_every": 2, "validate_every": 3, "accelerator": "cpu", "out": str(tmp_path / name)}
        return RTFinetuneConfig(**{**plain, **more})

    return made


@pytest.fixture
def pretraining(molecule_table: Path, tmp_path: Path) -> Callable[..., RTPretrainConfig]:
    """Make the options of a pretraining of a few steps."""

    def made(name: str = "pretrained", **more: Any) -> RTPretrainConfig:
        plain: dict[str, Any] = {"source": str(molecule_table), "model": "rt_debug", "model_options": TINY, "steps": 4}
        plain |= {"batch_size": 8, "log_every": 1, "checkpoint_every": 2, "validate_every": 2, "threads": 1}
        plain |= {"accelerator": "cpu", "out": str(tmp_path / name)}
        return RTPretrainConfig(**{**plain, **more})

    return made
