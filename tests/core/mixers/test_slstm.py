"""sLSTM: the paper's equations, its initial values, and the laws with a recurrent matrix that is not zero."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from seqsuite.errors import UserError
from seqsuite.mixers.slstm import SLSTM
from seqsuite.testing.mixers import MIXER_LAWS


class Stirred(SLSTM):
    """Draws the recurrent matrix and biases at random, which initially are zero or ordered."""

    @torch.no_grad()
    def reset_parameters(self):
        super().reset_parameters()
        self.recurrent_kernel.normal_(std=0.5)
        self.bias.normal_()
        self.norm.normal_()


@pytest.mark.parametrize("law", MIXER_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("options", [{}, {"num_heads": 2}, {"d_conv": 0, "num_heads": 2}], ids=str)
def test_mixer_keeps_the_law(options, law):
    law(lambda: Stirred(6, **options))


@pytest.mark.parametrize("law", MIXER_LAWS, ids=lambda law: law.__name__)
def test_initial_mixer_keeps_the_law(law):
    law(lambda: SLSTM(6))


def test_output_is_that_of_the_equations_written_out():
    """By hand, without stabiliser: c_t = f c + exp(i) z, n_t = f n + exp(i), h = o c / n, a head at a time."""
    torch.manual_seed(0)
    mixer = Stirred(6, num_heads=2, d_conv=3).double()
    x = torch.randn(1, 7, 6, dtype=torch.float64)
    got = mixer(x)[0]
    taps, conv_bias = mixer.conv1d.weight[:, 0], mixer.conv1d.bias
    h, c, n = (torch.zeros(2, 3, dtype=torch.float64) for _ in range(3))
    for t in range(7):
        u = sum(taps[:, 2 - lag] * x[0, t - lag] for lag in range(min(t, 2) + 1)) + conv_bias
        u = F.silu(u)
        for head in range(2):
            part = slice(3 * head, 3 * head + 3)
            before = h[head].clone()
            sums = []
            for gate, source in enumerate((u, u, x[0, t], x[0, t])):
                own = mixer.gates[gate, head] @ source[part]
                sums.append(own + mixer.recurrent_kernel[head, gate] @ before + mixer.bias[gate, part])
            i, f, z, o = sums
            c[head] = f.sigmoid() * c[head] + i.exp() * z.tanh()
            n[head] = f.sigmoid() * n[head] + i.exp()
            h[head] = o.sigmoid() * c[head] / n[head]
        spread = ((h - h.mean(1, keepdim=True)) ** 2).mean(1, keepdim=True)
        expected = ((h - h.mean(1, keepdim=True)) / (spread + 1e-5).sqrt()).flatten() * mixer.norm
        torch.testing.assert_close(got[t], expected, rtol=1e-9, atol=1e-11)


def test_initial_values_are_those_of_the_paper():
    torch.manual_seed(0)
    mixer = SLSTM(256)
    assert mixer.num_heads == 4
    assert not mixer.recurrent_kernel.any()
    assert not mixer.bias[[0, 2, 3]].any()
    assert mixer.bias[1, 0] == 5
    assert mixer.bias[1, 63] == -7
    assert mixer.bias[1, :64].diff().max() < 0
    assert torch.equal(mixer.bias[1, :64], mixer.bias[1, 192:])
    assert float(mixer.gates.detach().std()) == pytest.approx((2 / (5 * 256)) ** 0.5, rel=0.02)
    assert SLSTM(256, depth=1.0).bias[1, 32] > mixer.bias[1, 32]


def test_heads_are_apart_before_the_norm():
    """With the other head's inputs changed, a head's output stays: the matrices are block-diagonal."""
    torch.manual_seed(0)
    mixer = Stirred(6, num_heads=2).double()
    x = torch.randn(1, 7, 6, dtype=torch.float64)
    other = x.clone()
    other[..., 3:] += 1
    assert torch.equal(mixer(x)[..., :3], mixer(other)[..., :3])
    assert not torch.allclose(mixer(x)[..., 3:], mixer(other)[..., 3:])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_heads": 4}, "num_heads must divide d_model, 6, and 4 does not"),
        ({"num_heads": 0}, "num_heads must be at least 1, not 0"),
        ({"d_conv": -1}, "d_conv must be at least 0, not -1"),
        ({"depth": 1.5}, "depth must be at most 1, not 1.5"),
        ({"norm_eps": 0.0}, "norm_eps must be above 0, not 0.0"),
    ],
)
def test_options_out_of_range_are_named(options, message):
    with pytest.raises(UserError, match=f"^mixer 'slstm': {message}$"):
        SLSTM(6, **options)
