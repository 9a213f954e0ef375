"""The program `seqrl`."""

from __future__ import annotations

from seqsuite.cli import program

main = program("seqrl")
