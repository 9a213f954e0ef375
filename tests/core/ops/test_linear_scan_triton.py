"""The Triton kernels of the linear recurrence in Triton's interpreter, against the reference in float64."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.importorskip("triton")

CASES = [
    "real",
    "real reverse packed",
    "real constant",
    "real one chunk padded",
    "real one step",
    "complex",
    "complex reverse padded",
    "complex constant",
    "complex factors of real input",
    "bf16",
    "bf16 input of float32 factors",
]
Interpreted = Callable[[str], dict[str, dict[str, float]]]


@pytest.mark.parametrize("case", CASES)
def test_kernels_agree_with_the_reference(interpreted: Interpreted, case: str) -> None:
    found = interpreted("linear_scan.py")[case]
    assert {"output", "state", "a", "b"} <= set(found)
    # A state is float32 whatever the input; the rest of a bf16 case is rounded to bf16.
    limits = dict.fromkeys(found, 1e-2 if case.startswith("bf16") else 1e-5) | {"state": 1e-5}
    assert {name: value for name, value in found.items() if not value <= limits[name]} == {}


def test_every_case_is_checked(interpreted: Interpreted) -> None:
    assert sorted(interpreted("linear_scan.py")) == sorted(CASES)


def test_sequences_are_cut_only_where_rows_and_channels_leave_the_gpu_idle() -> None:
    from seqsuite.ops._linear_scan.triton import PROGRAMS, chunk_length

    assert chunk_length(PROGRAMS, 4096, 64) == 4096
    assert chunk_length(1, 100, 64) == 100
    assert chunk_length(1, 1_000_000, 64) == 492  # 2048 chunks, in whole groups of four steps
    assert chunk_length(8, 4096, 1024) == 256
