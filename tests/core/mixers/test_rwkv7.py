"""RWKV-7's time mixing: the laws, and the formula written out head by head."""

from __future__ import annotations

import pytest
import torch

from seqsuite.errors import UserError
from seqsuite.mixers.rwkv7 import RWKV7
from seqsuite.ops import Seq
from seqsuite.testing.mixers import MIXER_LAWS

BUILDS = {
    "defaults": lambda: RWKV7(6),
    "heads": lambda: RWKV7(6, head_dim=2, decay_rank=3, a_rank=2, gate_rank=5, norm_eps=1e-5),
    "prime": lambda: RWKV7(7),
}


@pytest.mark.parametrize("law", MIXER_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", BUILDS)
def test_mixer_keeps_the_law(name, law):
    law(BUILDS[name])


def drawn(mixer: RWKV7) -> RWKV7:
    """The mixer with parameters of order one everywhere: the published ones start many branches at zero."""
    mixer = mixer.double().requires_grad_(False)
    random = torch.Generator().manual_seed(3)
    for parameter in mixer.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=random, dtype=torch.float64))
    return mixer


def by_the_formula(m: RWKV7, x: torch.Tensor) -> torch.Tensor:
    """One row (L, D), after the equations of the paper: state (V, K), keys and values as rows."""
    N, outputs = m.head_dim, []
    state = [torch.zeros(N, N, dtype=x.dtype) for _ in range(m.num_heads)]
    previous = torch.zeros_like(x[0])
    for x_t in x:
        mixed = {c: x_t + (previous - x_t) * m.get_parameter(f"x_{c}") for c in "rwkvag"}
        previous = x_t
        r, k, v = m.receptance.weight @ mixed["r"], m.key.weight @ mixed["k"], m.value.weight @ mixed["v"]
        d = m.w0 + torch.tanh(mixed["w"] @ m.w1) @ m.w2
        # The public code writes the decay as exp(-exp(-softplus(-d) - 1/2)).
        w = torch.exp(-torch.exp(-torch.log1p(torch.exp(-d)) - 0.5))
        a = torch.sigmoid(m.a0 + (mixed["a"] @ m.a1) @ m.a2)
        g = torch.sigmoid(mixed["g"] @ m.g1) @ m.g2
        removal, key = k * m.k_k, k * (1 + (a - 1) * m.k_a)
        rows = []
        for h in range(m.num_heads):
            at = slice(h * N, (h + 1) * N)
            kappa = removal[at] / removal[at].norm()
            transition = torch.diag(w[at]) - torch.outer(kappa, a[at] * kappa)
            state[h] = state[h] @ transition + torch.outer(v[at], key[at])
            o = state[h] @ r[at]
            normed = (o - o.mean()) / torch.sqrt(((o - o.mean()) ** 2).mean() + m.ln_x.eps)
            bonus = (r[at] * key[at] * m.r_k[h]).sum() * v[at]
            rows.append(normed * m.ln_x.weight[at] + m.ln_x.bias[at] + bonus)
        outputs.append(m.output.weight @ (torch.cat(rows) * g))
    return torch.stack(outputs)


@pytest.mark.parametrize("name", BUILDS)
def test_output_is_the_formula(name):
    mixer = drawn(BUILDS[name]())
    x = torch.randn(2, 12, mixer.d_model, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = torch.stack([by_the_formula(mixer, row) for row in x])
    torch.testing.assert_close(mixer(x), expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("law", [law for law in MIXER_LAWS if law.__name__ != "float32_is_close"])
def test_laws_hold_for_parameters_of_order_one(law):
    """Many branches start at zero; the laws hold when they speak, too."""

    def build() -> RWKV7:
        mixer = RWKV7(6, head_dim=3)
        with torch.no_grad():
            for parameter in mixer.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel())))
        return mixer

    law(build)


def test_padding_yields_zero():
    mixer = drawn(RWKV7(6)).float()
    seq = Seq.from_lengths([3, 7], 9)
    assert not mixer(torch.randn(2, 9, 6), seq=seq)[~seq.valid].any()


def test_initial_parameters_are_the_published_first_layer_s():
    torch.manual_seed(0)
    mixer = RWKV7(128).requires_grad_(False)
    assert (mixer.head_dim, mixer.num_heads) == (64, 2)
    assert (mixer.w1.shape[1], mixer.a1.shape[1], mixer.g1.shape[1]) == (32, 32, 64)
    assert float(mixer.x_r[0]) == 1.0
    assert float(mixer.x_w[64]) == pytest.approx(1 - 0.5**0.9)
    # Channel 0 begins its head's zigzag at -1, the last channel ends it at 1.
    assert float(mixer.w0[0]) == pytest.approx(-6 + 0.5 - 2.5)
    assert float(mixer.w0[127]) == pytest.approx(0.5 + 2.5)
    assert float(mixer.a0[127]) == pytest.approx(-0.19 + 0.3 + 0.2)
    assert float(mixer.k_k[0]) == pytest.approx(0.71 + 0.05)
    assert not mixer.w1.any()
    torch.testing.assert_close(mixer.a2 @ mixer.a2.T, 0.01 * torch.eye(32), atol=1e-6, rtol=0)
    assert 0.04 < mixer.key.weight.abs().max() * 128**0.5 <= 0.05
    decayed = {name for name, p in mixer.named_parameters() if p.ndim > 1 and not hasattr(p, "_no_weight_decay")}
    assert decayed == {f"{name}.weight" for name in ("receptance", "key", "value", "output")}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"head_dim": 1}, "head_dim must be at least 2, not 1"),
        ({"head_dim": 3}, "head_dim must divide d_model, 8, and 3 does not"),
        ({"decay_rank": 0}, "decay_rank must be at least 1, not 0"),
        ({"gate_rank": -1}, "gate_rank must be at least 1, not -1"),
        ({"norm_eps": 0.0}, "norm_eps must be above 0, not 0.0"),
    ],
)
def test_options_out_of_range_are_named(options, message):
    with pytest.raises(UserError, match=f"^mixer 'rwkv7': {message}$"):
        RWKV7(8, **options)


def test_a_single_channel_is_refused_by_its_name():
    for width in (1, 0, -1):
        with pytest.raises(UserError, match=f"^mixer 'rwkv7': d_model must be at least 2, not {width}$"):
            RWKV7(width)
