"""`seqaudio restore-train`."""

from __future__ import annotations

import sys

from seqaudio.configs.restore import RestoreTrainConfig


def restore_train(config: RestoreTrainConfig) -> int:
    """Train a model that restores degraded audio."""
    from seqaudio.restoration import restore_train as run
    from seqsuite.cli.output import print_json, print_rows

    result = run(config)
    if result is None:
        return 0
    for path, why in result.skipped:
        print(f"skipped {path}: {why}", file=sys.stderr)
    if config.json:
        print_json(result.to_dict())
        return 0
    rows = result.table()
    title = f"\n{result.test_seconds:.0f} s of held-out audio, before and after restoring"
    print_rows(rows, title=title)
    print(f"\nreport: {result.folder / 'report.html'} (open it in a browser)")
    print(f"model:  {result.folder / 'model'}")
    print(f"\nTry next:\n  seqaudio restore your_files --model {result.folder} --out restored")
    return 0
