"""`seqrl export`."""

from __future__ import annotations

from seqrl.configs.export import ExportConfig


def export(config: ExportConfig) -> int:
    """Write a Decision Transformer in the layout of transformers."""
    from seqrl.convert_files import export_checkpoint
    from seqsuite.models.transfer import print_transfer

    result = export_checkpoint(config.run, config.out, overwrite=config.overwrite)
    print_transfer(result, program="seqrl", json=config.json)
    return 0
