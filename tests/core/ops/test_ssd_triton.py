"""The Triton kernels of gated linear attention in the interpreter; their compilation is tested with all others."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("triton")

CASES = [
    *(f"scalar{kind}" for kind in ("", " reverse packed", " padded", " underflow", " wide", " bare", ", bfloat16")),
    *(f"vector{kind}" for kind in ("", " reverse packed", " padded", " underflow", " wide", ", bfloat16")),
]


@pytest.mark.parametrize("case", CASES)
def test_interpreted_kernels_agree_with_the_float64_reference(interpreted: Any, case: str) -> None:
    limit = 1e-2 if "bfloat16" in case else 1e-5
    assert {name: value for name, value in interpreted("ssd.py")[case].items() if not value <= limit} == {}


def test_every_interpreted_case_is_checked(interpreted: Any) -> None:
    assert sorted(interpreted("ssd.py")) == sorted(CASES)
