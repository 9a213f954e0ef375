"""The shared command frame, and the program `seqsuite` itself."""

from __future__ import annotations

from collections.abc import Sequence

from seqsuite.cli.frame import run

__all__ = ["main", "run"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run `seqsuite` and return its exit code."""
    from seqsuite.plugin import plugin

    return run(plugin, argv)
