"""`seqaudio restore`."""

from __future__ import annotations

import sys

from seqaudio.configs.restore import RestoreConfig


def restore(config: RestoreConfig) -> int:
    """Restore degraded audio with a trained model."""
    from seqaudio.restoration import restore_files
    from seqsuite.cli.output import print_json, print_rows
    from seqsuite.errors import UserError

    result = restore_files(config)
    if not result.files:
        raise UserError(f"{config.input}: none of {len(result.skipped)} files could be restored")
    for path, why in result.skipped:
        print(f"skipped {path}: {why}", file=sys.stderr)
    if config.json:
        print_json(result.to_dict())
        return 0
    rows = result.table()
    title = f"Before and after, {result.degradation}" if result.degradation else None
    print_rows(rows, title=title)
    for item in result.files:
        if item.clipped:
            print(f"{item.out}: {item.clipped:,} samples were beyond full scale and are cut; see --sample_format float")
    speed = result.audio_seconds / result.seconds
    print(f"wrote {len(result.files)} files to {config.out}, {speed:.1f} times as fast as they play")
    return 0
