"""`seqdna export`."""

from __future__ import annotations

from seqdna.configs.checkpoints import ExportConfig


def export(config: ExportConfig) -> int:
    """Write a model in the published layout of its family, for the systems that read it."""
    from seqdna.checkpoints import export_checkpoint
    from seqsuite.models.transfer import print_transfer

    result = export_checkpoint(config.model, config.out, layout=config.layout, overwrite=config.overwrite)
    print_transfer(result, program="seqdna", json=config.json)
    return 0
