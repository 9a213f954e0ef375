"""The program `seqrl`."""

from __future__ import annotations

from collections.abc import Sequence

from seqsuite.cli import run


def main(argv: Sequence[str] | None = None) -> int:
    """Run `seqrl` and return its exit code."""
    from seqrl.plugin import plugin

    return run(plugin, argv)
