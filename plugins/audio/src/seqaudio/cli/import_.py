"""`seqaudio import`."""

from __future__ import annotations

from seqaudio.configs.checkpoints import ImportConfig


def import_checkpoint(config: ImportConfig) -> int:
    """Bring a published SaShiMi or DiffWave-SaShiMi checkpoint into SeqSuite's format."""
    from seqaudio.checkpoints import import_checkpoint
    from seqsuite.models.transfer import print_transfer

    result = import_checkpoint(config.source, config.out, overwrite=config.overwrite, **config.reading())
    print_transfer(result, program="seqaudio", json=config.json)
    return 0
