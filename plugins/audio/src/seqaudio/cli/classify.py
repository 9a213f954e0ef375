"""`seqaudio classify`."""

from __future__ import annotations

import sys

from seqaudio.configs.classify import ClassifyConfig


def classify(config: ClassifyConfig) -> int:
    """Train a classifier of short clips and measure it beside simple models."""
    from seqaudio.classification import classify as run
    from seqsuite.cli.output import print_json, print_rows

    result = run(config)
    if result is None:
        return 0
    for _, why in result.skipped:
        print(f"skipped: {why}", file=sys.stderr)
    if config.json:
        print_json(result.to_dict())
        return 0
    rows = result.table()
    print_rows(rows, title="\nTest clips")
    if len(result.runs) > 1:
        runs = result.run_table()
        print_rows(runs, title="\nAccuracy of each run")
    print(f"\n{result.seconds:.0f} seconds in all.")
    print(f"report: {result.folder / 'report.html'} (open it in a browser)")
    print(f"model:  {result.folder / 'model'}")
    print("\nTry next:")
    print(f"  seqaudio predict {result.folder} your_clips --out predictions.csv")
    return 0
