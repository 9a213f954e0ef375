"""Padding, packing and resets: padded is unpadded, packed is separate, in both directions."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch

from seqsuite.ops import Seq, causal_conv1d, selective_scan

LENGTHS = [5, 9, 1, 0]
TOTAL = 9
WIDTH, STATE = 4, 3


def draw(batch: int, length: int) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(3)
    shapes = {"u": (batch, length, WIDTH), "delta": (batch, length, WIDTH), "z": (batch, length, WIDTH)}
    shapes |= {"B": (batch, length, STATE), "C": (batch, length, STATE)}
    return {name: torch.randn(*shape, generator=random, dtype=torch.float64) for name, shape in shapes.items()}


def apply(
    name: str, x: dict[str, torch.Tensor], state: torch.Tensor | None, **options: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run one of the operators on sequences `x` with fixed parameters."""
    random = torch.Generator().manual_seed(4)
    A = -torch.rand(WIDTH, STATE, generator=random, dtype=torch.float64)
    weight = torch.randn(WIDTH, 4, generator=random, dtype=torch.float64)
    bias = torch.randn(WIDTH, generator=random, dtype=torch.float64)
    if name == "conv":
        return causal_conv1d(
            x["u"], weight, bias, activation="silu", initial_state=state, return_final_state=True, **options
        )
    C = A if name == "scan, constant C" else x["C"]
    return selective_scan(
        x["u"],
        x["delta"],
        A,
        x["B"],
        C,
        D=bias,
        z=x["z"],
        delta_bias=bias,
        delta_softplus=name != "scan, plain step",
        initial_state=state,
        return_final_state=True,
        **options,
    )


def states(name: str, batch: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(5)
    return torch.randn(batch, WIDTH, 4 if name == "conv" else STATE, generator=random, dtype=torch.float64)


OPERATORS = pytest.mark.parametrize("name", ["scan", "scan, constant C", "scan, plain step", "conv"])
DIRECTIONS = pytest.mark.parametrize("reverse", [False, True])
BACKENDS = pytest.mark.parametrize("backend", ["portable", "reference"])


@OPERATORS
@DIRECTIONS
@BACKENDS
@pytest.mark.parametrize("with_state", [False, True])
@pytest.mark.parametrize("side", ["right", "left", "scattered"])
def test_padded_is_unpadded_whatever_lies_in_the_padding(
    name: str, reverse: bool, backend: str, with_state: bool, side: str
) -> None:
    x = draw(len(LENGTHS), TOTAL)
    if side == "scattered":
        order = torch.rand(len(LENGTHS), TOTAL, generator=torch.Generator().manual_seed(6)).argsort(1)
        mask = order < torch.tensor(LENGTHS)[:, None]
        seq = Seq.from_mask(mask)
    else:
        seq = Seq.from_lengths(LENGTHS, TOTAL, side=side)  # type: ignore[arg-type]
        mask = seq.valid
    assert mask is not None
    padded = {key: value.masked_fill(~mask[..., None], torch.nan).requires_grad_() for key, value in x.items()}
    state = states(name, len(LENGTHS)) if with_state else None
    y, last = apply(name, padded, state, reverse=reverse, seq=seq, backend=backend)
    for row, length in enumerate(LENGTHS):
        assert not y[row, ~mask[row]].any()
        start = None if state is None else state[row : row + 1]
        if length == 0:
            torch.testing.assert_close(last[row], torch.zeros_like(last[row]) if start is None else start[0])
            continue
        short = {key: value[row : row + 1, mask[row]] for key, value in x.items()}
        expected, expected_last = apply(name, short, start, reverse=reverse, backend=backend)
        torch.testing.assert_close(y[row, mask[row]], expected[0])
        torch.testing.assert_close(last[row], expected_last[0])
    (y.square().sum() + last.square().sum()).backward()
    for key, value in padded.items():
        if value.grad is not None:
            assert value.grad.isfinite().all(), key
            assert not value.grad[~mask].any(), key


@OPERATORS
@DIRECTIONS
@BACKENDS
def test_packed_is_separate(name: str, reverse: bool, backend: str) -> None:
    boundaries = [[0, 3, 4, 9], [0, 2, 6]]
    x = draw(2, TOTAL)
    seq = Seq.from_cu_seqlens(boundaries, TOTAL)
    y, last = apply(name, x, None, reverse=reverse, seq=seq, backend=backend)
    for row, cuts in enumerate(boundaries):
        ends = []
        for begin, end in pairwise(cuts):
            piece = {key: value[row : row + 1, begin:end] for key, value in x.items()}
            expected, end_state = apply(name, piece, None, reverse=reverse, backend=backend)
            torch.testing.assert_close(y[row, begin:end], expected[0])
            ends.append(end_state)
        torch.testing.assert_close(last[row], ends[0 if reverse else -1][0])
        assert not y[row, cuts[-1] :].any()


@OPERATORS
def test_a_continued_document_takes_the_entering_state_and_a_fresh_one_does_not(name: str) -> None:
    x, state = draw(1, TOTAL), states(name, 1)
    continued = torch.zeros(1, TOTAL, dtype=torch.bool)
    fresh = continued.clone()
    fresh[0, 0] = True
    with_state, _ = apply(name, x, state)
    without, _ = apply(name, x, None)
    torch.testing.assert_close(apply(name, x, state, seq=Seq.from_resets(continued))[0], with_state)
    torch.testing.assert_close(apply(name, x, state, seq=Seq.from_resets(fresh))[0], without)


def test_wrong_descriptions_are_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 4"):
        Seq.from_lengths([5], 4)
    with pytest.raises(ValueError, match="row 0 must rise"):
        Seq.from_cu_seqlens([[0, 3, 2]], 4)
    with pytest.raises(ValueError, match="must be \\(B, L\\)"):
        Seq.from_mask(torch.ones(4))
    with pytest.raises(ValueError, match="the input is \\(2, 9\\)"):
        apply("scan", draw(2, TOTAL), None, seq=Seq.from_lengths([3], TOTAL))
