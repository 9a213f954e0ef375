"""EinFFT against sums written with complex scalars, its paths against each other, and its laws."""

from __future__ import annotations

import cmath
import math
from typing import Any

import pytest
import torch
from torch.autograd import gradcheck

from seqsuite.errors import UserError
from seqsuite.ops._dispatch import choose
from seqsuite.ops._einfft.op import _OPERATOR, einfft, einfft_spectrum

NAMES = ("x", "weight1", "bias1", "weight2", "bias2")


def draw(
    batch: int = 2, length: int = 7, blocks: int = 3, size: int = 2, hidden: int = 3, seed: int = 0
) -> list[torch.Tensor]:
    """Input, and weights and biases of both layers; float64."""
    random = torch.Generator().manual_seed(seed)
    shapes: list[tuple[int, ...]] = [(batch, length, blocks * size), (2, blocks, size, hidden), (2, blocks, hidden)]
    shapes += [(2, blocks, hidden, size), (2, blocks, size)]
    return [torch.randn(*shape, generator=random, dtype=torch.float64) for shape in shapes]


def by_scalars(tensors: list[torch.Tensor], threshold: float) -> list[list[list[float]]]:
    """The operator by Python's complex numbers: sums over all steps and blocks for each frequency, and back."""
    x, W1, b1, W2, b2 = (t.tolist() for t in tensors)
    batch, length, blocks, size, hidden = len(x), len(x[0]), len(W1[0]), len(W1[0][0]), len(b1[0][0])
    root = math.sqrt(length * blocks)

    def shrink(v: float) -> float:
        return math.copysign(max(abs(v) - threshold, 0.0), v)

    out = [[[0.0] * (blocks * size) for _ in range(length)] for _ in range(batch)]
    for b in range(batch):
        for f in range(length):
            for g in range(blocks):
                X = [0j] * size
                for t in range(length):
                    for m in range(blocks):
                        wave = cmath.exp(-2j * math.pi * (f * t / length + g * m / blocks)) / root
                        X = [X[k] + wave * x[b][t][m * size + k] for k in range(size)]
                H = []
                for j in range(hidden):
                    h = sum(X[k] * complex(W1[0][g][k][j], W1[1][g][k][j]) for k in range(size))
                    h += complex(b1[0][g][j], b1[1][g][j])
                    H.append(complex(max(h.real, 0.0), max(h.imag, 0.0)))
                for k in range(size):
                    y = sum(H[j] * complex(W2[0][g][j][k], W2[1][g][j][k]) for j in range(hidden))
                    y += complex(b2[0][g][k], b2[1][g][k])
                    y = complex(shrink(y.real), shrink(y.imag))
                    for t in range(length):
                        for m in range(blocks):
                            wave = cmath.exp(2j * math.pi * (f * t / length + g * m / blocks)) / root
                            out[b][t][m * size + k] += (y * wave).real
    return out


@pytest.mark.parametrize("backend", ["reference", "portable"])
@pytest.mark.parametrize("length", [1, 2, 5, 6])
@pytest.mark.parametrize("blocks", [1, 2, 3, 4])
def test_it_is_the_formula_written_with_scalars(blocks: int, length: int, backend: str) -> None:
    tensors = draw(2, length, blocks)
    expected = torch.tensor(by_scalars(tensors, 0.3), dtype=torch.float64)
    y = einfft(*tensors, threshold=0.3, backend=backend)
    torch.testing.assert_close(y, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("backend", ["reference", "portable"])
@pytest.mark.parametrize(("length", "blocks"), [(1, 2), (4, 1), (5, 3)])
def test_gradients_are_the_derivatives(length: int, blocks: int, backend: str) -> None:
    def mix(*tensors: torch.Tensor) -> torch.Tensor:
        return einfft(*tensors, threshold=0.2, backend=backend)

    assert gradcheck(mix, [x.requires_grad_() for x in draw(2, length, blocks)])


@pytest.mark.parametrize(
    "sizes", [(1, 1, 1, 1, 1), (2, 2, 2, 5, 5), (3, 63, 4, 3, 2), (2, 65, 5, 2, 4), (1, 130, 4, 4, 4)]
)
@pytest.mark.parametrize("threshold", [0.0, 0.5])
def test_paths_agree_with_all_gradients(sizes: tuple[int, ...], threshold: float) -> None:
    leaves = [x.requires_grad_() for x in draw(*sizes)]
    weight = torch.randn(leaves[0].shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    results = []
    for backend in ("portable", "reference"):
        y = einfft(*leaves, threshold=threshold, backend=backend)
        results.append([y, *torch.autograd.grad((y * weight).sum(), leaves)])
    for mine, true in zip(*results, strict=True):
        torch.testing.assert_close(mine, true, rtol=1e-11, atol=1e-11)


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("length", [1, 2, 7, 63, 65, 130])
def test_portable_float32_against_reference_float64(length: int, relative_l2: Any) -> None:
    tensors = [x.float().double() for x in draw(3, length, 4, 8, 8)]
    weight = torch.randn(tensors[0].shape, generator=torch.Generator().manual_seed(1)).double()
    results = []
    for dtype, backend in ((torch.float32, "portable"), (torch.float64, "reference")):
        leaves = [x.to(dtype).requires_grad_() for x in tensors]
        y = einfft(*leaves, backend=backend)
        results.append([y, *torch.autograd.grad((y * weight.to(dtype)).sum(), leaves)])
    for index, (mine, true) in enumerate(zip(*results, strict=True)):
        assert relative_l2(mine, true) <= (1e-6 if index == 0 else 5e-6)


def test_the_spectrum_is_unitary_and_undone_by_its_inverse() -> None:
    x = draw(2, 9, 4, 3)[0]
    X = einfft_spectrum(x, 4)
    assert X.shape == (2, 9, 4, 3)
    torch.testing.assert_close(X.abs().square().sum(), x.square().sum())
    torch.testing.assert_close(torch.fft.ifft2(X, dim=(1, 2), norm="ortho").real.flatten(-2), x)


def test_layers_that_copy_give_the_input_back() -> None:
    x = draw(2, 8, 4, 3)[0]
    one = torch.stack((torch.eye(3), torch.zeros(3, 3)))[:, None].expand(2, 4, 3, 3).double()
    up = torch.full((2, 4, 3), 50.0, dtype=torch.float64)  # relu passes everything on
    y = einfft(x, one, up, one, -up, threshold=0.0)
    torch.testing.assert_close(y, x, rtol=0, atol=1e-11)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32_and_rounded_once(dtype: torch.dtype) -> None:
    tensors = [x.to(dtype) for x in draw(2, 30, 4, 4)]
    leaves = [x.clone().requires_grad_() for x in tensors]
    y = einfft(*leaves)
    exact = einfft(*(x.double() for x in tensors))
    assert y.dtype == dtype
    assert ((y.double() - exact).abs() <= torch.finfo(dtype).eps * exact.abs() + 1e-4).all()
    assert [g.dtype for g in torch.autograd.grad(y.sum(), leaves)] == [dtype] * 5


def test_there_is_no_triton_path_and_it_says_so() -> None:
    tensors = [x.float() for x in draw()]
    choice = choose(_OPERATOR, "cuda", torch.float32, {}, None)
    assert choice.backend == "portable"
    assert "einfft has no Triton kernel; on a GPU the portable path" in choice.rejected["triton"]
    with pytest.raises(UserError, match=r"^einfft: backend 'triton' cannot serve this call: einfft has no Triton"):
        einfft(*tensors, backend="triton")


def test_differentiating_twice_is_refused() -> None:
    x, *layers = draw()
    x.requires_grad_()
    (grad,) = torch.autograd.grad(einfft(x, *layers).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="einfft can be differentiated once only"):
        grad.sum().backward()


@pytest.mark.parametrize(
    ("index", "shape", "message"),
    [
        (0, (2, 0, 6), r"^x must be \(B, L, D\) with L > 0, got \(2, 0, 6\)"),
        (0, (7, 6), r"^x must be \(B, L, D\)"),
        (1, (2, 3, 3, 3), r"^weight1 must be \(2, G, K, M\) with G K = D = 6, got \(2, 3, 3, 3\)"),
        (1, (1, 3, 2, 3), r"^weight1 must be"),
        (2, (2, 3, 2), r"^bias1 must be \(2, 3, 3\), got \(2, 3, 2\)"),
        (3, (2, 3, 2, 3), r"^weight2 must be \(2, 3, 3, 2\), got \(2, 3, 2, 3\)"),
        (4, (3, 2), r"^bias2 must be \(2, 3, 2\), got \(3, 2\)"),
    ],
)
def test_a_shape_that_does_not_fit_is_named(index: int, shape: tuple[int, ...], message: str) -> None:
    tensors = draw()
    tensors[index] = torch.zeros(shape, dtype=torch.float64)
    with pytest.raises(ValueError, match=message):
        einfft(*tensors)


def test_other_arguments_that_cannot_be_are_named() -> None:
    tensors = draw()
    for threshold in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match=r"^threshold must be at least 0 and finite"):
            einfft(*tensors, threshold=threshold)
    with pytest.raises(ValueError, match=r"^x must be .* D a multiple of 4 blocks, got \(2, 7, 6\)"):
        einfft_spectrum(tensors[0], 4)


@pytest.mark.parametrize("dtype", [torch.int64, torch.complex64])
@pytest.mark.parametrize("index", range(5))
def test_an_operand_that_is_not_floating_point_is_named(index: int, dtype: torch.dtype) -> None:
    tensors = draw()
    tensors[index] = tensors[index].to(dtype)
    with pytest.raises(TypeError, match=f"^{NAMES[index]} must be .*not {dtype}$"):
        einfft(*tensors)


@pytest.mark.parametrize(("batch", "size"), [(0, 2), (2, 0)])
def test_without_rows_or_channels_everything_is_empty(batch: int, size: int) -> None:
    leaves = [x.requires_grad_() for x in draw(batch, 5, 3, size)]
    y = einfft(*leaves)
    assert y.shape == leaves[0].shape
    for leaf, grad in zip(leaves, torch.autograd.grad(y.sum(), leaves), strict=True):
        assert torch.equal(grad, torch.zeros_like(leaf))


def test_registered_operators_obey_the_rules_of_torch() -> None:
    operands = draw(2, 5)
    forward, backward = torch.ops.seqsuite.einfft_fwd, torch.ops.seqsuite.einfft_bwd
    for keep in (False, True):
        torch.library.opcheck(forward, (*operands, 0.1, keep))
        torch.library.opcheck(backward, (operands[0], *operands, forward(*operands, 0.1, keep)[1], 0.1))


def test_it_traces_into_one_graph_and_ignores_autocast() -> None:
    def loss(*tensors: torch.Tensor) -> torch.Tensor:
        return einfft(*tensors).square().sum()

    leaves = [x.float().requires_grad_() for x in draw()]
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    expected = torch.autograd.grad(loss(*leaves), leaves)
    for mine, true in zip(torch.autograd.grad(compiled(*leaves), leaves), expected, strict=True):
        torch.testing.assert_close(mine, true, rtol=1e-5, atol=1e-5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = einfft(*leaves)
    assert torch.equal(inside, einfft(*leaves))
