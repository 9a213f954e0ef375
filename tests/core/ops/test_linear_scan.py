"""The linear recurrence against scalars, its paths against each other, and its laws."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from seqsuite.errors import UserError
from seqsuite.ops import Seq
from seqsuite.ops._linear_scan import portable
from seqsuite.ops._linear_scan.op import linear_scan

REAL, COMPLEX = torch.float64, torch.complex128
REGIMES = ("almost one", "moderate", "alternating", "underflow", "zeros")


def draw(
    batch: int = 2,
    length: int = 7,
    width: int = 3,
    dtype: torch.dtype = REAL,
    constant: bool = False,
    regime: str = "moderate",
    seed: int = 0,
) -> list[Tensor]:
    """a, b and an initial state, in double precision."""
    random = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random, dtype=dtype)

    shape = (width,) if constant else (batch, length, width)
    uniform = torch.rand(shape, generator=random, dtype=torch.float64)
    size = {
        "almost one": 1 - 1e-4 * uniform,
        "moderate": uniform,
        "alternating": -uniform,
        "underflow": torch.exp(-300 * uniform),
        "zeros": uniform * (uniform > 0.3),
    }[regime]
    turn = torch.polar(torch.ones_like(uniform), 6 * uniform.flip(-1)) if dtype.is_complex else 1
    return [size * turn, normal(batch, length, width), normal(batch, width)]


def run(operands: list[Tensor], dtype: torch.dtype | None = None, **options: Any) -> list[Tensor]:
    """Outputs and all gradients for random output gradients."""
    leaves = [(x if dtype is None else x.to(dtype)).detach().requires_grad_() for x in operands]
    h, state = linear_scan(leaves[0], leaves[1], initial_state=leaves[2], return_final_state=True, **options)
    random = torch.Generator().manual_seed(9)
    kind = COMPLEX if h.is_complex() else REAL
    weights = [torch.randn(x.shape, generator=random, dtype=kind).to(x.dtype) for x in (h, state)]
    return [h, state, *torch.autograd.grad((h, state), leaves, weights)]


def distance(found: Tensor, expected: Tensor) -> float:
    """Relative L2, also of complex tensors."""
    assert found.shape == expected.shape
    kind = COMPLEX if expected.is_complex() else REAL
    found, expected = found.detach().to(kind), expected.detach().to(kind)
    return float((found - expected).norm() / expected.norm().clamp_min(1e-30))


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("dtype", [REAL, COMPLEX])
@pytest.mark.parametrize("reverse", [False, True])
def test_reference_is_the_formula_written_with_scalars(dtype: torch.dtype, constant: bool, reverse: bool) -> None:
    a, b, start = draw(2, 6, 3, dtype, constant)
    options: dict[str, Any] = {"return_final_state": True, "reverse": reverse, "backend": "reference"}
    h, last = linear_scan(a, b, initial_state=start, **options)
    for row in range(2):
        for d in range(3):
            state = start[row, d].item()
            for t in reversed(range(6)) if reverse else range(6):
                factor = a[d] if constant else a[row, t, d]
                state = factor.item() * state + b[row, t, d].item()
                assert h[row, t, d].item() == pytest.approx(state, rel=1e-12)
            assert last[row, d].item() == pytest.approx(state, rel=1e-12)


@pytest.mark.parametrize("backend", ["reference", "portable"])
@pytest.mark.parametrize("dtype", [REAL, COMPLEX])
@pytest.mark.parametrize(("constant", "reverse"), [(False, False), (False, True), (True, False), (True, True)])
@pytest.mark.parametrize("packed", [False, True])
def test_gradients_are_the_derivatives(
    backend: str, dtype: torch.dtype, constant: bool, reverse: bool, packed: bool
) -> None:
    leaves = [x.requires_grad_() for x in draw(2, 4, 2, dtype, constant)]
    resets = torch.tensor([[False, False, True, False], [True, False, False, False]])
    seq = Seq.from_resets(resets, valid=torch.tensor([[True] * 4, [True, True, False, True]])) if packed else None

    def scan(a: Tensor, b: Tensor, start: Tensor) -> Any:
        options: dict[str, Any] = {"return_final_state": True, "reverse": reverse, "seq": seq, "backend": backend}
        return linear_scan(a, b, initial_state=start, **options)

    assert gradcheck(scan, leaves)


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("dtype", [REAL, COMPLEX])
@pytest.mark.parametrize("length", [1, 2, 7, 63, 65, 130])
@pytest.mark.usefixtures("poisoned")
def test_portable_agrees_with_the_reference(length: int, dtype: torch.dtype, regime: str) -> None:
    for constant in (False, True):
        operands = draw(2, length, 12, dtype, constant, regime)
        expected = run(operands, backend="reference")
        for mine, true in zip(run(operands, backend="portable"), expected, strict=True):
            assert distance(mine, true) <= 1e-12
        low = [x.to(torch.complex64 if dtype.is_complex else torch.float32) for x in operands]
        exact = run([x.to(dtype) for x in low], backend="reference")
        for index, (mine, true) in enumerate(zip(run(low, backend="portable"), exact, strict=True)):
            assert distance(mine, true) <= (1e-6 if index < 2 else 5e-6), index


@pytest.mark.parametrize("tile", [16, 64, 500, 4096])
@pytest.mark.parametrize(("batch", "width"), [(1, 1), (3, 2), (1, 40), (2, 600), (2, 2048)])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.usefixtures("poisoned")
def test_tiles_and_segments_of_any_size_are_the_whole(
    batch: int, width: int, tile: int, reverse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portable, "TILE", tile)
    for constant in (False, True):
        operands = draw(batch, 21 if width > 1000 else 101, width, COMPLEX if width == 40 else REAL, constant)
        expected = run(operands, reverse=reverse, backend="reference")
        for mine, true in zip(run(operands, reverse=reverse, backend="portable"), expected, strict=True):
            assert distance(mine, true) <= 1e-12


@given(
    st.tuples(st.integers(1, 3), st.integers(1, 60), st.integers(1, 9)),
    st.sampled_from([REAL, COMPLEX]),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["none", "lengths", "mask", "resets"]),
    st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_paths_agree_for_any_flags(
    sizes: tuple[int, int, int], dtype: torch.dtype, constant: bool, reverse: bool, kind: str, seed: int
) -> None:
    batch, length, width = sizes
    random = torch.rand(batch, length, generator=torch.Generator().manual_seed(seed))
    seq = {
        "none": lambda: None,
        "lengths": lambda: Seq.from_lengths((random[:, 0] * length).long(), length, side="left"),
        "mask": lambda: Seq.from_mask(random < 0.7),
        "resets": lambda: Seq.from_resets(random < 0.2, valid=random < 0.9),
    }[kind]()
    operands = draw(batch, length, width, dtype, constant, REGIMES[seed % 5], seed)
    found, expected = (run(operands, reverse=reverse, seq=seq, backend=path) for path in ("portable", "reference"))
    for mine, true in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, true, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("backend", ["reference", "portable"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("constant", [False, True])
def test_rows_with_padding_and_documents_are_their_parts_alone(backend: str, reverse: bool, constant: bool) -> None:
    a, b, start = draw(1, 20, 3, constant=constant)
    valid = torch.ones(1, 20, dtype=torch.bool)
    valid[0, [0, 4, 5, 19]] = False
    a_row, b_row = a.clone(), b.clone()
    b_row[:, [0, 4, 5, 19]] = torch.nan
    if not constant:
        a_row[:, [0, 4, 5, 19]] = torch.inf
    resets = torch.zeros(1, 20, dtype=torch.bool)
    resets[0, 12] = True
    options: dict[str, Any] = {"reverse": reverse, "backend": backend, "return_final_state": True}
    h, last = linear_scan(a_row, b_row, initial_state=start, seq=Seq.from_resets(resets, valid=valid), **options)
    entering: list[Any] = [None, start] if reverse else [start, None]
    ends = []
    for part, state in zip(([1, 2, 3, *range(6, 12)], list(range(12, 19))), entering, strict=True):
        alone, end = linear_scan(a if constant else a[:, part], b[:, part], initial_state=state, **options)
        torch.testing.assert_close(h[:, part], alone, rtol=1e-12, atol=1e-13)
        ends.append(end)
    torch.testing.assert_close(last, ends[0 if reverse else 1], rtol=1e-12, atol=1e-13)
    assert not h[:, [0, 4, 5, 19]].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
@pytest.mark.parametrize("sizes", [(3, 65, 24), (1, 301, 3), (2, 40, 700)])
def test_reverse_is_flip_scan_flip(sizes: tuple[int, int, int], dtype: torch.dtype) -> None:
    a, b, start = (x.to(dtype) for x in draw(*sizes, COMPLEX if dtype.is_complex else REAL))
    h, state = linear_scan(a, b, initial_state=start, reverse=True, return_final_state=True)
    mirrored = linear_scan(a.flip(1), b.flip(1), initial_state=start, return_final_state=True)
    assert distance(h, mirrored[0].flip(1)) <= 1e-6
    assert distance(state, mirrored[1]) <= 1e-6


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("constant", [False, True])
def test_chunks_with_carried_state_are_the_whole(reverse: bool, constant: bool) -> None:
    a, b, state = (x.requires_grad_() for x in draw(2, 70, 5, COMPLEX, constant))
    options: dict[str, Any] = {"reverse": reverse, "return_final_state": True}
    whole, last = linear_scan(a, b, initial_state=state, **options)
    cuts = [slice(0, 1), slice(1, 40), slice(40, 70)]
    parts, carried = [], state
    for cut in cuts[::-1] if reverse else cuts:
        part, carried = linear_scan(a if constant else a[:, cut], b[:, cut], initial_state=carried, **options)
        parts.append(part)
    joined = torch.cat(parts[::-1] if reverse else parts, 1)
    torch.testing.assert_close(joined, whole, rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(carried, last, rtol=1e-11, atol=1e-12)
    weight = torch.randn_like(whole)
    through, direct = (torch.autograd.grad((x * weight).sum().real, (a, b, state)) for x in (joined, whole))
    torch.testing.assert_close(through, direct, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("width", [6, 1500])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_input_is_computed_in_float32(dtype: torch.dtype, width: int) -> None:
    low = [x.to(dtype) for x in draw(2, 80, width)]
    found = run(low)
    exact = run([x.double() for x in low])
    assert [x.dtype for x in found] == [dtype, torch.float32, dtype, dtype, dtype]
    assert distance(found[1], exact[1]) <= 1e-6
    for mine, true in zip(found, exact, strict=True):
        assert distance(mine, true) <= 1e-2


def test_dtypes_of_mixed_operands() -> None:
    a, b, start = draw()
    for kinds, h_kind, state_kind in [
        ((torch.float32, torch.bfloat16, torch.float32), torch.bfloat16, torch.float32),
        ((torch.bfloat16, torch.float32, torch.float32), torch.float32, torch.float32),
        ((torch.float32, torch.float64, torch.float32), torch.float64, torch.float64),
        ((torch.complex64, torch.float32, torch.float32), torch.complex64, torch.complex64),
        ((torch.complex64, torch.bfloat16, torch.complex64), torch.complex64, torch.complex64),
        ((torch.float32, torch.complex64, torch.float32), torch.complex64, torch.complex64),
        ((torch.complex64, torch.float64, torch.float32), torch.complex128, torch.complex128),
        ((torch.float64, torch.float64, torch.complex64), torch.complex128, torch.complex128),
    ]:
        given_ = [x.to(kind) for x, kind in zip((a, b, start), kinds, strict=True)]
        for backend in ("reference", "portable"):
            results = run(given_, backend=backend)
            assert [x.dtype for x in results] == [h_kind, state_kind, *kinds]
            exact = linear_scan(*(x.to(COMPLEX) for x in given_[:2]), initial_state=given_[2].to(COMPLEX))
            assert distance(results[0].to(COMPLEX), exact) <= 1e-2


def test_real_gradients_of_a_complex_scan_are_the_derivatives() -> None:
    a, _, start = draw(1, 5, 2, COMPLEX)
    _, b, _ = draw(1, 5, 2)
    leaves = [x.requires_grad_() for x in (a, b, start.real)]
    assert gradcheck(lambda a, b, h: linear_scan(a, b, initial_state=h, backend="portable"), leaves)


def test_negative_eigenvalues_track_parity() -> None:
    """The sign of the state counts the ones modulo two: a recurrence that no factor in [0, 1] can express."""
    bits = torch.randint(0, 2, (4, 200, 1), generator=torch.Generator().manual_seed(0))
    signs = linear_scan((1 - 2 * bits).float(), torch.zeros(4, 200, 1), initial_state=torch.ones(4, 1))
    assert torch.equal(signs[..., 0] < 0, bits[..., 0].cumsum(1) % 2 == 1)


def test_strided_and_lazily_conjugated_operands() -> None:
    a, b, start = draw(2, 30, 4, COMPLEX)
    strided = [a.transpose(1, 2).contiguous().transpose(1, 2).conj(), b.conj().flip(2), start.conj()]
    solid = [x.resolve_conj().contiguous() for x in strided]
    for mine, true in zip(run(strided), run(solid, backend="reference"), strict=True):
        assert distance(mine, true) <= 1e-12
    a, b, _ = draw(2, 30, 4)
    expanded = [a.expand(2, 30, 4), b[:, :, :1].expand(2, 30, 4), torch.zeros(()).double().expand(2, 4)]
    for mine, true in zip(run(expanded), run(expanded, backend="reference"), strict=True):
        assert distance(mine, true) <= 1e-12


@pytest.mark.parametrize("sizes", [(0, 4), (2, 0), (0, 0)])
def test_without_rows_or_channels_there_is_nothing_to_do(sizes: tuple[int, int]) -> None:
    batch, width = sizes
    operands = draw(batch, 5, width)
    h, last, *grads = run(operands, seq=Seq.from_lengths(torch.full((batch,), 5), 5), backend="portable")
    assert (h.shape, last.shape) == ((batch, 5, width), (batch, width))
    assert [g.shape for g in grads] == [x.shape for x in operands]


def test_differentiating_twice_is_refused() -> None:
    a, b, _ = draw()
    leaf = b.requires_grad_()
    (grad,) = torch.autograd.grad((linear_scan(a, leaf) ** 2).sum(), leaf, create_graph=True)
    with pytest.raises(RuntimeError, match="linear_scan can be differentiated once only"):
        grad.sum().backward()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"a": (2, 6, 3)}, r"^a must be \(2, 7, 3\) like b, or \(3,\), got \(2, 6, 3\)$"),
        ({"a": (1, 7, 3)}, r"^a must be \(2, 7, 3\) like b"),
        ({"a": (2,)}, r"^a must be .*, got \(2,\)$"),
        ({"b": (7, 3)}, r"^b must be \(B, L, D\) with L > 0, got \(7, 3\)$"),
        ({"b": (2, 0, 3)}, r"^b must be \(B, L, D\) with L > 0"),
        ({"initial_state": (2, 4)}, r"^initial_state must be \(2, 3\), got \(2, 4\)$"),
    ],
)
def test_a_shape_that_does_not_fit_is_named(change: dict[str, tuple[int, ...]], message: str) -> None:
    named = dict(zip(("a", "b", "initial_state"), draw(), strict=True))
    named |= {name: torch.zeros(shape) for name, shape in change.items()}
    with pytest.raises(ValueError, match=message):
        linear_scan(**named)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool])
@pytest.mark.parametrize("name", ["a", "b", "initial_state"])
def test_an_operand_without_fractions_is_named(name: str, dtype: torch.dtype) -> None:
    named = dict(zip(("a", "b", "initial_state"), draw(), strict=True))
    named[name] = named[name].to(dtype)
    with pytest.raises(TypeError, match=f"^{name} must be float16, .* or complex128, not {dtype}$"):
        linear_scan(**named)


def test_a_mask_of_another_size_and_an_unknown_backend_are_named() -> None:
    a, b, _ = draw()
    with pytest.raises(ValueError, match=r"seq.valid is \(2, 6\), the input is \(2, 7\)"):
        linear_scan(a, b, seq=Seq.from_lengths([3, 6], 6))
    with pytest.raises(UserError, match="portabel"):
        linear_scan(a, b, backend="portabel")


@pytest.mark.parametrize("dtype", [REAL, COMPLEX])
@pytest.mark.parametrize("constant", [False, True])
def test_registered_operators_obey_the_rules_of_torch(dtype: torch.dtype, constant: bool) -> None:
    a, b, start = draw(1, 3, 2, dtype, constant)
    forward, backward = torch.ops.seqsuite.linear_scan_fwd, torch.ops.seqsuite.linear_scan_bwd
    for state in (start, None):
        torch.library.opcheck(forward, (a, b, state, False, "portable"))
        h, last = forward(a, b, state, False, "portable")
        torch.library.opcheck(backward, (h, last, h, a, state, False, "portable"))


def test_compile_sees_one_opaque_operator() -> None:
    a, b, start = draw(1, 6, 4)
    leaf = a.requires_grad_()

    def loss(a: Tensor) -> Tensor:
        return (linear_scan(a, b, initial_state=start, seq=None) ** 2).sum()

    torch._dynamo.reset()
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    (expected,) = torch.autograd.grad(loss(leaf), leaf)
    (found,) = torch.autograd.grad(compiled(leaf), leaf)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_compile_without_gradients(dtype: torch.dtype) -> None:
    a, b = (x.to(dtype) for x in draw(1, 6, 4)[:2])
    torch._dynamo.reset()
    compiled = torch.compile(linear_scan, fullgraph=True, backend="eager")
    with torch.no_grad():
        torch.testing.assert_close(compiled(a, b), linear_scan(a, b))


def test_autocast_does_not_lower_the_precision() -> None:
    a, b, _ = (x.float() for x in draw(2, 20, 8))
    plain = linear_scan(a, b)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(linear_scan(a, b), plain)


def test_memory_beside_operands_and_results_does_not_grow_with_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the buffers take is bounded by the tile, whatever the length."""
    sizes: list[int] = []
    plain = torch.Tensor.new_empty

    def noting(self: Tensor, *args: Any, **options: Any) -> Tensor:
        made = plain(self, *args, **options)
        sizes.append(made.numel())
        return made

    monkeypatch.setattr(torch.Tensor, "new_empty", noting)
    for length in (20_000, 80_000):
        a, b, _ = (x.float() for x in draw(1, length, 64))
        sizes.clear()
        portable.forward(a, b, None, False)
        sizes.remove(b.numel())  # the result
        assert sum(sizes) <= 2.2 * portable.TILE
