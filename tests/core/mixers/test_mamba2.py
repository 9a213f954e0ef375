"""Mamba-2: the laws, the quadratic form of its layer, published shapes and initial values."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from seqsuite.errors import UserError
from seqsuite.mixers.mamba2 import Mamba2
from seqsuite.testing.mixers import MIXER_LAWS

SMALL = {"d_state": 5, "headdim": 3, "ngroups": 2, "bias": True}


@pytest.mark.parametrize("law", MIXER_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("options", [{}, SMALL, SMALL | {"norm_before_gate": True, "chunk_size": 4}])
def test_laws(law, options):
    law(lambda: Mamba2(6, **options))


@pytest.mark.parametrize("before", [False, True])
def test_it_is_masked_attention_written_as_the_paper_does(before):
    torch.manual_seed(0)
    mixer = Mamba2(6, **SMALL, norm_before_gate=before).double()
    torch.nn.init.normal_(mixer.norm.weight)
    torch.nn.init.normal_(mixer.D)
    x = torch.randn(2, 9, 6, dtype=torch.float64)
    z, stream, dt = (x @ mixer.in_proj.weight.T + mixer.in_proj.bias).split((12, 12 + 20, 4), -1)
    taps = F.pad(stream, (0, 0, 3, 0)).unfold(1, 4, 1)  # (B, L, channels, taps)
    stream = F.silu((taps * mixer.conv1d.weight[:, 0]).sum(-1) + mixer.conv1d.bias)
    values, B, C = stream.split((12, 10, 10), -1)
    values = values.view(2, 9, 4, 3)
    B, C = (m.view(2, 9, 2, 5) for m in (B, C))
    dt = torch.log1p(torch.exp(dt + mixer.dt_bias))
    outputs = []
    for head in range(4):
        logs = (-dt[..., head] * mixer.A_log[head].exp()).cumsum(1)
        mask = torch.exp(logs[:, :, None] - logs[:, None]).tril()
        scores = C[:, :, head // 2] @ B[:, :, head // 2].mT
        y = (mask * scores) @ (values[:, :, head] * dt[..., head, None])
        outputs.append(y + mixer.D[head] * values[:, :, head])
    y, gate = torch.cat(outputs, -1), z / (1 + torch.exp(-z))

    def norm(m):
        halves = m.view(2, 9, 2, 6)
        return (halves / (halves.square().mean(-1, keepdim=True) + 1e-5).sqrt()).flatten(2) * mixer.norm.weight

    y = norm(y) * gate if before else norm(y * gate)
    expected = y @ mixer.out_proj.weight.T + mixer.out_proj.bias
    torch.testing.assert_close(mixer(x), expected, rtol=1e-10, atol=1e-12)


def test_parameters_have_the_published_names_and_shapes():
    shapes = {name: tuple(p.shape) for name, p in Mamba2(64, d_state=16, headdim=32).named_parameters()}
    assert shapes == {
        "in_proj.weight": (2 * 128 + 2 * 16 + 4, 64),
        "conv1d.weight": (160, 1, 4),
        "conv1d.bias": (160,),
        "dt_bias": (4,),
        "A_log": (4,),
        "D": (4,),
        "norm.weight": (128,),
        "out_proj.weight": (64, 128),
    }


def test_initial_parameters_have_the_published_distributions():
    torch.manual_seed(0)
    mixer = Mamba2(512, headdim=1, d_state=1, A_init_range=(2.0, 5.0), dt_min=0.01, dt_max=0.05)
    rates, steps = mixer.A_log.exp(), F.softplus(mixer.dt_bias)
    assert 2 <= rates.min() < 2.05
    assert 4.95 < rates.max() <= 5.0001
    assert abs(rates.mean() - 3.5) < 0.1
    assert 0.0099 < steps.min() < 0.011
    assert 0.048 < steps.max() < 0.0501
    assert abs(steps.log().mean() - (torch.tensor(0.01).log() + torch.tensor(0.05).log()) / 2) < 0.1
    assert Mamba2(48).headdim == 48
    assert Mamba2(64).headdim == 64
    assert Mamba2(100).headdim == 50


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"d_state": 0}, "d_state must be at least 1, not 0"),
        ({"headdim": 5}, "headdim must divide the inner width, 16, and 5 does not"),
        ({"headdim": 4, "ngroups": 3}, "ngroups must divide the number of heads, 4, and 3 does not"),
        ({"dt_min": 0.2, "dt_max": 0.1}, "dt_min must not be above dt_max, 0.2 and 0.1"),
        ({"A_init_range": (3.0, 1.0)}, "A_init_range must be finite and rise, not 3.0 and 1.0"),
        ({"A_init_range": (0.0, 1.0)}, "A_init_range must be above 0, not 0.0"),
        ({"chunk_size": 48}, "chunk_size must be a power of two up to 256, not 48"),
        ({"expand": 0.01}, r"expand \* d_model must be at least 1, not 0.08"),
    ],
)
def test_options_out_of_range_are_named(options, message):
    with pytest.raises(UserError, match=f"^mixer 'mamba2': {message}$"):
        Mamba2(8, **options)
