"""`seqchem import`."""

from __future__ import annotations

from seqchem.configs.import_ import ImportConfig


def import_checkpoint(config: ImportConfig) -> int:
    """Bring a published Regression Transformer into SeqSuite's format."""
    from seqchem.convert import import_checkpoint
    from seqsuite.models.transfer import print_transfer

    result = import_checkpoint(
        config.source,
        config.out,
        gelu=config.gelu,
        language=config.language,
        encoding=config.encoding,
        ranges=config.ranges,
        decimals=config.decimals,
        overwrite=config.overwrite,
    )
    print_transfer(result, program="seqchem", json=config.json)
    return 0
