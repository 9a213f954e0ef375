"""What this package offers to the suite: a table of names, free of torch."""

from __future__ import annotations

from seqsuite.plugins import Plugin
from seqvision import __version__

plugin = Plugin(
    name="seqvision",
    version=__version__,
    summary="Image, video and series models on SeqSuite (no models or commands yet).",
)
