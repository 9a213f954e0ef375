"""`seqvision import`."""

from __future__ import annotations

from seqvision.configs.import_ import ImportConfig


def import_checkpoint(config: ImportConfig) -> int:
    """Bring a model of timm's, or published weights, into SeqSuite's format."""
    from seqsuite.models.transfer import print_transfer
    from seqvision.training.checkpoints import import_checkpoint as run

    result = run(
        config.source,
        config.out,
        model=config.model,
        model_options=config.model_options,
        img_size=config.img_size,
        classes=config.classes,
        overwrite=config.overwrite,
    )
    print_transfer(result, program="seqvision", json=config.json)
    return 0
