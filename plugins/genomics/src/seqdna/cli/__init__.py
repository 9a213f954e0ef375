"""The program `seqdna`."""

from __future__ import annotations

from collections.abc import Sequence

from seqsuite.cli import run


def main(argv: Sequence[str] | None = None) -> int:
    """Run `seqdna` and return its exit code."""
    from seqdna.plugin import plugin

    return run(plugin, argv)
