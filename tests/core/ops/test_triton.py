"""The Triton kernels without a GPU: their numbers in the interpreter, their compilation for sm_90 offline.

Every operator's own numbers are in test_<operator>_triton.py; here are those of two, and the compilation of all.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.importorskip("triton")

from seqsuite.ops._kernels import KernelExample, examples, resources

Distances = dict[str, dict[str, float]]
CASES = {
    "selective_scan.py": [
        "everything",
        "everything, deterministic",
        "grouped reverse packed",
        "constant padded",
        "constant B reverse padded",
        "bare",
        "everything, bfloat16",
        "grouped reverse packed, bfloat16",
    ],
    "causal_conv1d.py": [
        "everything",
        "reverse packed",
        "padded",
        "short",
        "everything, bfloat16",
        "reverse packed, bfloat16",
    ],
}


@pytest.mark.parametrize(("program", "case"), [(program, case) for program in CASES for case in CASES[program]])
def test_interpreted_kernels_agree_with_the_float64_reference(
    interpreted: Callable[[str], Distances], program: str, case: str
) -> None:
    found = interpreted(program)
    assert sorted(found) == sorted(CASES[program])
    bound = 1e-2 if case.endswith("bfloat16") else 1e-5
    assert {name: value for name, value in found[case].items() if not value <= bound} == {}


@pytest.mark.parametrize(
    ("operator", "example"),
    [pytest.param(*pair, id=f"{pair[0]}-{pair[1].kernel}-{pair[1].label}") for pair in examples()],
)
def test_kernels_compile_for_sm90_without_spills(operator: str, example: KernelExample) -> None:
    used = resources(operator, example)
    assert used.spilled == 0
    assert used.registers <= example.registers
