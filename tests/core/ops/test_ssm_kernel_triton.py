"""The Triton kernels of the Vandermonde and Cauchy products in Triton's interpreter."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.importorskip("triton")

CASES = [
    "vandermonde, everything",
    "vandermonde, one",
    "vandermonde, tiles",
    "cauchy, everything",
    "cauchy, one",
    "cauchy, blocks",
    "cauchy, double",
    "kernel",
]
Distances = dict[str, dict[str, float]]


@pytest.mark.parametrize("case", CASES)
def test_interpreted_kernels_agree_with_the_float64_reference(
    interpreted: Callable[[str], Distances], case: str
) -> None:
    bound = 1e-11 if case == "cauchy, double" else 1e-5
    found = interpreted("ssm_kernel.py")[case]
    assert {name: value for name, value in found.items() if not value <= bound} == {}


def test_every_interpreted_case_is_checked(interpreted: Callable[[str], Distances]) -> None:
    assert sorted(interpreted("ssm_kernel.py")) == sorted(CASES)
