"""`seqdna import`."""

from __future__ import annotations

from seqdna.configs.checkpoints import ImportConfig


def import_checkpoint(config: ImportConfig) -> int:
    """Bring a published Caduceus, HyenaDNA or Mamba checkpoint into SeqSuite's format."""
    from seqdna.checkpoints import import_checkpoint
    from seqsuite.models.transfer import print_transfer

    result = import_checkpoint(
        config.source,
        config.out,
        overwrite=config.overwrite,
        source_config=config.source_config,
        tokenizer=config.tokenizer,
        swap_halves=config.swap_halves,
        padding=config.padding,
        l_max=config.l_max,
        shift=config.shift,
        lower=config.lower,
        revision=config.revision,
    )
    print_transfer(result, program="seqdna", json=config.json)
    return 0
