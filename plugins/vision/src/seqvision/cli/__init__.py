"""The program `seqvision`."""

from __future__ import annotations

from collections.abc import Sequence

from seqsuite.cli import run


def main(argv: Sequence[str] | None = None) -> int:
    """Run `seqvision` and return its exit code."""
    from seqvision.plugin import plugin

    return run(plugin, argv)
