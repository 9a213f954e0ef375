"""DeltaNet, Gated DeltaNet and DeltaProduct: the laws, and the formulas written out matrix by matrix."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from seqsuite.backbones import Bidirectional
from seqsuite.errors import UserError
from seqsuite.mixers.deltanet import DeltaNet, DeltaProduct, GatedDeltaNet
from seqsuite.ops import Seq
from seqsuite.testing.mixers import MIXER_LAWS

BUILDS: dict[str, Callable[[], DeltaNet]] = {
    "deltanet": lambda: DeltaNet(6),
    "deltanet, options": lambda: DeltaNet(6, num_heads=3, expand_v=2, d_conv=2, conv_bias=True, output_gate=True),
    "gated": lambda: GatedDeltaNet(6),
    "gated, options": lambda: GatedDeltaNet(6, num_heads=2, num_householder=3, allow_neg_eigval=True, bias=True),
    "deltaproduct": lambda: DeltaProduct(6),
    "deltaproduct, options": lambda: DeltaProduct(6, num_heads=2, expand_k=2, num_householder=4),
}


@pytest.mark.parametrize("law", MIXER_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", BUILDS)
def test_mixer_keeps_the_law(name, law):
    law(BUILDS[name])


@pytest.mark.parametrize("tie", ["none", "projections", "all"])
def test_both_directions_are_the_members_combined(tie):
    torch.manual_seed(0)
    both = Bidirectional(GatedDeltaNet(6, num_householder=2), combine="add", tie=tie).double()
    x = torch.randn(2, 9, 6, dtype=torch.float64)
    members = [GatedDeltaNet(6, num_householder=2).double() for _ in range(2)]
    own = {} if both.reverse_mixer is None else both.reverse_mixer.state_dict()
    members[0].load_state_dict(both.forward_mixer.state_dict())
    members[1].load_state_dict(both.forward_mixer.state_dict() | own)
    expected = members[0](x) + members[1](x.flip(1)).flip(1)
    torch.testing.assert_close(both(x), expected, rtol=1e-10, atol=1e-12)


def by_the_formula(mixer: DeltaNet, x: torch.Tensor) -> torch.Tensor:
    """One row (L, D): every transition as a (K, K) matrix, heads and steps in plain loops."""
    heads, n, K = mixer.num_heads, mixer.num_householder, mixer.widths[0] // mixer.num_heads
    values = mixer.widths[2] // n
    V = values // heads
    gated = isinstance(mixer, GatedDeltaNet)
    inner = F.linear(x, mixer.in_proj.weight, mixer.in_proj.bias)
    sizes = [*mixer.widths, values if mixer.output_gate else 0, n * heads, heads if gated else 0]
    q, k, v, gate, beta, raw = inner.split(sizes, dim=-1)
    stream = torch.cat((torch.zeros(mixer.d_conv - 1, sum(mixer.widths), dtype=x.dtype), torch.cat((q, k, v), -1)))
    taps = mixer.conv1d.weight[:, 0]
    S = torch.zeros(heads, K, V, dtype=x.dtype)
    outputs = []
    for t in range(len(x)):
        mixed = sum(taps[:, j] * stream[t + j] for j in range(mixer.d_conv))
        mixed = mixed if mixer.conv1d.bias is None else mixed + mixer.conv1d.bias
        q_t, k_t, v_t = (mixed * torch.sigmoid(mixed)).split(mixer.widths, dim=-1)
        rows = []
        for h in range(heads):
            query = q_t[h * K : (h + 1) * K]
            query = query / torch.sqrt(query @ query + 1e-6) / math.sqrt(K)
            if gated:
                step = torch.log1p(torch.exp(raw[t, h] + mixer.dt_bias[h]))
                S[h] = torch.exp(-torch.exp(mixer.A_log[h]) * step) * S[h].clone()
            for i in range(n):
                key = k_t[(i * heads + h) * K : (i * heads + h + 1) * K]
                key = key / torch.sqrt(key @ key + 1e-6)
                value = v_t[(i * heads + h) * V : (i * heads + h + 1) * V]
                strength = torch.sigmoid(beta[t, i * heads + h]) * (2 if mixer.allow_neg_eigval else 1)
                transition = torch.eye(K, dtype=x.dtype) - strength * torch.outer(key, key)
                S[h] = transition @ S[h].clone() + strength * torch.outer(key, value)
            row = query @ S[h]
            rows.append(row / torch.sqrt(row.square().mean() + mixer.o_norm.eps) * mixer.o_norm.weight)
        y = torch.cat(rows)
        outputs.append(y * gate[t] * torch.sigmoid(gate[t]) if mixer.output_gate else y)
    return F.linear(torch.stack(outputs), mixer.out_proj.weight, mixer.out_proj.bias)


@pytest.mark.parametrize("name", BUILDS)
def test_output_is_the_formula(name):
    torch.manual_seed(1)
    mixer = BUILDS[name]().double().requires_grad_(False)
    mixer.o_norm.weight.normal_()
    x = torch.randn(2, 11, 6, dtype=torch.float64)
    expected = torch.stack([by_the_formula(mixer, row) for row in x])
    torch.testing.assert_close(mixer(x), expected, rtol=1e-9, atol=1e-10)


def test_padding_yields_zero():
    mixer = GatedDeltaNet(6)
    seq = Seq.from_lengths([3, 7], 9)
    assert not mixer(torch.randn(2, 9, 6), seq=seq)[~seq.valid].any()


def test_initial_decays_have_the_published_distributions():
    torch.manual_seed(0)
    mixer = GatedDeltaNet(1024, num_heads=512, a_max=8.0, dt_min=0.01, dt_max=0.05)
    rates, steps = mixer.A_log.exp(), F.softplus(mixer.dt_bias)
    assert 0 <= rates.min() < 0.2
    assert 7.8 < rates.max() <= 8.0
    assert abs(rates.mean() - 4) < 0.4
    assert 0.0099 < steps.min() < 0.011
    assert 0.048 < steps.max() < 0.0501
    middle = (torch.tensor(0.01).log() + torch.tensor(0.05).log()) / 2
    assert abs(steps.log().mean() - middle) < 0.1
    assert {name for name, p in mixer.named_parameters() if getattr(p, "_no_weight_decay", False)} == {
        "A_log",
        "dt_bias",
    }


@pytest.mark.parametrize(("width", "heads"), [(6, 1), (128, 1), (256, 2), (384, 3), (100, 1), (260, 4)])
def test_heads_are_as_few_as_keys_of_128_channels_allow(width, heads):
    assert DeltaNet(width).num_heads == heads


@pytest.mark.parametrize(("reflect", "reaches"), [(False, 0.0), (True, -1.0)])
def test_a_negative_eigenvalue_reflects(reflect, reaches):
    """With beta at its upper end, the state along the key is dropped, or reflected."""
    mixer = DeltaNet(4, allow_neg_eigval=reflect).double()
    own = torch.full((1, 1, 1), 40.0, dtype=torch.float64)  # sigmoid(40) is 1
    *_, beta, _ = mixer._operands(torch.randn(1, 1, sum(mixer.widths), dtype=torch.float64), own)
    assert float(1 - beta) == pytest.approx(reaches, abs=1e-12)


@pytest.mark.parametrize(
    ("cls", "options", "message"),
    [
        (DeltaNet, {"num_heads": 0}, "mixer 'deltanet': num_heads must be at least 1, not 0"),
        (DeltaNet, {"num_heads": 5}, r"mixer 'deltanet': num_heads must divide expand_k \* d_model, 8, and 5 does not"),
        (DeltaNet, {"expand_v": 0.01}, r"mixer 'deltanet': expand_v \* d_model must be at least 1, not 0.08"),
        (DeltaNet, {"expand_k": -1}, "mixer 'deltanet': expand_k must be above 0, not -1"),
        (DeltaProduct, {"num_householder": 0}, "mixer 'deltaproduct': num_householder must be at least 1, not 0"),
        (DeltaProduct, {"d_conv": 0}, "mixer 'deltaproduct': d_conv must be at least 1, not 0"),
        (GatedDeltaNet, {"norm_eps": 0.0}, "mixer 'gated_deltanet': norm_eps must be above 0, not 0.0"),
        (GatedDeltaNet, {"a_max": 0.0}, "mixer 'gated_deltanet': a_max must be above 0, not 0.0"),
        (
            GatedDeltaNet,
            {"dt_min": 0.2, "dt_max": 0.1},
            "mixer 'gated_deltanet': dt_min must not be above dt_max, 0.2 and 0.1",
        ),
    ],
)
def test_options_out_of_range_are_named(cls, options, message):
    with pytest.raises(UserError, match=f"^{message}$"):
        cls(8, **options)
