"""The program `seqchem`."""

from __future__ import annotations

from collections.abc import Sequence

from seqsuite.cli import run


def main(argv: Sequence[str] | None = None) -> int:
    """Run `seqchem` and return its exit code."""
    from seqchem.plugin import plugin

    return run(plugin, argv)
