"""`seqchem export`."""

from __future__ import annotations

from seqchem.configs.export import ExportConfig


def export(config: ExportConfig) -> int:
    """Write a Regression Transformer in the layout of its authors and of transformers."""
    from seqchem.convert_export import export_checkpoint
    from seqsuite.models.transfer import print_transfer

    result = export_checkpoint(config.run, config.out, weights=config.weights, overwrite=config.overwrite)
    print_transfer(result, program="seqchem", json=config.json)
    return 0
