"""The short convolution against a scalar loop, its paths against each other, and its laws."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from seqsuite.ops import Seq, causal_conv1d


def draw(batch: int = 2, length: int = 9, width: int = 3, taps: int = 4, seed: int = 0) -> list[torch.Tensor]:
    """Input, weight, bias, state; float64."""
    random = torch.Generator().manual_seed(seed)
    shapes = [(batch, length, width), (width, taps), (width,), (batch, width, taps)]
    return [torch.randn(*shape, generator=random, dtype=torch.float64) for shape in shapes]


def test_reference_is_the_formula_written_with_scalars() -> None:
    x, weight, bias, state = draw()
    y, last = causal_conv1d(
        x, weight, bias, activation="silu", initial_state=state, return_final_state=True, backend="reference"
    )
    for b in range(2):
        for d in range(3):
            inputs = state[b, d].tolist() + x[b, :, d].tolist()
            for t in range(9):
                total = float(bias[d]) + sum(float(weight[d, k]) * inputs[t + 1 + k] for k in range(4))
                assert float(y[b, t, d]) == pytest.approx(total / (1 + math.exp(-total)), rel=1e-12)
            assert last[b, d].tolist() == inputs[-4:]


@pytest.mark.parametrize("backend", ["reference", "portable"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("activation", [None, "silu"])
def test_gradients_are_the_derivatives(backend: str, reverse: bool, activation: Any) -> None:
    seq = Seq.from_resets(torch.tensor([[False, False, True, False, False], [True, False, False, False, True]]))

    def conv(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, state: torch.Tensor) -> Any:
        return causal_conv1d(
            x,
            weight,
            bias,
            activation=activation,
            initial_state=state,
            return_final_state=True,
            reverse=reverse,
            seq=seq,
            backend=backend,
        )

    assert gradcheck(conv, [x.requires_grad_() for x in draw(length=5, taps=3)])


@given(
    st.tuples(st.integers(1, 4), st.integers(1, 12), st.integers(1, 3), st.integers(1, 5)),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, "silu"]),
    st.sampled_from(["none", "lengths", "mask", "resets"]),
    st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_paths_agree_for_any_flags(
    sizes: tuple[int, int, int, int],
    with_bias: bool,
    with_state: bool,
    reverse: bool,
    activation: Any,
    kind: str,
    seed: int,
) -> None:
    batch, length, _, _ = sizes
    x, weight, bias, state = (m.requires_grad_() for m in draw(*sizes, seed=seed))
    random = torch.rand(batch, length, generator=torch.Generator().manual_seed(seed))
    seq = {
        "none": lambda: None,
        "lengths": lambda: Seq.from_lengths((random[:, 0] * length).long(), length),
        "mask": lambda: Seq.from_mask(random < 0.7),
        "resets": lambda: Seq.from_resets(random < 0.3),
    }[kind]()
    leaves = [x, weight] + [bias] * with_bias + [state] * with_state

    def run(backend: str) -> list[torch.Tensor]:
        y, last = causal_conv1d(
            x,
            weight,
            bias if with_bias else None,
            activation=activation,
            initial_state=state if with_state else None,
            return_final_state=True,
            reverse=reverse,
            seq=seq,
            backend=backend,
        )
        return [y, last, *torch.autograd.grad(y.square().sum() + (last * state.detach()).sum(), leaves)]

    for mine, true in zip(run("portable"), run("reference"), strict=True):
        torch.testing.assert_close(mine, true, rtol=1e-10, atol=1e-11)


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("length", [1, 2, 7, 63, 130])
def test_portable_float32_against_reference_float64(length: int, relative_l2: Any) -> None:
    tensors = draw(2, length, 24)
    results = []
    for dtype, backend in ((torch.float32, "portable"), (torch.float64, "reference")):
        leaves = [x.to(dtype).requires_grad_() for x in tensors]
        y = causal_conv1d(*leaves[:3], activation="silu", initial_state=leaves[3], backend=backend)
        results.append([y, *torch.autograd.grad((y * torch.linspace(-1, 1, 24, dtype=dtype)).sum(), leaves)])
    for index, (mine, true) in enumerate(zip(*results, strict=True)):
        assert relative_l2(mine, true) <= (1e-6 if index == 0 else 5e-6)


@pytest.mark.parametrize("width", [16, 1, 5, 31, 118])
@pytest.mark.parametrize("length", [1, 2, 9, 70])
def test_reverse_is_flip_conv_flip_bit_for_bit(length: int, width: int) -> None:
    x, weight, bias, state = (m.float() for m in draw(length=length, width=width))
    options = {"activation": "silu", "initial_state": state, "return_final_state": True}
    y, last = causal_conv1d(x, weight, bias, reverse=True, **options)
    mirrored = causal_conv1d(x.flip(1), weight, bias, **options)
    assert torch.equal(y, mirrored[0].flip(1))
    assert torch.equal(last, mirrored[1])


@pytest.mark.parametrize("reverse", [False, True])
def test_chunks_with_carried_state_are_the_whole(reverse: bool) -> None:
    x, weight, bias, state = draw(length=12)
    whole, last = causal_conv1d(x, weight, bias, initial_state=state, reverse=reverse, return_final_state=True)
    parts = []
    cuts = [slice(0, 1), slice(1, 3), slice(3, 12)]
    for cut in cuts[::-1] if reverse else cuts:
        y, state = causal_conv1d(x[:, cut], weight, bias, initial_state=state, reverse=reverse, return_final_state=True)
        parts.append(y)
    torch.testing.assert_close(torch.cat(parts[::-1] if reverse else parts, 1), whole)
    assert torch.equal(state, last)


def test_differentiating_twice_is_refused() -> None:
    x, weight, _, _ = draw()
    x.requires_grad_()
    (grad,) = torch.autograd.grad(causal_conv1d(x, weight, activation="silu").sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once only"):
        grad.sum().backward()


def test_a_shape_that_does_not_fit_is_named() -> None:
    x, weight, bias, state = draw()
    with pytest.raises(ValueError, match=r"^weight must be"):
        causal_conv1d(x, weight.T)
    with pytest.raises(ValueError, match=r"^weight must be .* K > 0"):
        causal_conv1d(x, weight[:, :0])
    with pytest.raises(ValueError, match=r"^initial_state must be"):
        causal_conv1d(x, weight, bias, initial_state=state[..., 1:])
    with pytest.raises(ValueError, match=r"^activation must be"):
        causal_conv1d(x, weight, bias, activation="relu")  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
@pytest.mark.parametrize("name", ["x", "weight", "bias", "initial_state"])
def test_an_operand_that_is_not_floating_point_is_named(name: str, dtype: torch.dtype) -> None:
    named = dict(zip(("x", "weight", "bias", "initial_state"), draw(), strict=True))
    named[name] = named[name].to(dtype)
    with pytest.raises(TypeError, match=f"^{name} must be .*not {dtype}$"):
        causal_conv1d(**named)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("batch", "width"), [(0, 3), (2, 0), (0, 0)])
def test_without_rows_or_channels_everything_is_empty(batch: int, width: int, reverse: bool) -> None:
    leaves = [m.requires_grad_() for m in draw(batch, 5, width)]
    x, weight, bias, state = leaves
    y, last = causal_conv1d(
        x,
        weight,
        bias,
        activation="silu",
        initial_state=state,
        return_final_state=True,
        reverse=reverse,
        seq=Seq.from_lengths(torch.full((batch,), 4), 5),
        backend="portable",
    )
    assert (y.shape, last.shape) == (x.shape, state.shape)
    for leaf, grad in zip(leaves, torch.autograd.grad(y.sum() + last.sum(), leaves), strict=True):
        assert torch.equal(grad, torch.zeros_like(leaf))


def test_registered_operators_obey_the_rules_of_torch() -> None:
    x, weight, bias, state = draw(1, 3, 2, 2)
    operands = (x, weight, bias, state.transpose(1, 2)[:, 1:].contiguous(), torch.tensor([[0, 0, 1]]))
    forward, backward = torch.ops.seqsuite.causal_conv1d_fwd, torch.ops.seqsuite.causal_conv1d_bwd
    torch.library.opcheck(forward, (*operands, True, False, "portable"))
    torch.library.opcheck(forward, (x, weight, None, None, None, False, True, "portable"))
    torch.library.opcheck(backward, (x, *operands, True, False, "portable"))
