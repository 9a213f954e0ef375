"""The recurrent cells' Triton kernels without a GPU: their numbers in the interpreter.

Their compilation for sm_90 is tested with that of all others, in test_triton.py.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.importorskip("triton")

CELLS = ("lstm", "gru", "slstm")
CASES = ("everything", "reverse packed", "padded", "bare", "bfloat16")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("cell", CELLS)
def test_interpreted_kernels_agree_with_the_float64_reference(
    interpreted: Callable[[str], dict[str, dict[str, float]]], cell: str, case: str
) -> None:
    found = interpreted("rnn_scan.py")
    assert sorted(found) == sorted(f"{cell}, {case}" for cell in CELLS for case in CASES)
    limit = 1e-2 if case == "bfloat16" else 1e-5
    assert {name: value for name, value in found[f"{cell}, {case}"].items() if not value <= limit} == {}
