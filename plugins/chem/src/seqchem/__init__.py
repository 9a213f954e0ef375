"""Regression Transformers for molecules and proteins on SeqSuite.

import seqchem
rt = seqchem.load("runs/logs")              # loads torch; importing the package does not
rt.predict(["CCO", "c1ccccc1"]).table()
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqchem.api import TrainedRT, load

__version__ = "0.1.0"
__all__ = ["TrainedRT", "load"]

__getattr__, __dir__ = lazy_names(__name__, {"api": ["TrainedRT", "load"]})
