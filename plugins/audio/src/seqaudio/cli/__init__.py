"""The program `seqaudio`."""

from __future__ import annotations

from seqsuite.cli import program

main = program("seqaudio")
