"""What this package offers to the suite: a table of names, free of torch."""

from __future__ import annotations

from seqaudio import __version__
from seqsuite.plugins import Plugin

plugin = Plugin(
    name="seqaudio",
    version=__version__,
    summary="Raw audio models on SeqSuite (no models or commands yet).",
)
