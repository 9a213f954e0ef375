"""The shared command frame, and the program `seqsuite` itself.

    main = program("seqtext")   # the commands of seqtext.plugin

`run` serves a plugin that is no package.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqsuite.cli.frame import run

__all__ = ["main", "program", "run"]
__getattr__, __dir__ = lazy_names(__name__, {"frame": ["run"]})


def program(package: str) -> Callable[[Sequence[str] | None], int]:
    """Return the `main` of a program, which runs one of its commands and returns the exit code.

    Args:
        package: Its package; ``<package>.plugin`` holds the `Plugin` whose commands it offers.
    """

    def main(argv: Sequence[str] | None = None) -> int:
        """Run one command and return its exit code."""
        try:  # Ctrl-C while the modules load is one line as well
            plugin = import_module(f"{package}.plugin").plugin
            from seqsuite.cli.frame import run
        except KeyboardInterrupt:
            print(f"{package}: interrupted", file=sys.stderr)
            return 130
        return run(plugin, argv)

    return main


main = program("seqsuite")
