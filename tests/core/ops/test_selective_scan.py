"""The selective scan against a scalar loop, its paths against each other, and its laws."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from seqsuite.ops import Seq, selective_scan


def draw(
    batch: int = 2,
    length: int = 7,
    width: int = 4,
    state: int = 3,
    groups: int = 1,
    constant: str = "",
    seed: int = 0,
    regime: str = "moderate",
) -> tuple[list[torch.Tensor], dict[str, torch.Tensor]]:
    """Operands and every optional one, float64; `regime` sets how fast the state decays."""
    random = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=random, dtype=torch.float64)

    rate = {"almost one": 1e-3, "moderate": 1.0, "underflow": 3e3}[regime]
    weights = [normal(width, state) if name in constant else normal(batch, length, groups, state) for name in "BC"]
    operands = [normal(batch, length, width), normal(batch, length, width), -rate * (0.1 + normal(width, state).abs())]
    optional = {
        "D": normal(width),
        "z": normal(batch, length, width),
        "delta_bias": normal(width) - 1,
        "initial_state": normal(batch, width, state),
    }
    return operands + weights, optional


def run(
    operands: list[torch.Tensor], optional: dict[str, torch.Tensor], dtype: torch.dtype = torch.float64, **options: Any
) -> list[torch.Tensor]:
    """Outputs and all gradients for random output gradients."""
    leaves = [x.to(dtype).requires_grad_() for x in operands]
    named = {name: x.to(dtype).requires_grad_() for name, x in optional.items()}
    y, state = selective_scan(*leaves, **named, return_final_state=True, **options)
    random = torch.Generator().manual_seed(9)
    weights = [torch.randn(x.shape, generator=random, dtype=torch.float64).to(dtype) for x in (y, state)]
    return [y, state, *torch.autograd.grad((y, state), [*leaves, *named.values()], weights)]


def test_reference_is_the_formula_written_with_scalars() -> None:
    batch, length, width, state, groups = 2, 5, 4, 3, 2
    (u, delta, A, B, C), optional = draw(batch, length, width, state, groups)
    y, last = selective_scan(
        u, delta, A, B, C, **optional, delta_softplus=True, return_final_state=True, backend="reference"
    )
    for b in range(batch):
        for d in range(width):
            h = optional["initial_state"][b, d].tolist()
            for t in range(length):
                dt = math.log1p(math.exp(float(delta[b, t, d] + optional["delta_bias"][d])))
                group = d // (width // groups)
                total = float(optional["D"][d] * u[b, t, d])
                for n in range(state):
                    h[n] = math.exp(dt * A[d, n]) * h[n] + dt * float(B[b, t, group, n] * u[b, t, d])
                    total += float(C[b, t, group, n]) * h[n]
                gate = float(optional["z"][b, t, d])
                assert float(y[b, t, d]) == pytest.approx(total * gate / (1 + math.exp(-gate)), rel=1e-11, abs=1e-12)
            assert last[b, d].tolist() == pytest.approx(h, rel=1e-11)


@pytest.mark.parametrize("backend", ["reference", "portable"])
@pytest.mark.parametrize(
    ("groups", "constant", "softplus", "reverse", "given"),
    [
        (1, "", True, False, "D z delta_bias initial_state"),
        (2, "", True, True, "D z delta_bias initial_state"),
        (1, "BC", False, False, "z initial_state"),
        (1, "C", True, True, "D delta_bias"),
        (1, "B", False, True, ""),
    ],
)
def test_gradients_are_the_derivatives(
    backend: str, groups: int, constant: str, softplus: bool, reverse: bool, given: str
) -> None:
    operands, optional = draw(2, 4, 2, 2, groups, constant)
    names = given.split()
    leaves = [x.requires_grad_() for x in (*operands, *(optional[name] for name in names))]

    def scan(*tensors: torch.Tensor) -> Any:
        named = dict(zip(names, tensors[5:], strict=True))
        return selective_scan(
            *tensors[:5],
            **named,
            delta_softplus=softplus,
            reverse=reverse,
            return_final_state=True,
            seq=Seq.from_resets(torch.tensor([[False, False, True, False], [True, False, False, False]])),
            backend=backend,
        )

    assert gradcheck(scan, leaves)


@pytest.mark.parametrize("regime", ["almost one", "moderate", "underflow", "reset"])
@pytest.mark.parametrize("length", [1, 2, 7, 63, 65, 130])
@pytest.mark.usefixtures("poisoned")
def test_portable_float32_against_reference_float64(length: int, regime: str, relative_l2: Any) -> None:
    seq = None
    if regime == "reset":
        seq = Seq.from_resets(torch.rand(2, length, generator=torch.Generator().manual_seed(1)) < 0.2)
    operands, optional = draw(2, length, 24, 16, regime="moderate" if regime == "reset" else regime)
    options = {"delta_softplus": True, "seq": seq}
    expected = run(operands, optional, backend="reference", **options)
    found = run(operands, optional, torch.float32, backend="portable", **options)
    for index, (mine, true) in enumerate(zip(found, expected, strict=True)):
        assert relative_l2(mine, true) <= (1e-6 if index < 2 else 5e-6), index


@given(
    st.tuples(st.integers(1, 3), st.integers(1, 40), st.sampled_from([2, 4, 6]), st.integers(1, 9)),
    st.sampled_from([1, 2]),
    st.sampled_from(["", "B", "C", "BC"]),
    st.sets(st.sampled_from(["D", "z", "delta_bias", "initial_state"])),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["none", "lengths", "mask", "resets"]),
    st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_paths_agree_for_any_flags(
    sizes: tuple[int, int, int, int],
    groups: int,
    constant: str,
    names: set[str],
    softplus: bool,
    reverse: bool,
    kind: str,
    seed: int,
) -> None:
    batch, length, width, state = sizes
    operands, optional = draw(batch, length, width, state, groups, constant, seed)
    random = torch.rand(batch, length, generator=torch.Generator().manual_seed(seed))
    seq = {
        "none": lambda: None,
        "lengths": lambda: Seq.from_lengths((random[:, 0] * length).long(), length, side="left"),
        "mask": lambda: Seq.from_mask(random < 0.7),
        "resets": lambda: Seq.from_resets(random < 0.2, valid=random < 0.9),
    }[kind]()
    optional = {name: optional[name] for name in sorted(names)}
    options = {"delta_softplus": softplus, "reverse": reverse, "seq": seq}
    found = run(operands, optional, backend="portable", **options)
    for mine, true in zip(found, run(operands, optional, backend="reference", **options), strict=True):
        torch.testing.assert_close(mine, true, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(
    "shape",
    [
        (3, 65, 24, 16),
        (1, 300, 32, 8),
        (5, 40, 160, 16),
        (2, 77, 31, 16),
        (1, 101, 236, 16),
        (3, 9, 5, 4),
        (1, 13, 1, 3),
    ],
)
def test_reverse_is_flip_scan_flip_bit_for_bit(shape: tuple[int, int, int, int]) -> None:
    operands, optional = draw(*shape)
    operands, optional = [x.float() for x in operands], {name: x.float() for name, x in optional.items()}

    def flip(x: torch.Tensor) -> torch.Tensor:
        return x.flip(1) if x.shape[:2] == shape[:2] else x

    y, state = selective_scan(*operands, **optional, delta_softplus=True, reverse=True, return_final_state=True)
    flipped = {name: x if name == "initial_state" else flip(x) for name, x in optional.items()}
    mirrored = selective_scan(*map(flip, operands), **flipped, delta_softplus=True, return_final_state=True)
    assert torch.equal(y, mirrored[0].flip(1))
    assert torch.equal(state, mirrored[1])


@pytest.mark.parametrize("reverse", [False, True])
def test_chunks_with_carried_state_are_the_whole(reverse: bool) -> None:
    (u, delta, A, B, C), optional = draw(2, 29, 6, 4)
    state = optional.pop("initial_state")
    z = optional.pop("z")
    whole = selective_scan(
        u, delta, A, B, C, z=z, **optional, initial_state=state, reverse=reverse, return_final_state=True
    )
    parts = []
    cuts = [slice(0, 1), slice(1, 13), slice(13, 29)]
    for cut in cuts[::-1] if reverse else cuts:
        y, state = selective_scan(
            u[:, cut],
            delta[:, cut],
            A,
            B[:, cut],
            C[:, cut],
            z=z[:, cut],
            **optional,
            initial_state=state,
            reverse=reverse,
            return_final_state=True,
        )
        parts.append(y)
    torch.testing.assert_close(torch.cat(parts[::-1] if reverse else parts, 1), whole[0], rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(state, whole[1], rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_input_is_computed_in_float32(dtype: torch.dtype, relative_l2: Any) -> None:
    operands, optional = draw(2, 40, 8, 4)
    low = [x.to(dtype) for x in operands]
    y, state = selective_scan(*low, D=optional["D"].to(dtype), delta_softplus=True, return_final_state=True)
    assert y.dtype == dtype
    assert state.dtype == torch.float32
    exact = selective_scan(
        *(x.double() for x in low), D=optional["D"].to(dtype).double(), delta_softplus=True, return_final_state=True
    )
    assert relative_l2(state, exact[1]) < 1e-6
    assert relative_l2(y, exact[0]) < torch.finfo(dtype).eps


def test_autocast_does_not_lower_the_precision() -> None:
    operands, _ = draw(2, 20, 24, 16)
    operands = [x.float() for x in operands]
    plain = selective_scan(*operands)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(selective_scan(*operands), plain)


def test_differentiating_twice_is_refused() -> None:
    operands, _ = draw()
    leaf = operands[0].requires_grad_()
    (grad,) = torch.autograd.grad(selective_scan(*operands).sum(), leaf, create_graph=True)
    with pytest.raises(RuntimeError, match="once only"):
        grad.sum().backward()


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({1: (2, 6, 4)}, "delta"),
        ({2: (5, 3)}, "A"),
        ({3: (2, 7, 3, 3)}, "B"),
        ({3: (2, 7, 0, 3)}, "B"),
        ({4: (2, 7, 1, 5)}, "C"),
    ],
)
def test_a_shape_that_does_not_fit_is_named(change: dict[int, tuple[int, ...]], name: str) -> None:
    operands, _ = draw()
    for index, shape in change.items():
        operands[index] = torch.zeros(shape)
    with pytest.raises(ValueError, match=f"^{name} must be"):
        selective_scan(*operands)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
@pytest.mark.parametrize("name", ["u", "delta", "A", "B", "C", "D", "z", "delta_bias", "initial_state"])
def test_an_operand_that_is_not_floating_point_is_named(name: str, dtype: torch.dtype) -> None:
    operands, optional = draw()
    named = dict(zip("u delta A B C".split(), operands, strict=True)) | optional
    named[name] = named[name].to(dtype)
    with pytest.raises(TypeError, match=f"^{name} must be .*not {dtype}$"):
        selective_scan(**named)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("sizes", [(0, 4, 3), (2, 0, 3), (2, 4, 0), (0, 0, 0)])
def test_without_rows_channels_or_states_the_formula_still_holds(sizes: tuple[int, int, int], reverse: bool) -> None:
    batch, width, state = sizes
    operands, optional = draw(batch, 5, width, state)
    seq = Seq.from_lengths(torch.full((batch,), 5), 5)
    y, last, *grads = run(operands, optional, reverse=reverse, seq=seq, backend="portable")
    # No state speaks here: what is left is the skip, gated.
    skip = operands[0] * optional["D"] * torch.nn.functional.silu(optional["z"])
    torch.testing.assert_close(y, skip)
    assert last.shape == (batch, width, state)
    assert [g.shape for g in grads] == [x.shape for x in (*operands, *optional.values())]
    assert not grads[2].any()  # nothing depends on A


def test_registered_operators_obey_the_rules_of_torch() -> None:
    operands, optional = draw(1, 3, 2, 2)
    extra = [optional["D"], optional["z"], optional["delta_bias"], optional["initial_state"], torch.zeros(1, 3) > 0]
    options = (True, False, 2, "portable")
    forward, backward = torch.ops.seqsuite.selective_scan_fwd, torch.ops.seqsuite.selective_scan_bwd
    torch.library.opcheck(forward, (*operands, *extra, *options))
    torch.library.opcheck(forward, (*operands, None, None, None, None, None, *options))
    y, state, starts, inner = forward(*operands, *extra, *options)
    torch.library.opcheck(backward, (y, state, starts, inner, *operands, *extra, *options))


@pytest.mark.slow
def test_compile_sees_one_opaque_operator() -> None:
    operands, optional = draw(1, 6, 4, 2)
    leaf = operands[0].requires_grad_()

    def loss(u: torch.Tensor) -> torch.Tensor:
        return (selective_scan(u, *operands[1:], **optional, delta_softplus=True) ** 2).sum()

    torch._dynamo.reset()
    compiled = torch.compile(loss, fullgraph=True)
    (expected,) = torch.autograd.grad(loss(leaf), leaf)
    (found,) = torch.autograd.grad(compiled(leaf), leaf)
    torch.testing.assert_close(found, expected)
