"""Genome language models on SeqSuite.

import seqdna
run = seqdna.load("runs/demo")
run.embed(["ACGTACGT"])
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seqdna.api import load

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    if name == "load":
        return importlib.import_module("seqdna.api").load
    raise AttributeError(f"module 'seqdna' has no attribute {name!r}")
