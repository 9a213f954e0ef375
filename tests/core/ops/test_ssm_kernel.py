"""Vandermonde and Cauchy products and the kernels of state spaces: formulas, paths, precision, laws."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from seqsuite.errors import UserError
from seqsuite.ops._ssm_kernel import portable
from seqsuite.ops._ssm_kernel.discrete import DiscreteSSM, discretize
from seqsuite.ops._ssm_kernel.op import ssm_kernel
from seqsuite.ops._ssm_kernel.products import cauchy, pairs, power_sums, vandermonde

LENGTHS = [1, 2, 7, 63, 65, 130]
REGIMES = {"almost one": 1e-5, "moderate": 0.1, "underflow": 60.0, "undamped": 0.0}


def normal(*shape: int, seed: int = 0) -> Tensor:
    """Complex numbers, double precision."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.complex128)


def exponents(regime: str, heads: int = 3, states: int = 5, phase: float = 2.0) -> Tensor:
    x = normal(heads, states, seed=7)
    return torch.complex(-REGIMES[regime] * x.real.abs(), phase * x.imag)


def points(count: int) -> Tensor:
    x = normal(count, seed=3)
    return torch.complex(x.real.abs() + 0.1, 2 * x.imag)


def with_gradients(call: Callable[..., Tensor], *leaves: Tensor) -> list[Tensor]:
    leaves = tuple(x.detach().clone().requires_grad_() for x in leaves)
    out = call(*leaves)
    random = torch.Generator().manual_seed(5)
    # Single precision for all: a rounded cotangent is another one.
    weight = torch.randn(*out.shape, 2, generator=random)
    weight = torch.view_as_complex(weight).to(out.dtype) if out.is_complex() else weight[..., 0].to(out.dtype)
    return [out, *torch.autograd.grad(out, leaves, weight)]


def test_references_are_the_formulas_written_with_scalars() -> None:
    c, a, z = normal(2, 2, 3), exponents("moderate", 2, 3), points(4)
    u = normal(2, 2, 5).real
    k = vandermonde(c, a, 5, backend="reference")
    s = power_sums(u, a, backend="reference")
    r = cauchy(c, z, a, backend="reference")
    for m in range(2):
        for h in range(2):
            weights, rates = c[m, h].tolist(), a[h].tolist()
            for l in range(5):  # noqa: E741
                total = sum(w * cmath.exp(x * l) for w, x in zip(weights, rates, strict=True))
                assert float(k[m, h, l]) == pytest.approx(2 * total.real, rel=1e-12, abs=1e-13)
            for n, rate in enumerate(rates):
                total = sum(float(u[m, h, t]) * cmath.exp(rate * t) for t in range(5))
                assert complex(s[m, h, n]) == pytest.approx(total, rel=1e-12)
            for f, at in enumerate(z.tolist()):
                total = sum(
                    w / (at - x) + w.conjugate() / (at - x.conjugate()) for w, x in zip(weights, rates, strict=True)
                )
                assert complex(r[m, h, f]) == pytest.approx(total, rel=1e-12)


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("regime", REGIMES)
def test_portable_is_the_reference(regime: str, length: int) -> None:
    c, a, u = normal(2, 3, 5), exponents(regime), normal(2, 3, length, seed=1).real
    z = points(length)
    calls: list[tuple[Callable[..., Tensor], list[Tensor]]] = [
        (lambda backend, c, a: vandermonde(c, a, length, backend=backend), [c, a]),
        (lambda backend, u, a: power_sums(u, a, backend=backend), [u, a]),
        (lambda backend, c, a: cauchy(c, z, a, backend=backend), [c, a]),
    ]
    for call, leaves in calls:
        found = with_gradients(lambda *x, call=call: call("portable", *x), *leaves)
        expected = with_gradients(lambda *x, call=call: call("reference", *x), *leaves)
        for mine, true in zip(found, expected, strict=True):
            torch.testing.assert_close(mine, true, rtol=1e-10, atol=1e-11)


def test_tiles_and_groups_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    c, a, z = normal(2, 5, 6), exponents("moderate", 5, 6), points(300)
    call = [lambda c, a: vandermonde(c, a, 300), lambda c, a: cauchy(c, z, a)]
    whole = [with_gradients(f, c, a) for f in call]
    monkeypatch.setattr(portable, "PRODUCT", 700)
    monkeypatch.setattr(portable, "TILE", 600)  # 100 points and one head at a time
    for f, expected in zip(call, whole, strict=True):
        for mine, true in zip(with_gradients(f, c, a), expected, strict=True):
            torch.testing.assert_close(mine, true, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("backend", ["reference", "portable"])
def test_gradients_are_the_derivatives(backend: str) -> None:
    c, a, u = (x.requires_grad_() for x in (normal(2, 2, 3), exponents("moderate", 2, 3), normal(2, 2, 5).real.clone()))
    z = points(4)
    assert gradcheck(lambda c, a: vandermonde(c, a, 5, backend=backend), (c, a))
    assert gradcheck(lambda u, a: power_sums(u, a, backend=backend), (u, a))
    assert gradcheck(lambda c, a: cauchy(c, z, a, backend=backend), (c, a))


def test_phases_of_a_hundred_thousand_radians_keep_single_precision(relative_l2: Any) -> None:
    c, a = normal(1, 4, 16), exponents("almost one", 4, 16, phase=30.0)
    u, z = (
        normal(1, 4, 4096, seed=1).real,
        torch.complex(torch.zeros(800).double(), torch.linspace(0, 60, 800).double()),
    )
    poles = a - 0.01
    single = torch.complex64
    for mine, true in (
        (lambda c, a: vandermonde(c, a, 4096), (c, a)),
        (lambda u, a: power_sums(u, a), (u, a)),
        (lambda c, a: cauchy(c, z, a), (c, poles)),
    ):
        first = true[0].to(single if true[0].is_complex() else torch.float32)
        exact = with_gradients(mine, first.to(true[0].dtype), true[1])
        found = with_gradients(mine, first, true[1])
        assert found[0].dtype in (torch.float32, single)
        assert relative_l2(*map(_plain, (found[0], exact[0]))) <= 1e-6
        for got, expected in zip(found[1:], exact[1:], strict=True):
            assert relative_l2(_plain(got), _plain(expected)) <= 5e-6


def _plain(x: Tensor) -> Tensor:
    return pairs(x) if x.is_complex() else x


def parameters(rank: int, heads: int = 4, states: int = 6, copies: int = 2) -> dict[str, Tensor]:
    x = normal(copies, states, seed=11)
    found = {
        "dt": torch.exp(normal(heads, seed=12).real - 3),
        "A": torch.complex(-0.1 - x.real.abs(), -30 * x.imag.abs()),
        "B": normal(copies, states, seed=13),
        "C": normal(3, heads, states, seed=14),
        "states": normal(2, heads, states, seed=15),
    }
    return found | ({"P": normal(rank, copies, states, seed=16)} if rank else {})


def dense_system(operands: dict[str, Tensor], head: int, method: str, rate: float) -> tuple[Tensor, Tensor]:
    """Discretise one head by dense matrices on modes and conjugates: exponential or (I - dt/2 A)^-1."""
    row = head % len(operands["A"])
    A, B = (torch.cat((operands[n][row], operands[n][row].conj())) for n in "AB")
    full = torch.diag(A)
    for column in operands.get("P", normal(0, 1, 1)):
        p = torch.cat((column[row], column[row].conj()))
        full = full - p[:, None] * p.conj()
    dt, unit = operands["dt"][head] * rate, torch.eye(len(A), dtype=A.dtype)
    if method == "bilinear":
        inverse = torch.linalg.inv(unit - dt / 2 * full)
        return inverse @ (unit + dt / 2 * full), inverse @ (dt * B)
    dA = torch.matrix_exp(dt * full)
    return dA, torch.linalg.inv(full) @ (dA - unit) @ B


@pytest.mark.parametrize("backend", ["reference", "portable"])
@pytest.mark.parametrize(("method", "rank"), [("zoh", 0), ("bilinear", 0), ("bilinear", 1), ("bilinear", 3)])
@pytest.mark.parametrize("length", [1, 7, 64])
def test_the_kernel_is_that_of_the_dense_system(method: Any, rank: int, length: int, backend: str) -> None:
    operands = parameters(rank)
    k, answer = ssm_kernel(length=length, discretization=method, rate=1.5, backend=backend, **operands)
    for head in range(4):
        dA, dB = dense_system(operands, head, method, 1.5)
        C = operands["C"][:, head]
        row = torch.cat((C, C.conj()), -1)
        starts = operands["states"][:, head]
        starts = (dA @ torch.cat((starts, starts.conj()), -1).mT).mT
        for l in range(length):  # noqa: E741
            power = row @ torch.linalg.matrix_power(dA, l)
            torch.testing.assert_close(k[:, head, l], (power @ dB).real, rtol=1e-9, atol=1e-10)
            torch.testing.assert_close(answer[:, :, head, l], (power @ starts.mT).real.mT, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("rank", [0, 1, 2])
@pytest.mark.parametrize("length", LENGTHS)
def test_kernel_paths_agree_with_all_gradients(rank: int, length: int) -> None:
    operands = parameters(rank)
    names = list(operands)

    def call(backend: str) -> Callable[..., Tensor]:
        def run(*leaves: Tensor) -> Tensor:
            k, answer = ssm_kernel(length=length, backend=backend, **dict(zip(names, leaves, strict=True)))
            return torch.cat((k[None], answer))

        return run

    found, expected = (with_gradients(call(backend), *operands.values()) for backend in ("portable", "reference"))
    for name, mine, true in zip(["kernel", *names], found, expected, strict=True):
        torch.testing.assert_close(mine, true, rtol=1e-9, atol=1e-10, msg=lambda m, name=name: f"{name}: {m}")


@pytest.mark.parametrize("rank", [0, 2])
def test_kernel_gradients_are_the_derivatives(rank: int) -> None:
    operands = parameters(rank, 2, 2)
    names = list(operands)
    leaves = [x.requires_grad_() for x in operands.values()]
    assert gradcheck(lambda *x: ssm_kernel(length=4, **dict(zip(names, x, strict=True))), leaves)


@pytest.mark.parametrize("rank", [0, 1, 2])
@pytest.mark.parametrize("damping", [1e-4, 0.5])
def test_single_precision_keeps_its_digits(rank: int, damping: float, relative_l2: Any) -> None:
    operands = parameters(rank, 8, 16, 8)
    del operands["states"]
    operands["A"] = torch.complex(torch.full((8, 16), -damping), -math.pi * torch.arange(16.0).expand(8, 16))
    operands = {n: x.to(torch.complex64 if x.is_complex() else torch.float32) for n, x in operands.items()}
    exact = {n: x.to(torch.complex128 if x.is_complex() else torch.float64) for n, x in operands.items()}

    def call(*leaves: Tensor) -> Tensor:
        k = ssm_kernel(length=500, **dict(zip(operands, leaves, strict=True)))
        assert isinstance(k, Tensor)
        return k

    found, true = with_gradients(call, *operands.values()), with_gradients(call, *exact.values())
    assert found[0].dtype == torch.float32
    assert relative_l2(found[0], true[0]) <= 1e-6
    for mine, expected in zip(found[1:], true[1:], strict=True):
        assert relative_l2(_plain(mine), _plain(expected)) <= 5e-6


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("backend", ["reference", "portable"])
def test_an_attuned_C_gives_the_kernel_of_the_plain_one(rank: int, backend: str) -> None:
    operands = parameters(rank)
    del operands["states"]
    A, B, dt = (operands["A"].repeat(2, 1), operands["B"].repeat(2, 1), operands["dt"][:, None])
    system = discretize(dt, A, B, operands["P"].repeat(1, 2, 1) if rank else None)
    tuned = system.attune(operands["C"], 32)
    torch.testing.assert_close(system.detune(tuned, 32), operands["C"], rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(system.double(tuned, 32), system.attune(operands["C"], 64), rtol=1e-9, atol=1e-10)
    for length in (5, 32, 33, 100):
        plain = ssm_kernel(length=length, backend=backend, **operands)
        other = ssm_kernel(length=length, attuned_to=32, backend=backend, **operands | {"C": tuned})
        torch.testing.assert_close(other, plain, rtol=1e-9, atol=1e-10)


def test_a_band_limit_silences_fast_modes() -> None:
    operands = parameters(0)
    turns = operands["dt"][:, None] * operands["A"].imag.abs().repeat(2, 1) / (2 * math.pi)
    for limit in (0.05, 0.2):
        kept = operands | {"C": torch.where(turns < limit / 2, operands["C"], 0)}
        found, expected = ssm_kernel(length=9, bandlimit=limit, **operands), ssm_kernel(length=9, **kept)
        for mine, true in zip(found, expected, strict=True):
            torch.testing.assert_close(mine, true)
        assert not torch.equal(found[0], ssm_kernel(length=9, **operands)[0])


def test_dss_is_a_softmax_over_steps() -> None:
    operands = parameters(0)
    del operands["states"]
    k = ssm_kernel(length=20, discretization="dss", l_max=20, **operands)
    A, B = operands["A"].repeat(2, 1), operands["B"].repeat(2, 1)
    powers = torch.exp(operands["dt"][:, None, None] * A[..., None] * torch.arange(20))
    share = powers / powers.sum(-1, keepdim=True)
    expected = torch.einsum("chn,hnl->chl", operands["C"] * B / A, share).real
    torch.testing.assert_close(k, expected, rtol=1e-4, atol=1e-5)  # a reciprocal is regularised by 1e-7


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_states_of_whole_sequences_are_those_of_the_steps(rank: int) -> None:
    operands = parameters(rank)
    A, B = operands["A"].repeat(2, 1), operands["B"].repeat(2, 1)
    P = operands["P"].repeat(1, 2, 1) if rank else None
    system: DiscreteSSM = discretize(operands["dt"][:, None], A, B, P)
    u = normal(2, 4, 150, seed=20).real
    x = free = operands["states"]
    history = [x]
    for u_t in u.unbind(-1):
        x, free = system.move(x) + system.drive * u_t[..., None], system.move(free)
        history.append(free)
    torch.testing.assert_close(system.gather(u) + history[-1], x, rtol=1e-10, atol=1e-10)
    counts = torch.tensor([150, 0])
    moved = system.advance(operands["states"], counts)
    torch.testing.assert_close(moved, torch.stack((history[-1][0], history[0][1])), rtol=1e-10, atol=1e-11)
    dense = torch.view_as_complex(torch.stack(torch.einsum(
        "hmn,bhn->bhm", system.matrix(), torch.cat((free.real, free.imag), -1)).chunk(2, -1), -1))  # fmt: skip
    torch.testing.assert_close(dense, system.move(free), rtol=1e-10, atol=1e-11)


def test_gradients_flow_through_powers_and_sequences() -> None:
    operands = parameters(1, 2, 2)
    A, B, P = (operands[n].requires_grad_() for n in ("A", "B", "P"))
    u, x = normal(2, 2, 5, seed=20).real.clone().requires_grad_(), operands["states"].requires_grad_()

    def run(A: Tensor, B: Tensor, P: Tensor, u: Tensor, x: Tensor) -> Tensor:
        system = discretize(operands["dt"][:, None], A, B, P)
        moved = system.advance(x, torch.tensor([3, 5]))
        return system.gather(u) + moved + system.detune(system.attune(x, 3), 2)

    assert gradcheck(run, (A, B, P, u, x))


def test_differentiating_twice_is_refused() -> None:
    c, a = normal(1, 2, 3).requires_grad_(), exponents("moderate", 2, 3)
    z = points(4)
    for out in (vandermonde(c, a, 5), cauchy(c, z, a).real):
        (grad,) = torch.autograd.grad(out.square().sum(), c, create_graph=True)
        with pytest.raises(RuntimeError, match="once only"):
            grad.real.sum().backward()


def test_registered_operators_obey_the_rules_of_torch() -> None:
    c, a = pairs(normal(2, 2, 3)), pairs(exponents("moderate", 2, 3))
    z, dk, dr = pairs(points(4)), torch.randn(2, 2, 5).double(), torch.randn(2, 2, 4, 2).double()
    ops = torch.ops.seqsuite
    torch.library.opcheck(ops.vandermonde_fwd, (c, a, 5, "portable"))
    torch.library.opcheck(ops.vandermonde_bwd, (dk, c, a, "portable"))
    torch.library.opcheck(ops.cauchy_fwd, (c, z, a, "portable"))
    torch.library.opcheck(ops.cauchy_bwd, (dr, c, z, a, "portable"))


def test_a_compiled_product_is_one_graph() -> None:
    c, a = normal(1, 2, 3).requires_grad_(), exponents("moderate", 2, 3)
    compiled = torch.compile(lambda c: vandermonde(c, a, 6) + cauchy(c, a[0], a - 1).real.sum(), fullgraph=True,
                             backend="eager")  # fmt: skip
    torch.testing.assert_close(compiled(c), vandermonde(c, a, 6) + cauchy(c, a[0], a - 1).real.sum())


@pytest.mark.parametrize("backend", ["reference", "portable"])
def test_without_rows_or_modes_everything_is_empty_or_zero(backend: str) -> None:
    z = points(4)
    for rows, heads, states in ((0, 2, 3), (2, 0, 3), (2, 2, 0)):
        c, a = normal(rows, heads, states), normal(heads, states)
        assert torch.equal(vandermonde(c, a, 5, backend=backend), torch.zeros(rows, heads, 5).double())
        assert torch.equal(cauchy(c, z, a, backend=backend).abs(), torch.zeros(rows, heads, 4).double())
        s = power_sums(torch.ones(rows, heads, 5).double(), a, backend=backend)
        assert s.shape == (rows, heads, states)


def test_what_does_not_fit_is_named() -> None:
    c, a, z = normal(1, 2, 3), exponents("moderate", 2, 3), points(4)
    with pytest.raises(TypeError, match=r"^c must be complex64 or complex128, not torch.float64$"):
        vandermonde(c.real, a, 5)
    with pytest.raises(ValueError, match=r"^c must be \(..., H, N\) and log_a \(H, N\), got \(1, 2, 3\) and \(2, 2\)$"):
        vandermonde(c, a[:, :2], 5)
    with pytest.raises(ValueError, match=r"^length must be at least 1, got 0$"):
        vandermonde(c, a, 0)
    with pytest.raises(TypeError, match=r"^u must be float32 or float64"):
        power_sums(c, a)
    with pytest.raises(ValueError, match=r"^u must be \(..., H, L\)"):
        power_sums(c.real[:, :1], a)
    with pytest.raises(ValueError, match=r"^z must be \(F,\) without gradient"):
        cauchy(c, z.requires_grad_(), a)
    with pytest.raises(UserError, match=r"^vandermonde: backend 'triton' cannot serve this call: "):
        vandermonde(c, a, 5, backend="triton")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dt": torch.ones(3)}, r"^dt must be \(4,\)"),
        ({"A": normal(3, 6)}, r"^A must be \(S, N\), S dividing H = 4"),
        ({"B": normal(2, 5)}, r"^B must be"),
        ({"P": normal(2, 6)}, r"^P must be \(r, S, N\)"),
        ({"C": normal(4, 6)}, r"^C must be \(C, H, N\)"),
        ({"states": normal(2, 3, 6)}, r"^states must be"),
        ({"length": 0}, "^length must be at least 1"),
        ({"rate": 0.0}, "^rate must be positive"),
        ({"attuned_to": 0}, "^attuned_to must be at least 1"),
        ({"discretization": "euler"}, "^discretization must be"),
        ({"discretization": "zoh"}, "^discretization must be 'bilinear' with P"),
        ({"discretization": "dss", "P": None}, "^l_max must be given"),
    ],
)
def test_an_operand_of_the_kernel_that_does_not_fit_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ssm_kernel(**parameters(1) | {"length": 5} | change)
    with pytest.raises(TypeError, match=r"^B must be complex64 or complex128, not torch.float64$"):
        ssm_kernel(**parameters(1) | {"length": 5, "B": normal(2, 6).real})
