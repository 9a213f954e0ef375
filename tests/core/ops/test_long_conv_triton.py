"""The long convolution's kernels in Triton's interpreter, and the two-stage transform's sizes and tables."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from seqsuite.ops._long_conv.monarch import LONGEST, stages, tables

pytest.importorskip("triton")

CASES = [
    "everything",
    "reverse recomputed",
    "longer than one tile",
    "as long as the transform",
    "padded",
    "packed",
    "a few taps",
    "bf16",
    "shapes foretold",
]


@pytest.mark.parametrize("case", CASES)
def test_interpreted_kernels_agree_with_the_float64_reference(
    interpreted: Callable[[str], dict[str, dict[str, float]]], case: str
) -> None:
    found = interpreted("long_conv.py")
    assert sorted(found) == sorted(CASES)
    tolerance = 1e-2 if case == "bf16" else 1e-5
    assert {name: value for name, value in found[case].items() if not value <= tolerance} == {}


def test_sizes_are_the_shortest_that_serve() -> None:
    for least in (1, 17, 255, 256, 257, 512, 513, 1025, 4096, 4097, 8193, LONGEST):
        sizes = stages(least)
        assert sizes is not None
        first, second = sizes
        assert first in (second, 2 * second)
        assert 16 <= second <= first <= 128
        assert first * second >= least
        assert first * second == 256 or first * second < 2 * least
    assert stages(LONGEST + 1) is None


@pytest.mark.parametrize("sizes", [(16, 16), (32, 16), (128, 128)])
def test_tables_make_the_transform(sizes: tuple[int, int]) -> None:
    """Two stages of matrix products with the tables are the Fourier transform, frequencies in the order stated."""
    first, second = sizes
    F1, F2, twiddle = (torch.complex(*table.double()) for table in tables(first, second, torch.device("cpu")))
    x = torch.randn(first * second, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    X = ((F1 @ x.view(first, second).to(F1.dtype)) * twiddle) @ F2
    expected = torch.fft.fft(x).view(second, first).T  # k = k1 + N1 k2
    assert float((X - expected).norm() / expected.norm()) < 1e-7
