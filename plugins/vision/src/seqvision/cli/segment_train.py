"""`seqvision segment-train`."""

from __future__ import annotations

from seqvision.configs.segment_train import SegmentTrainConfig


def segment_train(config: SegmentTrainConfig) -> int:
    """Train a model that gives a class to every pixel."""
    from seqsuite.cli.output import print_json, print_rows
    from seqvision.segmentation import segment_train as run

    result = run(config)
    if result is None:
        return 0
    if config.json:
        print_json(result.to_dict())
        return 0
    print_rows(result.table(), title=f"\n{result.counts['test']} test images of {result.source}")
    for note in result.notes:
        print(note)
    print(f"\nreport: {result.folder / 'report.html'} (open it in a browser)")
    print(f"model:  {result.folder / 'model'}")
    print(f"\nTry next:\n  seqvision segment {result.folder} your_images --out segmented")
    return 0
