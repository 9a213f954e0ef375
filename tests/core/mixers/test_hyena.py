"""Hyena against its formula written down literally, its options, its marks, and the laws beyond the defaults."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from seqsuite.backbones import Bidirectional
from seqsuite.errors import UserError
from seqsuite.mixers import create_mixer
from seqsuite.mixers.hyena import Hyena
from seqsuite.ops import Seq
from seqsuite.testing.mixers import MIXER_LAWS
from seqsuite.training.optim import parameter_groups

VARIANTS = {
    "order 3": {"order": 3, "l_max": 40, "num_inner_mlps": 1},
    "trained positions": {"trainable_positions": True, "l_max": 20, "emb_dim": 7},
    "no bias, no fading": {"bias": False, "modulate": False, "short_filter": 5, "recompute": True},
}


def build(**options):
    torch.manual_seed(0)
    mixer = Hyena(6, **options).double()
    for parameter in mixer.parameters():  # no parameter keeps a special initial value
        parameter.data += 0.1 * torch.randn_like(parameter)
    return mixer


def literal_filter(mixer, length, *, l_max, emb_dim, fast=0.3, slow=1.5, target=0.01, shift=0.05, modulate=True):
    """The filter from the paper's text: complex exponentials, a sine MLP, exponential fading."""
    t = torch.linspace(0, 1, l_max, dtype=torch.float64)[:, None]
    bands = (emb_dim - 1) // 2
    w = 2 * math.pi * torch.arange(l_max, dtype=torch.float64)[:, None] / l_max
    wave = torch.exp(-1j * torch.linspace(1e-4, bands - 1, bands, dtype=torch.float64) * w)
    h = torch.cat((t, wave.real, wave.imag), -1) if mixer.filter.z is None else mixer.filter.z
    *hidden, last = mixer.filter.layers
    for layer in hidden:
        h = torch.sin(mixer.filter.freq * (h @ layer.weight.T + layer.bias))
    h = h @ last.weight.T
    rates = torch.linspace(math.log(target) / slow, math.log(target) / fast, h.shape[1], dtype=torch.float64).abs()
    return (h * (torch.exp(-t * rates) + shift) if modulate else h)[:length]


def literal(mixer, x, filter_options):
    """The operator from the paper's text: sums over all pairs of steps."""
    length, taps = x.shape[1], mixer.short_filter.weight.shape[-1]
    z = F.linear(x, mixer.in_proj.weight, mixer.in_proj.bias)
    z = F.conv1d(z.mT, mixer.short_filter.weight, mixer.short_filter.bias, padding=taps - 1, groups=z.shape[-1])
    *gates, v = z[..., :length].mT.split(6, -1)
    k = literal_filter(mixer, length, **filter_options)
    lag = torch.arange(length)[:, None] - torch.arange(length)
    for index, gate in enumerate(reversed(gates[1:])):
        part = slice(6 * index, 6 * index + 6)
        toeplitz = torch.where((lag >= 0)[..., None], k[lag.clamp(min=0)][..., part], 0)
        v = v * gate
        v = torch.einsum("tsd,bsd->btd", toeplitz, v) + mixer.D[part] * v
    return F.linear(v * gates[0], mixer.out_proj.weight, mixer.out_proj.bias)


@pytest.mark.parametrize("length", [1, 13, 40])
@pytest.mark.parametrize("order", [2, 3, 4])
def test_the_mixer_is_its_formula(order, length):
    mixer = build(order=order, l_max=40)
    x = torch.randn(2, length, 6, dtype=torch.float64)
    torch.testing.assert_close(mixer(x), literal(mixer, x, {"l_max": 40, "emb_dim": 5}), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(
    "options",
    [
        {"l_max": 30, "emb_dim": 3},
        {"l_max": 30, "emb_dim": 9, "fast": 0.1, "slow": 2.0, "target": 0.5, "shift": 0.0},
        {"l_max": 24, "emb_dim": 5, "modulate": False},
    ],
)
@pytest.mark.parametrize("trained", [False, True])
def test_the_filter_is_its_formula(options, trained):
    names = {"fast": "fast_decay_pct", "slow": "slow_decay_pct"}
    mixer = build(trainable_positions=trained, **{names.get(name, name): value for name, value in options.items()})
    for length in (1, 24):
        taps = mixer.filter(length)
        assert taps.shape == (length, 6)
        torch.testing.assert_close(taps, literal_filter(mixer, length, **options), rtol=1e-10, atol=1e-12)


def test_a_shorter_input_uses_the_first_taps():
    mixer = build(l_max=64)
    x = torch.randn(1, 64, 6, dtype=torch.float64)
    torch.testing.assert_close(mixer(x[:, :20]), mixer(x)[:, :20], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("law", MIXER_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_keep_the_laws(variant, law):
    law(lambda: Hyena(6, **VARIANTS[variant]))


@pytest.mark.parametrize("law", MIXER_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize(("combine", "tie"), [("add", "none"), ("add", "projections"), ("concat", "all")])
def test_both_directions_keep_the_laws(combine, tie, law):
    law(lambda: Bidirectional(Hyena(6, filter_width=8), combine=combine, tie=tie))


def test_long_rows_padded_packed_and_reversed_are_the_documents_alone():
    mixer = build(l_max=64)
    x = torch.randn(2, 60, 6, dtype=torch.float64)
    for reverse in (False, True):
        packed = mixer(x, seq=Seq.from_cu_seqlens([[0, 20, 53], [0, 60]], 60), reverse=reverse)
        for row, begin, end in ((0, 0, 20), (0, 20, 53), (1, 0, 60)):
            alone = mixer(x[row : row + 1, begin:end], reverse=reverse)
            torch.testing.assert_close(packed[row : row + 1, begin:end], alone, rtol=1e-9, atol=1e-11)
        for side in ("right", "left"):
            padded = mixer(x, seq=Seq.from_lengths([31, 60], 60, side=side), reverse=reverse)
            part = slice(0, 31) if side == "right" else slice(29, 60)
            alone = mixer(x[:1, part], reverse=reverse)
            torch.testing.assert_close(padded[:1, part], alone, rtol=1e-9, atol=1e-11)


def test_an_input_longer_than_l_max_is_refused_in_one_line():
    mixer = Hyena(6, l_max=10)
    with pytest.raises(UserError, match=r"^mixer 'hyena': the input has 11 steps, the filter l_max=10; ") as caught:
        mixer(torch.zeros(1, 11, 6))
    assert "\n" not in str(caught.value)


def test_there_is_no_recurrent_form_and_it_says_so():
    mixer = Hyena(6)
    for call in (
        lambda: mixer.prefill(torch.zeros(1, 2, 6)),
        lambda: mixer.step(torch.zeros(1, 6), ()),
        lambda: mixer.init_state(1, device="cpu", dtype=torch.float32),
    ):
        with pytest.raises(NotImplementedError, match="Hyena has no recurrent form"):
            call()


def test_positions_are_in_the_state_dict_only_where_they_are_trained():
    names = set(Hyena(6).state_dict())
    assert not {name for name in names if "z" in name.split(".") or "deltas" in name}
    assert set(Hyena(6, trainable_positions=True).state_dict()) - names == {"filter.z"}
    fixed, trained = Hyena(6, l_max=50), Hyena(6, l_max=50, trainable_positions=True)
    trained.load_state_dict(fixed.state_dict() | {"filter.z": trained.filter.z})
    torch.testing.assert_close(trained.filter(50), fixed.filter(50))


@pytest.mark.parametrize("rule", ["matrices", "published"])
def test_the_filter_has_its_own_learning_rate_and_no_decay(rule):
    mixer = Hyena(6, filter_lr_scale=0.25, trainable_positions=True)
    groups = {group["name"]: group for group in parameter_groups(mixer, lr=1.0, weight_decay=0.1, rule=rule)}
    marked = groups["no_decay_lr_x0.25"]
    assert {id(p) for p in marked["params"]} == {id(p) for p in mixer.filter.parameters()}
    assert marked["lr"] == 0.25
    assert marked["weight_decay"] == 0
    assert {id(p) for p in groups["decay"]["params"]} == {
        id(part.weight) for part in (mixer.in_proj, mixer.short_filter, mixer.out_proj)
    }
    copied = Bidirectional(mixer).reverse_mixer
    assert {p._lr_scale for p in copied.filter.parameters()} == {0.25}


def test_under_autocast_the_filter_stays_in_float32():
    mixer = Hyena(6)
    expected = mixer.filter(30)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(mixer.filter(30), expected)
        assert mixer(torch.randn(1, 30, 6)).dtype == torch.bfloat16


def test_the_filters_initial_frequency_is_w():
    mixer = Hyena(6, w=3.0, filter_width=7)
    assert torch.equal(mixer.filter.freq, torch.full((7,), 3.0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": 1}, "order must be at least 2, not 1"),
        ({"l_max": 0}, "l_max must be at least 1, not 0"),
        ({"emb_dim": 1}, "emb_dim must be at least 3, not 1"),
        ({"emb_dim": 6}, r"emb_dim must be odd \(one fraction, cosines and sines in pairs\), not 6"),
        ({"filter_width": 0}, "filter_width must be at least 1, not 0"),
        ({"short_filter": 0}, "short_filter must be at least 1, not 0"),
        ({"num_inner_mlps": -1}, "num_inner_mlps must be at least 0, not -1"),
        ({"fast_decay_pct": 0}, "fast_decay_pct must be above 0, not 0.0"),
        ({"target": 1.0}, "target must be below 1, not 1.0"),
        ({"shift": float("nan")}, "shift must be finite, not nan"),
        ({"filter_lr_scale": -1}, "filter_lr_scale must be at least 0, not -1.0"),
    ],
)
def test_options_out_of_range_are_named(options, message):
    with pytest.raises(UserError, match=f"^mixer 'hyena': {message}$"):
        create_mixer("hyena", 8, **options)


@pytest.mark.parametrize("order", [2, 4])
@pytest.mark.parametrize("chunk", [7, 32, 60])
def test_a_sweep_over_the_disk_is_forward(order, chunk):
    mixer = build(order=order, l_max=64)
    x = torch.randn(2, 60, 6, dtype=torch.float64)
    out = torch.full_like(x, torch.nan)
    shapes = []

    def scratch(*shape):
        shapes.append(shape)
        return torch.full(shape, torch.nan, dtype=x.dtype)

    mixer.sweep(lambda start, end: x[:, start:end], out, chunk=chunk, scratch=scratch)
    torch.testing.assert_close(out, mixer(x).detach(), rtol=1e-9, atol=1e-11)
    assert sorted(shapes) == sorted([(60, 6 * (order - 1)), (2, 60, 6)])
    with pytest.raises(UserError, match="l_max=64"):
        mixer.sweep(lambda start, end: x[:, start:end], torch.empty(2, 65, 6), chunk=chunk, scratch=scratch)
