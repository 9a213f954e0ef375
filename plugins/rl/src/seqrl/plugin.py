"""What this package offers to the suite: a table of names, free of torch."""

from __future__ import annotations

from seqrl import __version__
from seqsuite.plugins import Plugin

plugin = Plugin(
    name="seqrl",
    version=__version__,
    summary="Sequence models for offline reinforcement learning on SeqSuite (no models or commands yet).",
)
