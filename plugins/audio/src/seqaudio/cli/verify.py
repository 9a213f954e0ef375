"""`seqaudio verify`."""

from __future__ import annotations

import sys

from seqaudio.configs.checkpoints import VerifyConfig


def verify(config: VerifyConfig) -> int:
    """Load a checkpoint, run a fixed input and print what it is; exit code 1 if it breaks a law of its model."""
    from seqaudio.checkpoints import verify_checkpoint
    from seqsuite.cli.output import print_json, print_table

    result = verify_checkpoint(config.checkpoint, length=config.length, **config.reading())
    for note in result.notes:
        print(f"seqaudio: {note}", file=sys.stderr)
    if config.json:
        print_json(result.to_dict())
    else:
        rows = result.table()
        print_table(tuple(rows[0]), [tuple(row.values()) for row in rows], title=result.source)
    return 0 if result.passed else 1
