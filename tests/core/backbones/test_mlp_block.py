"""The block with an MLP: its formula, the order of its dropouts, and its view over sequences on disk."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from seqsuite.backbones import MLP, MLPBlock, ResidualStack, create_norm
from seqsuite.mixers import Mamba, create_mixer


def make(dropout=0.0, **options):
    torch.manual_seed(0)
    norms = [create_norm("layer", 6, 1e-5) for _ in range(2)]
    block = MLPBlock(Mamba(6, d_state=4), *norms, MLP(6, 9), dropout=dropout, **options).double()
    for parameter in block.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return block


def stack(count=2, **options):
    return ResidualStack([make(**options) for _ in range(count)], create_norm("layer", 6, 1e-5).double()).eval()


def test_a_stack_is_the_pre_norm_formula():
    both = stack()
    x = torch.randn(2, 11, 6, dtype=torch.float64)
    r = x
    for block in both.layers:
        r = r + block.mixer(block.norm1(r))
        h = F.linear(block.norm2(r), block.mlp.fc1.weight, block.mlp.fc1.bias)
        h = 0.5 * h * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (h + 0.044715 * h**3)))
        r = r + F.linear(h, block.mlp.fc2.weight, block.mlp.fc2.bias)
    torch.testing.assert_close(both(x), both.norm_f(r), rtol=1e-10, atol=1e-12)


def test_dropout_is_on_the_branches_not_on_the_stream():
    block = make(dropout=0.5).train()
    x = torch.randn(1, 400, 6, dtype=torch.float64)
    hidden, residual = block(x, None)
    branch = residual - x
    expected = block.mixer(block.norm1(x))
    kept = branch != 0
    torch.testing.assert_close(branch[kept], 2 * expected[kept], rtol=1e-9, atol=1e-12)
    assert 0.45 < kept.double().mean() < 0.55
    assert 0.45 < (hidden != 0).double().mean() < 0.55
    assert (block.eval()(x, None)[0] != 0).all()


def test_the_stream_stays_in_float32_where_asked_for():
    for keep, expected in ((True, torch.float32), (False, torch.bfloat16)):
        block = make(residual_in_fp32=keep).bfloat16()
        hidden, residual = block(torch.randn(1, 5, 6, dtype=torch.bfloat16), None)
        assert hidden.dtype == torch.bfloat16
        assert residual.dtype == expected


@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh", "relu", "silu"])
def test_the_activation_is_the_one_named(activation):
    mlp = MLP(3, 5, activation=activation, bias=False)
    x = torch.randn(4, 3)
    h = x @ mlp.fc1.weight.T
    expected = {
        "gelu": lambda: h * 0.5 * (1 + torch.erf(h / 2**0.5)),
        "gelu_tanh": lambda: 0.5 * h * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (h + 0.044715 * h**3))),
        "relu": lambda: h.clamp(min=0),
        "silu": lambda: h / (1 + torch.exp(-h)),
    }[activation]()
    torch.testing.assert_close(mlp(x), expected @ mlp.fc2.weight.T)


@pytest.mark.parametrize("chunk", [1, 4, 11])
def test_a_sweep_over_the_disk_is_forward(chunk):
    both = stack(3)
    x = torch.randn(2, 11, 6, dtype=torch.float64)
    swept = both.sweep(x.clone(), chunk=chunk, scratch=lambda *shape: torch.full(shape, torch.nan, dtype=x.dtype))
    torch.testing.assert_close(swept, both(x).detach(), rtol=1e-10, atol=1e-12)


def test_chunks_and_steps_of_a_stack_are_forward():
    both = stack(3)
    x = torch.randn(2, 11, 6, dtype=torch.float64)
    expected = both(x)
    first, state = both.prefill(x[:, :4])
    second, state = both.prefill(x[:, 4:6], state)
    parts = [first, second]
    for place in range(6, 11):
        y, state = both.step(x[:, place], state)
        parts.append(y[:, None])
    torch.testing.assert_close(torch.cat(parts, 1), expected, rtol=1e-10, atol=1e-12)
    stepped, _ = both.step(x[:, 0], both.init_state(2, device="cpu", dtype=x.dtype))
    torch.testing.assert_close(stepped, expected[:, 0], rtol=1e-10, atol=1e-12)


def test_a_block_is_recurrent_where_its_mixer_is():
    norms = [create_norm("layer", 6, 1e-5) for _ in range(2)]
    hyena = MLPBlock(create_mixer("hyena", 6, l_max=16), *norms, MLP(6, 9))
    assert make().recurrent
    assert not hyena.recurrent
    with pytest.raises(NotImplementedError, match="no recurrent form"):
        ResidualStack([hyena], create_norm("layer", 6, 1e-5)).prefill(torch.randn(1, 4, 6))


@pytest.mark.parametrize("chunk", [4, 11])
def test_a_sweep_over_the_disk_without_a_recurrent_form_is_forward(chunk):
    norms = [create_norm("layer", 6, 1e-5) for _ in range(2)]
    hyena = MLPBlock(create_mixer("hyena", 6, l_max=16), *norms, MLP(6, 9))
    both = ResidualStack([make().float(), hyena], create_norm("layer", 6, 1e-5)).eval()
    x = torch.randn(2, 11, 6)
    swept = both.sweep(x.clone(), chunk=chunk, scratch=lambda *shape: torch.full(shape, torch.nan))
    torch.testing.assert_close(swept, both(x).detach(), rtol=1e-4, atol=1e-5)
