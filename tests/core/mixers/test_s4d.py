"""S4D against its formula, its laws beyond the defaults, its initial values, its published forms, its options."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from seqsuite.errors import UserError
from seqsuite.mixers.hippo import diagonal
from seqsuite.mixers.options import check_arguments
from seqsuite.mixers.s4d import S4D, s4d_from_published, s4d_options_from_published, s4d_to_published
from seqsuite.testing.mixers import MIXER_LAWS

VARIANTS = {
    "default": {},
    "bilinear, shared": {"d_state": 8, "discretization": "bilinear", "init": "legs", "channels": 2, "n_ssm": 1},
    "dss, a step size a mode": {
        "d_state": 8,
        "discretization": "dss",
        "l_max": 20,
        "init": "quad",
        "output": "none",
        "dt_tie": False,
    },
    "bidirectional": {"d_state": 8, "bidirectional": True, "channels": 2, "init": "real"},
}


def build(**options):
    torch.manual_seed(0)
    mixer = S4D(4, **{"d_state": 8, **options}).double()
    with torch.no_grad():
        for parameter in mixer.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return mixer


def literal_kernel(mixer, length):
    """The kernel from the paper: discretise each mode, then its powers."""
    rows = torch.arange(4) % mixer.n_ssm
    A = torch.complex(-mixer.A_real.exp(), -mixer.A_imag)[rows]
    B, C = torch.view_as_complex(mixer.B)[rows], torch.view_as_complex(mixer.C)
    dt = mixer.inv_dt.exp()
    if mixer.discretization == "bilinear":
        decay, drive = (1 + dt * A / 2) / (1 - dt * A / 2), dt * B / (1 - dt * A / 2)
    else:
        decay, drive = torch.exp(dt * A), (torch.exp(dt * A) - 1) / A * B
    powers = torch.stack([decay**step for step in range(length)], -1)
    return 2 * torch.einsum("chn,hn,hnl->chl", C, drive, powers).real


@pytest.mark.parametrize("length", [1, 13, 40])
@pytest.mark.parametrize(
    "options",
    [{}, {"discretization": "bilinear", "n_ssm": 2, "channels": 2}, {"init": "legs", "dt_tie": False, "n_ssm": 1}],
)
def test_the_mixer_is_its_formula(options, length):
    mixer = build(**options)
    x = torch.randn(2, length, 4, dtype=torch.float64)
    k = literal_kernel(mixer, length)
    torch.testing.assert_close(mixer.kernel(length), k, rtol=1e-9, atol=1e-11)
    lag = torch.arange(length)[:, None] - torch.arange(length)
    toeplitz = torch.where(lag >= 0, k[..., lag.clamp(min=0)], 0)
    y = torch.einsum("chts,bsh->btch", toeplitz, x) + mixer.D * x[:, :, None]
    out = F.linear(F.gelu(y).flatten(2), mixer.output_linear.weight, mixer.output_linear.bias)
    torch.testing.assert_close(mixer(x), out[..., :4] * torch.sigmoid(out[..., 4:]), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("law", MIXER_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_keep_the_laws(variant, law):
    law(lambda: S4D(6, **VARIANTS[variant]))


def test_a_rate_samples_the_same_continuous_system():
    mixer = build()
    with torch.no_grad():
        mixer.inv_dt.copy_(torch.linspace(-8, -7, 4)[:, None])
    # Per unit of time, half as many samples give the same numbers for small steps.
    fine, coarse = mixer.kernel(400), mixer.kernel(200, rate=2.0)
    torch.testing.assert_close(coarse, 2 * fine[..., ::2], rtol=2e-2, atol=2e-4)


@pytest.mark.parametrize("size", [2, 8, 32])
def test_initial_matrices_are_the_formulas(size):
    n = range(size // 2)
    expected = {
        "lin": [complex(-0.5, -math.pi * k) for k in n],
        "inv": [complex(-0.5, -size / math.pi * (size / (2 * k + 1) - 1)) for k in n],
        "inv2": [complex(-0.5, -size / math.pi * (size / (k + 1) - 1)) for k in n],
        "quad": [complex(-0.5, -((1 + 2 * k) ** 2) / math.pi) for k in n],
        "real": [complex(-1 - k, 0) for k in n],
    }
    for init, values in expected.items():
        A, B = diagonal(init, size, copies=3)
        for row in A:
            assert row.tolist() == pytest.approx(values)
        assert torch.equal(B, torch.ones(3, size // 2, dtype=B.dtype))
    A, _ = diagonal("rand", size, copies=3)
    assert not torch.equal(A[0], A[1])
    assert (A.imag < 0).all()


def test_to_the_block_and_back():
    mixer = build(n_ssm=2, channels=2)
    ours = {name: tensor.detach() for name, tensor in mixer.named_parameters()}
    published = s4d_to_published(ours, layout="block")
    back = s4d_from_published(published)
    assert back.keys() == ours.keys()
    assert all(torch.equal(back[name], ours[name]) for name in ours)
    again = S4D(**s4d_options_from_published(published)).double()
    again.load_state_dict(back)
    x = torch.randn(1, 9, 4, dtype=torch.float64)
    assert torch.equal(again(x), mixer(x))


@pytest.mark.parametrize("n_ssm", [None, 2])
def test_to_the_minimal_layer_and_back(n_ssm):
    mixer = build(n_ssm=n_ssm, init="legs")
    published = s4d_to_published(dict(mixer.state_dict()), layout="minimal")
    assert {name: tuple(x.shape) for name, x in published.items()} == {
        "D": (4,),
        "kernel.C": (4, 4, 2),
        "kernel.log_dt": (4,),
        "kernel.log_A_real": (4, 4),
        "kernel.A_imag": (4, 4),
        "output_linear.0.weight": (8, 4, 1),
        "output_linear.0.bias": (8,),
    }
    again = S4D(**s4d_options_from_published(published)).double()
    again.load_state_dict(s4d_from_published(published))
    x = torch.randn(1, 9, 4, dtype=torch.float64)
    torch.testing.assert_close(again(x), mixer(x), rtol=1e-10, atol=1e-12)


def test_what_the_minimal_layer_cannot_hold_is_refused():
    for options in ({"channels": 2}, {"dt_tie": False}, {"bidirectional": True}):
        with pytest.raises(UserError, match="the minimal S4D layer has one channel, one direction and one step size"):
            s4d_to_published(dict(build(**options).state_dict()), layout="minimal")
    minimal = s4d_to_published(dict(build().state_dict()), layout="minimal")
    with pytest.raises(UserError, match=r"lacks kernel\.log_dt"):
        s4d_from_published({name: x for name, x in minimal.items() if name != "kernel.log_dt"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"discretization": "dss"}, "l_max must be given with discretization 'dss'"),
        ({"l_max": 0}, "l_max must be at least 1, not 0"),
        ({"d_state": 3}, r"d_state must be even \(conjugate pairs\), not 3"),
        ({"init": "linear"}, "init must be one of 'lin', .*, not 'linear'.*"),
        ({"dt_max": float("inf")}, "dt_max must be finite, not inf"),
    ],
)
def test_options_out_of_range_are_named(options, message):
    with pytest.raises(UserError, match=f"^mixer 's4d': {message}$"):
        S4D(8, **check_arguments(S4D, "mixer 's4d'", options))
