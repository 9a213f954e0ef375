"""The program `seqdna`."""

from __future__ import annotations

from seqsuite.cli import program

main = program("seqdna")
