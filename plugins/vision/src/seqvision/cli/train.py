"""`seqvision train`."""

from __future__ import annotations

import sys

from seqvision.configs.train import VisionTrainConfig


def train(config: VisionTrainConfig) -> int:
    """Train a classifier of images or clips and measure it on held-out ones."""
    from seqsuite.cli.output import print_json, print_rows
    from seqvision.evaluation import short
    from seqvision.training import train as run

    result = run(config)
    for _, why in result.data.skipped:
        print(f"skipped: {why}", file=sys.stderr)
    if config.json:
        print_json(result.to_dict())
        return 0
    folder = result.fit.folder
    if result.fit.reason != "finished":
        print(f"stopped at step {result.fit.steps}; go on with --resume")
        return 0
    if result.test is not None:
        print_rows(
            [{"what": name, "value": short(value)} for name, value in result.test.table().items()], title="\nTest"
        )
    print(f"\nreport: {folder / 'report.html'} (open it in a browser)")
    print(f"model:  {folder / 'model'}")
    print("\nTry next:")
    print(f"  seqvision evaluate {folder}")
    print(f"  seqvision predict {folder} your_{result.data.unit}s --figure predictions.png")
    return 0
