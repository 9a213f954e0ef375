"""TCN against PyTorch's dilated convolutions, its receptive field, and the laws."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from seqsuite.errors import UserError
from seqsuite.mixers.tcn import TCN
from seqsuite.testing.mixers import MIXER_LAWS


class Lively(TCN):
    """Filters large enough that every level counts."""

    @torch.no_grad()
    def reset_parameters(self):
        super().reset_parameters()
        for conv in self._convs():
            conv.g.uniform_(0.5, 1.5)


@pytest.mark.parametrize("law", MIXER_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("options", [{}, {"width": 8, "levels": 2, "kernel_size": 2}], ids=str)
def test_mixer_keeps_the_law(options, law):
    law(lambda: Lively(6, **options))


@pytest.mark.parametrize("law", MIXER_LAWS, ids=lambda law: law.__name__)
def test_initial_mixer_keeps_the_law(law):
    law(lambda: TCN(6))


@pytest.mark.parametrize("width", [6, 5])
def test_output_is_that_of_torch_convolutions(width):
    torch.manual_seed(0)
    mixer = Lively(6, width=width, levels=3, kernel_size=3).double()
    x = torch.randn(2, 20, 6, dtype=torch.float64)
    h = x.transpose(1, 2)
    for index, level in enumerate(mixer.levels):
        u = h
        for conv in (level.conv1, level.conv2):
            norm = conv.v.square().sum((1, 2), keepdim=True).sqrt()
            filters = conv.g[:, None, None] * conv.v / norm
            u = F.relu(F.conv1d(F.pad(u, (2 * 2**index, 0)), filters, conv.bias, dilation=2**index))
        kept = h if level.residual is None else level.residual(h.transpose(1, 2)).transpose(1, 2)
        h = F.relu(u + kept)
    torch.testing.assert_close(mixer(x), mixer.out_proj(h.transpose(1, 2)), rtol=1e-11, atol=1e-12)


def test_an_output_depends_on_the_receptive_field_and_no_more():
    torch.manual_seed(0)
    mixer = Lively(4, levels=3, kernel_size=2).double()
    with torch.no_grad():
        for conv in mixer._convs():
            conv.v.abs_()  # so that no path is cut by a rectifier
            conv.bias.fill_(1.0)
    assert mixer.receptive_field == 1 + 2 * (1 + 2 + 4)
    x = torch.rand(1, 30, 4, dtype=torch.float64).requires_grad_()
    (gradient,) = torch.autograd.grad(mixer(x)[0, 29].sum(), x)
    reached = gradient[0].abs().sum(1) > 0
    assert reached.tolist() == [False] * (30 - 15) + [True] * 15


def test_the_state_has_one_size_whatever_was_seen():
    mixer = TCN(6, levels=3)
    for length in (1, 50):
        _, state = mixer.prefill(torch.randn(2, length, 6))
        assert state.inputs.shape == (2, 6 * 2 * 2 * (1 + 2 + 4))


def test_filters_have_the_norm_g_and_start_small():
    torch.manual_seed(0)
    mixer = TCN(64, levels=1)
    conv = mixer.levels[0].conv1
    torch.testing.assert_close(conv.g, conv.v.flatten(1).norm(dim=1))
    assert float(conv.v.detach().std()) == pytest.approx(0.01, rel=0.05)


def test_dropout_acts_in_training_only():
    torch.manual_seed(0)
    mixer = Lively(6, dropout=0.5)
    x = torch.randn(1, 9, 6)
    assert not torch.equal(mixer(x), mixer(x))
    mixer.eval()
    assert torch.equal(mixer(x), mixer(x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"levels": 0}, "levels must be at least 1, not 0"),
        ({"kernel_size": 1}, "kernel_size must be at least 2, not 1"),
        ({"width": 0}, "width must be at least 1, not 0"),
        ({"dropout": 1.0}, "dropout must be below 1, not 1.0"),
    ],
)
def test_options_out_of_range_are_named(options, message):
    with pytest.raises(UserError, match=f"^mixer 'tcn': {message}$"):
        TCN(6, **options)
