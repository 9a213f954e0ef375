"""One test for every reference case."""

from __future__ import annotations

from pathlib import Path

from seqsuite.testing.parity import Case, check_case


def test_case_agrees_with_its_reference(case_folder: Path) -> None:
    check_case(Case(case_folder))
