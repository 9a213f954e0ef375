"""The delta rule's Triton kernels without a GPU: their numbers in Triton's interpreter, what they refuse."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from seqsuite.errors import UserError
from seqsuite.ops._delta_rule.op import _OPERATOR, delta_rule

pytest.importorskip("triton")

CASES = [
    "everything",
    "plain",
    "key decay reverse packed",
    "key decay padded",
    "own removal",
    "own removal reverse packed",
    "own removal without decay",
    "values in blocks",
    "one step",
    "everything, bfloat16",
]


@pytest.fixture(scope="module")
def found(interpreted: Callable[[str], dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    return interpreted("delta_rule.py")


@pytest.mark.parametrize("case", CASES)
def test_interpreted_kernels_agree_with_the_float64_reference(found: dict[str, dict[str, float]], case: str) -> None:
    limit = 1e-2 if "bfloat16" in case else 1e-5
    assert {name: value for name, value in found[case].items() if not value <= limit} == {}


def test_every_interpreted_case_is_checked(found: dict[str, dict[str, float]]) -> None:
    assert sorted(found) == sorted(CASES)


def test_what_the_kernels_cannot_serve_is_said() -> None:
    assert "exceed the kernels' 256" in str(_OPERATOR.limit({"key": 300, "value": 4, "chunk": 16}))
    assert "chunks have 16 steps, not 32" in str(_OPERATOR.limit({"key": 64, "value": 4, "chunk": 32}))
    assert _OPERATOR.limit({"key": 256, "value": 4, "chunk": 16}) is None
    x = torch.zeros(1, 2, 1, 2)
    with pytest.raises(UserError, match="delta_rule: backend 'triton' cannot serve this call"):
        delta_rule(x, x, x, None, backend="triton")
