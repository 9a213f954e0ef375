"""Genome language models on SeqSuite.

    import seqdna
    run = seqdna.load("runs/demo")
    run.embed(["ACGTACGT"])

`load` imports torch on first use; importing the package does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqdna.api import load

__version__ = "0.1.0"
__all__ = ["__version__", "load"]

__getattr__, __dir__ = lazy_names(__name__, {"api": ["load"]})
