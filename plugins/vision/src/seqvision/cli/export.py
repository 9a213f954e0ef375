"""`seqvision export`."""

from __future__ import annotations

from seqvision.configs.export import ExportConfig


def export(config: ExportConfig) -> int:
    """Write a model in timm's own layout."""
    from seqsuite.models.transfer import print_transfer
    from seqvision.training.checkpoints import export_checkpoint

    result = export_checkpoint(config.model, config.out, overwrite=config.overwrite)
    print_transfer(result, program="seqvision", json=config.json)
    return 0
