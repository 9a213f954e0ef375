"""Attention: every option against the formula written out, its cache, and the laws."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from seqsuite.errors import UserError
from seqsuite.mixers.attention import Attention, alibi_slopes, rotate
from seqsuite.ops import Seq
from seqsuite.testing.mixers import MIXER_LAWS, has_recurrence

OPTIONS = [
    {},
    {"num_heads": 3, "num_kv_heads": 1, "window": 4, "position": "alibi"},
    {"num_heads": 2, "head_dim": 5, "window": 3, "qk_norm": True, "bias": True},
    {"num_heads": 2, "position": "nope", "max_length": 13},
    {"num_heads": 2, "position": "alibi", "window": 1},
    {"causal": False, "qk_norm": True},
    {"causal": False, "num_heads": 2, "position": "alibi", "window": 3},
]

SLOPES = {2: [2**-4.0, 2**-8.0], 3: [2**-4.0, 2**-8.0, 2**-2.0]}


@pytest.mark.parametrize("law", MIXER_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("options", [*OPTIONS, {"num_heads": 2, "dropout": 0.3}], ids=str)
def test_mixer_keeps_the_law(options, law):
    law(lambda: Attention(6, **options))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_output_is_that_of_the_formula_written_out(options):
    torch.manual_seed(0)
    mixer = Attention(6, **options).double()
    x = torch.randn(1, 9, 6, dtype=torch.float64)
    heads, groups, dim = mixer.num_heads, mixer.num_kv_heads, mixer.head_dim
    q, k, v = mixer.in_proj(x[0]).split([heads * dim, groups * dim, groups * dim], -1)
    out = torch.zeros(9, heads, dim, dtype=torch.float64)
    for h in range(heads):
        g = h // (heads // groups)
        own_q, own_k = q[:, h * dim : (h + 1) * dim], k[:, g * dim : (g + 1) * dim]
        if mixer.q_norm is not None:
            own_q, own_k = (m / (m.square().mean(1, keepdim=True) + 1e-6).sqrt() for m in (own_q, own_k))
        if mixer.position == "rope":
            own_q, own_k = (turn_pairs(m) for m in (own_q, own_k))
        slope = SLOPES[heads][h] if mixer.position == "alibi" else 0.0
        for i in range(9):
            reach = range(9) if not mixer.causal else range(i + 1)
            seen = [j for j in reach if mixer.window is None or abs(i - j) < mixer.window]
            logits = torch.stack([own_q[i] @ own_k[j] / math.sqrt(dim) - slope * abs(i - j) for j in seen])
            out[i, h] = logits.softmax(0) @ v[seen, g * dim : (g + 1) * dim]
    torch.testing.assert_close(mixer(x)[0], mixer.out_proj(out.flatten(1)), rtol=1e-10, atol=1e-12)


def turn_pairs(x):
    """Each pair (i, i + K // 2) as a complex number times exp(i position rate)."""
    half = x.shape[1] // 2
    pairs = torch.complex(x[:, :half], x[:, half : 2 * half])
    rate = torch.tensor([10000.0 ** (-i / half) for i in range(half)], dtype=torch.float64)
    turned = pairs * torch.exp(1j * torch.arange(len(x))[:, None] * rate)
    return torch.cat((turned.real, turned.imag, x[:, 2 * half :]), 1)


def test_rotated_products_depend_on_the_distance_only():
    q, k = torch.randn(2, 1, 1, 1, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def product(i, j):
        return (rotate(q, torch.tensor([[i]]), 100.0) * rotate(k, torch.tensor([[j]]), 100.0)).sum()

    torch.testing.assert_close(product(5, 3), product(1_000_005, 1_000_003), rtol=1e-8, atol=1e-10)
    assert not torch.allclose(product(5, 3), product(5, 4))


def test_slopes_are_those_of_the_paper():
    torch.testing.assert_close(alibi_slopes(8), torch.tensor([2.0**-i for i in range(1, 9)], dtype=torch.float64))
    torch.testing.assert_close(alibi_slopes(3), torch.tensor(SLOPES[3], dtype=torch.float64))


def test_without_positions_it_is_torchs_attention():
    torch.manual_seed(0)
    mixer = Attention(8, num_heads=2, position="nope", causal=False, bias=True).double()
    layer = nn.MultiheadAttention(8, 2, batch_first=True).double()
    layer.in_proj_weight.data.copy_(mixer.in_proj.weight)
    layer.in_proj_bias.data.copy_(mixer.in_proj.bias)
    layer.out_proj.load_state_dict(mixer.out_proj.state_dict())
    x = torch.randn(2, 9, 8, dtype=torch.float64)
    torch.testing.assert_close(mixer(x), layer(x, x, x)[0], rtol=1e-11, atol=1e-12)


def test_positions_matter():
    torch.manual_seed(0)
    x = torch.randn(1, 9, 6, dtype=torch.float64)
    swapped = x[:, [1, 0, *range(2, 9)]]
    for position in ("rope", "alibi", "nope"):
        mixer = Attention(6, position=position).double()
        assert torch.allclose(mixer(x)[:, 8], mixer(swapped)[:, 8]) == (position == "nope")


def test_a_window_needs_no_more_memory_the_longer_it_runs():
    torch.manual_seed(0)
    mixer = Attention(6, window=4, max_length=5).double()
    x = torch.randn(2, 40, 6, dtype=torch.float64)
    y, state = mixer.prefill(x)
    assert state.k.shape == (2, 4, 1, 6)
    torch.testing.assert_close(y, mixer(x))
    y_t, state = mixer.step(x[:, 3], state)
    torch.testing.assert_close(y_t, mixer(torch.cat((x, x[:, 3:4]), 1))[:, 40])
    assert state.seen.tolist() == [41, 41]


def test_a_document_that_outgrows_the_cache_is_told():
    mixer = Attention(6, max_length=5)
    x = torch.randn(2, 5, 6)
    _, state = mixer.prefill(x)
    with pytest.raises(UserError, match=r"max_length=5 is too short for 6 steps; build it larger"):
        mixer.step(x[:, 0], state)
    with pytest.raises(UserError, match=r"max_length=5 is too short for 9 steps"):
        mixer.init_state(1, device="cpu", dtype=torch.float32, max_length=9)
    assert mixer(torch.randn(1, 20, 6)).shape == (1, 20, 6)
    mixer.prefill(x, state, seq=Seq.from_resets(torch.tensor([[True, False, False, False, False]] * 2)))


def test_a_new_document_forgets_the_cache():
    torch.manual_seed(0)
    mixer = Attention(6, max_length=8).double()
    x = torch.randn(1, 9, 6, dtype=torch.float64)
    _, state = mixer.prefill(x[:, :4])
    seq = Seq.from_resets(torch.tensor([[False, True, False]]))
    y, state = mixer.prefill(x[:, 4:7], state, seq=seq)
    torch.testing.assert_close(y[:, 0], mixer(x[:, :5])[:, 4])
    torch.testing.assert_close(y[:, 1:], mixer(x[:, 5:7]))
    y, state = mixer.prefill(x[:, 7:], state)
    torch.testing.assert_close(y, mixer(x[:, 5:])[:, 2:])
    assert state.seen.tolist() == [4]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_from_right_to_left_is_flipped(options):
    torch.manual_seed(0)
    mixer = Attention(6, **options).double()
    x = torch.randn(2, 9, 6, dtype=torch.float64)
    seq, turned = Seq.from_lengths([5, 9], 9), Seq.from_lengths([5, 9], 9, side="left")
    torch.testing.assert_close(mixer(x, seq=seq, reverse=True), mixer(x.flip(1), seq=turned).flip(1))


def test_grouped_keys_make_the_cache_smaller():
    mixer = Attention(64, num_heads=4, num_kv_heads=1, window=8)
    assert mixer.in_proj.out_features == 64 + 2 * 16
    assert mixer.init_state(2, device="cpu", dtype=torch.bfloat16).k.shape == (2, 8, 1, 16)
    assert (Attention(64).num_heads, Attention(256).num_heads, Attention(6).num_heads) == (2, 8, 1)


def test_dropout_is_drawn_in_training_only():
    torch.manual_seed(0)
    plain = Attention(6, num_heads=2, position="nope").double()
    mixer = Attention(6, num_heads=2, position="nope", dropout=0.5).double()
    mixer.load_state_dict(plain.state_dict())
    x = torch.randn(2, 9, 6, dtype=torch.float64)
    assert torch.equal(mixer.eval()(x), plain(x))
    mixer.train()
    mean = torch.stack([mixer(x) for _ in range(4000)]).mean(0)
    torch.testing.assert_close(mean, plain(x), rtol=0, atol=0.1)
    assert not torch.equal(mixer(x), mixer(x))
    first, others = mixer.prefill(x)[0], plain(x)
    assert not torch.allclose(first, others)


def test_without_causality_there_is_no_recurrent_form():
    mixer = Attention(6, causal=False)
    assert not mixer.recurrent
    assert not has_recurrence(mixer)
    with pytest.raises(NotImplementedError, match="Attention has no recurrent form"):
        mixer.prefill(torch.randn(1, 3, 6))
    assert Attention(6).recurrent


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_heads": 4}, "num_heads must divide d_model, 6, not 4; or give head_dim"),
        ({"num_heads": 3, "num_kv_heads": 2}, "num_kv_heads must divide num_heads, 3, not 2"),
        ({"num_kv_heads": 0}, "num_kv_heads must be at least 1, not 0"),
        ({"num_heads": 0}, "num_heads must be at least 1, not 0"),
        ({"head_dim": 0}, "head_dim must be at least 1, not 0"),
        ({"window": 0}, "window must be at least 1, not 0"),
        ({"max_length": 0}, "max_length must be at least 1, not 0"),
        ({"rope_base": 0.0}, "rope_base must be above 0, not 0.0"),
        ({"dropout": -0.5}, "dropout must be at least 0, not -0.5"),
        ({"dropout": 1.0}, "dropout must be below 1, not 1.0"),
    ],
)
def test_options_out_of_range_are_named(options, message):
    with pytest.raises(UserError, match=f"^mixer 'attention': {message}$"):
        Attention(6, **options)
