"""EinFFT as a module: grids, the published parameters, precision, and what it refuses."""

from __future__ import annotations

import pytest
import torch

from seqsuite.backbones import EinFFT
from seqsuite.errors import UserError


def make(dim=12, blocks=4, **options):
    torch.manual_seed(0)
    return EinFFT(dim, blocks, init_std=0.5, **options)


def formula(module, x):
    """The paper's formula in complex numbers, block by block, on (L, D)."""
    weights = [torch.complex(*module.get_parameter(f"complex_weight_{layer}")) for layer in (1, 2)]
    biases = [torch.complex(*module.get_parameter(f"complex_bias_{layer}")) for layer in (1, 2)]
    length, dim = x.shape
    X = torch.fft.fft2(x.view(length, module.blocks, -1), dim=(0, 1), norm="ortho")
    Y = torch.empty_like(X)
    for g in range(module.blocks):
        h = X[:, g] @ weights[0][g] + biases[0][g]
        y = torch.complex(h.real.relu(), h.imag.relu()) @ weights[1][g] + biases[1][g]
        parts = torch.stack((y.real, y.imag))
        shrunk = parts.sign() * (parts.abs() - module.threshold).clamp(min=0)
        Y[:, g] = torch.complex(*shrunk)
    return torch.fft.ifft2(Y, dim=(0, 1), norm="ortho").real.reshape(length, dim)


@pytest.mark.parametrize("grid", [(1,), (7,), (3, 5), (2, 3, 4)])
@pytest.mark.parametrize("blocks", [1, 3, 4])
def test_a_grid_is_the_formula_over_its_cells_in_row_major_order(grid, blocks):
    mix = make(blocks=blocks).double()
    x = torch.randn(2, *grid, 12, dtype=torch.float64)
    expected = torch.stack([formula(mix, row.reshape(-1, 12)).view(*grid, 12) for row in x])
    torch.testing.assert_close(mix(x), expected, rtol=1e-10, atol=1e-12)


def test_a_strided_grid_gives_the_same_as_its_copy():
    mix = make()
    x = torch.randn(2, 12, 3, 5).permute(0, 2, 3, 1)
    torch.testing.assert_close(mix(x), mix(x.contiguous()), rtol=0, atol=0)


def test_parameters_are_the_published_ones():
    torch.manual_seed(0)
    mix = EinFFT(64)
    shapes = {name: tuple(parameter.shape) for name, parameter in mix.named_parameters()}
    assert shapes == {
        "complex_weight_1": (2, 4, 16, 16),
        "complex_weight_2": (2, 4, 16, 16),
        "complex_bias_1": (2, 4, 16),
        "complex_bias_2": (2, 4, 16),
    }
    values = torch.cat([parameter.detach().flatten() for parameter in mix.parameters()])
    # 4352 draws: mean and spread lie within five standard errors.
    assert abs(values.mean()) < 5 * 0.02 / len(values) ** 0.5
    assert abs(values.std() / 0.02 - 1) < 5 / (2 * len(values)) ** 0.5
    assert mix.no_decay == {name for name in shapes if "bias" in name}


def test_reset_draws_anew():
    mix = make()
    before = {name: parameter.detach().clone() for name, parameter in mix.named_parameters()}
    mix.reset_parameters()
    for name, parameter in mix.named_parameters():
        assert (parameter != before[name]).all()


def test_under_autocast_it_stays_in_float32():
    mix = make(32)
    x = torch.randn(2, 6, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = mix(x)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, mix(x), rtol=0, atol=0)


def test_half_inputs_come_back_in_their_dtype_and_are_computed_in_float32():
    mix = make(32).to(torch.bfloat16)
    x = torch.randn(2, 6, 32, dtype=torch.bfloat16)
    y = mix(x)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y, mix.float()(x.float()).to(torch.bfloat16), rtol=0, atol=0)


def test_it_is_built_where_it_is_asked_to_be():
    mix = EinFFT(8, device="meta", dtype=torch.float64)
    assert {(p.device.type, p.dtype) for p in mix.parameters()} == {("meta", torch.float64)}
    assert mix(torch.empty(2, 3, 5, 8, device="meta", dtype=torch.float64)).shape == (2, 3, 5, 8)


def test_every_parameter_gets_a_gradient():
    mix = make()
    mix(torch.randn(2, 3, 5, 12)).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in mix.parameters())


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"dim": 30}, "EinFFT: the width 30 is no multiple of 4 blocks"),
        ({"dim": 0}, "EinFFT: dim must be at least 1, not 0"),
        ({"dim": 8, "blocks": 0}, "EinFFT: blocks must be at least 1, not 0"),
        ({"dim": 8, "threshold": -1}, "EinFFT: threshold must be at least 0, not -1"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(options, line):
    with pytest.raises(UserError, match=line):
        EinFFT(**options)


@pytest.mark.parametrize("shape", [(2, 12), (2, 5, 8)])
def test_another_shape_is_told(shape):
    with pytest.raises(ValueError, match="x must be"):
        make()(torch.randn(shape))
