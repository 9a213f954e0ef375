"""`seqaudio export`."""

from __future__ import annotations

from seqaudio.configs.checkpoints import ExportConfig


def export(config: ExportConfig) -> int:
    """Write a model in the published layout of its family, for the systems that read it."""
    from seqaudio.checkpoints import export_checkpoint
    from seqsuite.models.transfer import print_transfer

    result = export_checkpoint(
        config.model,
        config.out,
        layout=config.layout,
        length=config.length,
        weights=config.weights,
        overwrite=config.overwrite,
    )
    print_transfer(result, program="seqaudio", json=config.json)
    return 0
