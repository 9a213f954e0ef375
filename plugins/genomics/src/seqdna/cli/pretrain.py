"""`seqdna pretrain`."""

from __future__ import annotations

from seqdna.configs import PretrainConfig


def pretrain(config: PretrainConfig) -> int:
    """Pretrain a masked language model on a genome and measure it beside count models."""
    from seqdna.pretraining import pretrain as run

    run(config)
    return 0
