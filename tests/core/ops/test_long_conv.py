"""The long convolution against a scalar loop and numpy, its paths against each other, and its laws."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from seqsuite.errors import UserError
from seqsuite.ops import Seq, explain_backend, long_conv, operators, use_backend
from seqsuite.ops._dispatch import choose
from seqsuite.ops._long_conv import portable


def draw(
    batch: int = 2, length: int = 40, width: int = 3, taps: int | None = None, seed: int = 0
) -> list[torch.Tensor]:
    """Input, taps, skip; float64."""
    random = torch.Generator().manual_seed(seed)
    shapes = [(batch, length, width), (length if taps is None else taps, width), (width,)]
    return [torch.randn(*shape, generator=random, dtype=torch.float64) for shape in shapes]


@pytest.mark.parametrize("taps", [1, 5, 9, 20])
def test_reference_is_the_formula_written_with_scalars(taps: int) -> None:
    u, k, D = draw(length=9, taps=taps)
    y = long_conv(u, k, D=D, backend="reference")
    for b in range(2):
        for d in range(3):
            for t in range(9):
                past = sum(float(k[t - s, d]) * float(u[b, s, d]) for s in range(t + 1) if t - s < taps)
                assert float(y[b, t, d]) == pytest.approx(past + float(D[d]) * float(u[b, t, d]), rel=1e-12)


def two_sided(length: int, ahead: int, seed: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Taps that look ahead, and a gate; float64."""
    random = torch.Generator().manual_seed(seed)
    sizes = [(ahead, 3), (2, length, 3)]
    return tuple(torch.randn(*size, generator=random, dtype=torch.float64) for size in sizes)  # type: ignore[return-value]


@pytest.mark.parametrize("backend", ["reference", "portable"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("ahead", [1, 7, 25])
def test_both_sides_and_the_gate_are_the_formula(ahead: int, reverse: bool, backend: str) -> None:
    u, k, D = draw(length=19, taps=19)
    k_ahead, gate = two_sided(19, ahead)
    y = long_conv(u, k, D=D, gate=gate, k_ahead=k_ahead, reverse=reverse, backend=backend)
    for d in range(3):
        for t in range(19):
            total = D[d] * u[:, t, d]
            for s in range(19):
                lag = (s - t) if reverse else (t - s)
                if lag >= 0:
                    total = total + k[lag, d] * u[:, s, d]
                elif -lag - 1 < ahead:
                    total = total + k_ahead[-lag - 1, d] * u[:, s, d]
            torch.testing.assert_close(y[:, t, d], gate[:, t, d] * total, rtol=1e-10, atol=1e-10)


def test_both_sides_and_the_gate_have_gradients() -> None:
    operands = [*draw(length=18, taps=18), *two_sided(18, 18)]

    def conv(u: torch.Tensor, k: torch.Tensor, D: torch.Tensor, a: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
        return long_conv(u, k, D=D, gate=g, k_ahead=a)

    assert gradcheck(conv, [x.requires_grad_() for x in operands])


def test_documents_see_no_other_ahead() -> None:
    u, k, D = draw(length=19, taps=19)
    k_ahead, gate = two_sided(19, 19)
    packed = long_conv(u, k, D=D, gate=gate, k_ahead=k_ahead, seq=Seq.from_cu_seqlens([[0, 7, 19], [0, 4]], 19))
    for row, begin, end in ((0, 0, 7), (0, 7, 19), (1, 0, 4)):
        here = (slice(row, row + 1), slice(begin, end))
        alone = long_conv(u[here], k, D=D, gate=gate[here], k_ahead=k_ahead)
        torch.testing.assert_close(packed[here], alone, rtol=1e-10, atol=1e-10)
    assert not packed[1, 4:].any()


@pytest.mark.parametrize("taps", [4, 17, 300, 1000])
def test_portable_is_numpys_convolution(taps: int) -> None:
    u, k, _ = draw(2, 300, 2, taps)
    y = long_conv(u, k)
    for b in range(2):
        for d in range(2):
            expected = np.convolve(u[b, :, d].numpy(), k[:, d].numpy())[:300]
            np.testing.assert_allclose(y[b, :, d].numpy(), expected, rtol=0, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("backend", ["reference", "portable"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize(("length", "taps"), [(5, 3), (18, 18), (19, 40), (20, 17)])
def test_gradients_are_the_derivatives(length: int, taps: int, recompute: bool, reverse: bool, backend: str) -> None:
    def conv(u: torch.Tensor, k: torch.Tensor, D: torch.Tensor) -> torch.Tensor:
        return long_conv(u, k, D=D, reverse=reverse, recompute=recompute, backend=backend)

    assert gradcheck(conv, [x.requires_grad_() for x in draw(2, length, 2, taps)])


@given(
    st.tuples(st.integers(1, 4), st.integers(1, 48), st.integers(1, 5), st.integers(1, 60)),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["none", "right", "left", "mask", "resets", "masked resets"]),
    st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_paths_agree_for_any_flags(
    sizes: tuple[int, int, int, int], with_skip: bool, recompute: bool, reverse: bool, kind: str, seed: int
) -> None:
    batch, length, _, _ = sizes
    u, k, D = (m.requires_grad_() for m in draw(*sizes, seed=seed))
    random = torch.rand(batch, length, generator=torch.Generator().manual_seed(seed))
    lengths = (random[:, 0] * length).long()
    seq = {
        "none": lambda: None,
        "right": lambda: Seq.from_lengths(lengths, length),
        "left": lambda: Seq.from_lengths(lengths, length, side="left"),
        "mask": lambda: Seq.from_mask(random < 0.7),
        "resets": lambda: Seq.from_resets(random < 0.1),
        "masked resets": lambda: Seq.from_resets(random < 0.1, valid=random.flip(1) < 0.7),
    }[kind]()
    leaves = [u, k] + [D] * with_skip

    def run(backend: str) -> list[torch.Tensor]:
        y = long_conv(u, k, D=D if with_skip else None, reverse=reverse, seq=seq, recompute=recompute, backend=backend)
        return [y, *torch.autograd.grad(y.square().sum(), leaves)]

    for mine, true in zip(run("portable"), run("reference"), strict=True):
        torch.testing.assert_close(mine, true, rtol=1e-9, atol=1e-9)


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize(("length", "taps"), [(1, 1), (2, 7), (17, 17), (63, 16), (64, 64), (130, 31), (97, 500)])
def test_portable_float32_against_reference_float64(length: int, taps: int, recompute: bool, relative_l2: Any) -> None:
    tensors = draw(3, length, 24, taps)
    results = []
    for dtype, backend in ((torch.float32, "portable"), (torch.float64, "reference")):
        leaves = [x.to(dtype).requires_grad_() for x in tensors]
        y = long_conv(*leaves[:2], D=leaves[2], recompute=recompute, backend=backend)
        results.append([y, *torch.autograd.grad((y * torch.linspace(-1, 1, 24, dtype=dtype)).sum(), leaves)])
    for mine, true in zip(*results, strict=True):
        assert relative_l2(mine, true) <= 1e-6


@pytest.mark.parametrize("slab", [1, 64, 1000, 1 << 20])
def test_groups_of_channels_and_rows_change_nothing(monkeypatch: pytest.MonkeyPatch, slab: int) -> None:
    leaves = [x.requires_grad_() for x in draw(5, 50, 11)]
    results = []
    for size in (1 << 30, slab):
        monkeypatch.setattr(portable, "SLAB", size)
        y = long_conv(leaves[0], leaves[1], D=leaves[2])
        results.append([y, *torch.autograd.grad(y.square().sum(), leaves)])
    for grouped, whole in zip(*results, strict=True):
        torch.testing.assert_close(grouped, whole, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("length", "taps"), [(9, 4), (60, 60)])
def test_reverse_is_flip_conv_flip(length: int, taps: int) -> None:
    u, k, D = draw(2, length, 16, taps)
    mirrored = long_conv(u.flip(1), k, D=D).flip(1)
    torch.testing.assert_close(long_conv(u, k, D=D, reverse=True), mirrored, rtol=0, atol=1e-12)


def test_a_few_taps_are_exactly_causal_many_to_rounding() -> None:
    for taps, bound in ((16, 0.0), (100, 1e-14)):
        u, k, _ = draw(1, 100, 4, taps)
        u.requires_grad_()
        (gradient,) = torch.autograd.grad(long_conv(u, k)[:, 50].square().sum(), u)
        assert gradient[:, 51:].abs().max() <= bound * gradient.abs().max()
        assert gradient[:, 50].abs().min() > 0


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("side", ["right", "left"])
def test_a_padded_row_is_the_row_alone(side: Any, reverse: bool) -> None:
    u, k, D = draw(3, 40, 4)
    lengths = (40, 21, 1)
    y = long_conv(u, k, D=D, reverse=reverse, seq=Seq.from_lengths(lengths, 40, side=side))
    for row, length in enumerate(lengths):
        part = slice(0, length) if side == "right" else slice(40 - length, 40)
        alone = long_conv(u[row : row + 1, part], k, D=D, reverse=reverse)
        torch.testing.assert_close(y[row : row + 1, part], alone, rtol=0, atol=1e-12)
        assert int((y[row] != 0).any(-1).sum()) == length


@pytest.mark.parametrize("reverse", [False, True])
def test_packed_documents_are_the_documents_alone(reverse: bool) -> None:
    u, k, D = draw(2, 100, 3)
    bounds = ((0, 1, 3, 40, 77, 100), (0, 64, 90))
    y = long_conv(u, k, D=D, reverse=reverse, seq=Seq.from_cu_seqlens(bounds, 100))
    for row, cuts in enumerate(bounds):
        for begin, end in pairwise(cuts):
            alone = long_conv(u[row : row + 1, begin:end], k, D=D, reverse=reverse)
            torch.testing.assert_close(y[row : row + 1, begin:end], alone, rtol=0, atol=1e-12)
    assert not y[1, 90:].any()


def test_packing_transforms_at_most_twice_the_valid_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    inner = portable.forward

    def counted(u: torch.Tensor, *rest: Any) -> Any:
        seen.append(u.shape[0] * u.shape[1])
        return inner(u, *rest)

    monkeypatch.setattr(portable, "forward", counted)
    u, k, _ = draw(1, 1000, 1)
    long_conv(u, k, seq=Seq.from_cu_seqlens([[0, 700, *range(701, 1001)]], 1000))
    assert 1000 <= sum(seen) < 2000


def test_the_spectra_are_kept_only_when_asked_for() -> None:
    u, k, _ = draw(2, 64, 3)
    u.requires_grad_()
    sizes = {}
    for recompute in (False, True):
        kept: list[torch.Tensor] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x, kept=kept: kept.append(x) or x, lambda x: x):
            long_conv(u, k, recompute=recompute)
        sizes[recompute] = sum(x.numel() for x in kept if x.is_complex())
    assert sizes == {False: (2 + 1) * 65 * 3, True: 0}  # the smooth length from 127 on is 128
    with torch.no_grad():
        assert long_conv(u, k).grad_fn is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_rounded_once(dtype: torch.dtype) -> None:
    u, k, D = (x.to(dtype) for x in draw(2, 50, 3))
    exact = long_conv(u.double(), k.double(), D=D.double())
    y = long_conv(u, k, D=D)
    assert y.dtype == dtype
    assert ((y.double() - exact).abs() <= torch.finfo(dtype).eps * exact.abs() + 1e-4).all()


@pytest.mark.parametrize("largest", [5, 7])
def test_the_transforms_length_is_the_smallest_smooth_one(largest: int) -> None:
    factors = {5: (2, 3, 5), 7: (2, 3, 5, 7)}[largest]
    products = {1}
    for prime in factors:
        products |= {a * prime**p for a in products for p in range(1, 14) if a * prime**p <= 9000}
    for least in (*range(1, 200), 2 * 1026 - 1, 4097, 8191):
        assert portable.fft_length(least, largest_factor=largest) == min(p for p in products if p >= least)


@pytest.mark.parametrize(
    ("length", "taps", "served"), [(8192, 8192, True), (16000, 385, True), (8193, 9000, False), (99999, 16, True)]
)
def test_the_triton_path_serves_up_to_a_length_and_says_so(length: int, taps: int, served: bool) -> None:
    sizes = {"length": length, "width": 1, "taps": taps}
    choice = choose(operators()["long_conv"], "cuda", torch.float32, sizes, None)
    if served:
        assert choice.backend == "triton"
        return
    assert choice.backend == "portable"
    why = choice.rejected["triton"]
    assert why == "8193 steps and 8193 taps exceed the kernels' 16384 together; cuFFT serves them"


def test_a_path_that_cannot_serve_says_why() -> None:
    u, k, _ = draw()
    with pytest.raises(UserError, match=r"^long_conv: backend 'triton' cannot serve this call: Triton"):
        long_conv(u.float(), k.float(), backend="triton")
    with use_backend("reference"):
        assert explain_backend("long_conv", u, k).backend == "reference"


def test_differentiating_twice_is_refused() -> None:
    u, k, _ = draw()
    u.requires_grad_()
    (grad,) = torch.autograd.grad(long_conv(u, k).square().sum(), u, create_graph=True)
    with pytest.raises(RuntimeError, match="long_conv can be differentiated once only"):
        grad.sum().backward()


def test_a_shape_that_does_not_fit_is_named() -> None:
    u, k, D = draw()
    with pytest.raises(ValueError, match=r"^u must be \(B, L, D\) with L > 0"):
        long_conv(u[:, :0], k)
    with pytest.raises(ValueError, match=r"^k must be \(K, D\) with K > 0 and D = 3, got \(3, 40\)"):
        long_conv(u, k.T)
    with pytest.raises(ValueError, match=r"^k must be"):
        long_conv(u, k[:0])
    with pytest.raises(ValueError, match=r"^D must be \(3,\)"):
        long_conv(u, k, D=D[:2])
    with pytest.raises(ValueError, match=r"^seq.valid is"):
        long_conv(u, k, seq=Seq.from_lengths([3, 4], 39))


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
@pytest.mark.parametrize("name", ["u", "k", "D"])
def test_an_operand_that_is_not_floating_point_is_named(name: str, dtype: torch.dtype) -> None:
    named = dict(zip(("u", "k", "D"), draw(), strict=True))
    named[name] = named[name].to(dtype)
    with pytest.raises(TypeError, match=f"^{name} must be .*not {dtype}$"):
        long_conv(**named)


@pytest.mark.parametrize(("batch", "width"), [(0, 3), (2, 0), (0, 0)])
def test_without_rows_or_channels_everything_is_empty(batch: int, width: int) -> None:
    leaves = [m.requires_grad_() for m in draw(batch, 20, width)]
    y = long_conv(leaves[0], leaves[1], D=leaves[2], seq=Seq.from_lengths(torch.full((batch,), 4), 20))
    assert y.shape == leaves[0].shape
    for leaf, grad in zip(leaves, torch.autograd.grad(y.sum(), leaves), strict=True):
        assert torch.equal(grad, torch.zeros_like(leaf))


def test_a_batch_that_is_all_padding_is_zero() -> None:
    u, k, _ = draw(2, 20, 3)
    assert not long_conv(u, k, seq=Seq.from_lengths([0, 0], 20)).any()
    packed = Seq.from_resets(torch.zeros(2, 20, dtype=torch.bool), valid=torch.zeros(2, 20, dtype=torch.bool))
    assert not long_conv(u, k, seq=packed).any()


def test_registered_operators_obey_the_rules_of_torch() -> None:
    forward, backward = torch.ops.seqsuite.long_conv_fwd, torch.ops.seqsuite.long_conv_bwd
    for taps in (3, 20):
        u, k, D = draw(2, 20, 2, taps)
        for keep in (False, True):
            torch.library.opcheck(forward, (u, k, D, False, keep, "portable"))
            torch.library.opcheck(forward, (u, k.float(), None, True, keep, "portable"))
            _, u_f, k_f = forward(u, k, D, False, keep, "portable")
            torch.library.opcheck(backward, (u, u, k, D, u_f, k_f, False, "portable"))
            torch.library.opcheck(backward, (u, u, k, None, u_f, k_f, True, "portable"))


def test_under_autocast_it_computes_as_without() -> None:
    u, k, D = (x.float() for x in draw(2, 50, 3))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = long_conv(u, k, D=D)
    assert torch.equal(inside, long_conv(u, k, D=D))


def test_it_traces_into_one_graph_also_with_padding_anywhere() -> None:
    valid = torch.rand(2, 40, generator=torch.Generator().manual_seed(3)) < 0.7

    def loss(u: torch.Tensor, k: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        whole = long_conv(u, k).square().sum() + long_conv(u, k, reverse=True, recompute=True).sum()
        return whole + long_conv(u, k, seq=Seq(valid, None, None)).square().sum()

    u, k, _ = (x.requires_grad_() for x in draw(2, 40))
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    expected = torch.autograd.grad(loss(u, k, valid), [u, k])
    for mine, true in zip(torch.autograd.grad(compiled(u, k, valid), [u, k]), expected, strict=True):
        torch.testing.assert_close(mine, true, rtol=1e-12, atol=1e-12)
