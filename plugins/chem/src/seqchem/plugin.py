"""What this package offers to the suite: a table of names, free of torch."""

from __future__ import annotations

from seqchem import __version__
from seqsuite.plugins import Plugin

plugin = Plugin(
    name="seqchem",
    version=__version__,
    summary="Regression Transformers for molecules on SeqSuite (no models or commands yet).",
)
