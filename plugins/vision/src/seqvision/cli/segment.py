"""`seqvision segment`."""

from __future__ import annotations

from seqvision.configs.segment import SegmentConfig

_SHOWN = 20


def segment(config: SegmentConfig) -> int:
    """Give a class to every pixel of images with a trained model."""
    from seqsuite.cli.output import print_json, print_rows
    from seqvision.segmentation import segment as run

    result = run(config)
    if config.json:
        print_json(result.to_dict())
        return 0
    rows = result.table()
    print_rows(rows[:_SHOWN], title=f"\nthe first {_SHOWN} of {len(rows)} images" if len(rows) > _SHOWN else None)
    if result.scores is not None:
        print(f"\nmean IoU {result.scores.miou:.3f}, pixel accuracy {result.scores.accuracy:.3f}")
    print(f"\nmasks:   {result.out} (pixels are class numbers)")
    print(f"overlay: {result.out / 'overlay.png'}")
    return 0
