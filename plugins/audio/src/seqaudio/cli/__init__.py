"""The program `seqaudio`."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run `seqaudio` and return its exit code."""
    try:
        # Here, so that Ctrl-C while they load is one line as well.
        from seqaudio.plugin import plugin
        from seqsuite.cli import run
    except KeyboardInterrupt:
        print("seqaudio: interrupted", file=sys.stderr)
        return 130
    return run(plugin, argv)
