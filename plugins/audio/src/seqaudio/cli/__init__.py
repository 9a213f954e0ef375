"""The program `seqaudio`."""

from __future__ import annotations

from collections.abc import Sequence

from seqsuite.cli import run


def main(argv: Sequence[str] | None = None) -> int:
    """Run `seqaudio` and return its exit code."""
    from seqaudio.plugin import plugin

    return run(plugin, argv)
