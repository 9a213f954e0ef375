"""mLSTM: the laws, the paper's recurrence without a stabiliser, the stabiliser over long and extreme gates."""

from __future__ import annotations

import pytest
import torch

from seqsuite.errors import UserError
from seqsuite.mixers._short_conv import short_conv
from seqsuite.mixers.mlstm import MLSTM, stabiliser
from seqsuite.ops import Seq
from seqsuite.testing.mixers import MIXER_LAWS, assert_close

both_gates = pytest.mark.parametrize("gate", ["sigmoid", "exp"])


def lively(spread: float = 1.0, width: int = 6, **options):
    """Build a layer whose gates depend on the input, which those of the initial layer do not."""
    mixer = MLSTM(width, **options)
    torch.nn.init.normal_(mixer.igate.weight, std=spread)
    for part in (mixer.fgate.weight, mixer.fgate.bias, mixer.norm.weight):
        torch.nn.init.normal_(part)
    return mixer


@pytest.mark.parametrize("law", MIXER_LAWS, ids=lambda law: law.__name__)
def test_laws_of_the_defaults(law):
    law(lambda: MLSTM(6))


@pytest.mark.parametrize("law", [x for x in MIXER_LAWS if x.__name__ != "state_dict_is_all"], ids=lambda x: x.__name__)
@both_gates
def test_laws_with_lively_gates(law, gate):
    law(lambda: lively(3.0, num_heads=2, forget_gate=gate, bias=True))


def slow(mixer: MLSTM, x: torch.Tensor) -> torch.Tensor:
    """The layer as the paper writes it: exponential gates as they are, one step after the other."""
    u, z = mixer.in_proj(x).chunk(2, -1)
    taps = torch.nn.functional.pad(u, (0, 0, 3, 0)).unfold(1, 4, 1)
    c = torch.nn.functional.silu((taps * mixer.conv1d.weight[:, 0]).sum(-1) + mixer.conv1d.bias)
    q, k, v = (m @ torch.block_diag(*blocks).T for m, blocks in zip((c, c, u), mixer.qkv, strict=True))
    gates = torch.cat((q, k, v), -1)
    i = torch.exp(mixer.igate(gates))
    f = mixer.fgate(gates)
    f = torch.exp(f) if mixer.forget_gate == "exp" else torch.sigmoid(f)
    size = mixer.d_inner // mixer.num_heads
    q, k, v = (m.unflatten(-1, (-1, size)) for m in (q, k, v))
    memory, n = x.new_zeros(len(x), mixer.num_heads, size, size), x.new_zeros(len(x), mixer.num_heads, size)
    outputs = []
    for t in range(x.shape[1]):
        key = k[:, t] / size**0.5 * i[:, t, :, None]
        memory = f[:, t, :, None, None] * memory + key[..., None] * v[:, t, :, None]
        n = f[:, t, :, None] * n + key
        least = torch.clamp((n * q[:, t]).sum(-1).abs(), min=1)
        outputs.append(torch.einsum("bhkv,bhk->bhv", memory, q[:, t]) / least[..., None])
    h = torch.nn.functional.layer_norm(torch.stack(outputs, 1), (size,)).flatten(2) * mixer.norm.weight
    return mixer.out_proj((h + mixer.skip * c) * torch.nn.functional.silu(z))


@both_gates
def test_it_is_the_papers_recurrence_without_a_stabiliser(gate):
    torch.manual_seed(0)
    mixer = lively(num_heads=2, forget_gate=gate).double()
    x = torch.randn(2, 12, 6, dtype=torch.float64)
    torch.testing.assert_close(mixer(x), slow(mixer, x), rtol=1e-9, atol=1e-11)


@both_gates
def test_gates_beyond_the_range_of_float32_are_exact(gate):
    torch.manual_seed(0)
    mixer = lively(60.0, num_heads=2, forget_gate=gate).double()
    x = torch.randn(2, 12, 6, dtype=torch.float64).float().double()
    with torch.no_grad():
        u, _ = mixer.in_proj(x).chunk(2, -1)
        log_i = mixer._operands(short_conv(mixer.conv1d, u), u)[3]
        assert log_i.max() > 89  # exp of it overflows in float32
        expected = slow(mixer, x)
        assert torch.isfinite(expected).all()
        assert_close(mixer(x), expected, "float64 with a stabiliser == without", 1e-9)
        assert torch.isfinite(mixer.float()(x.float())).all()


@pytest.mark.parametrize("reverse", [False, True])
def test_the_stabiliser_is_its_recurrence(reverse):
    random = torch.Generator().manual_seed(0)
    log_i, log_f = (5 * torch.randn(2, 37, 3, generator=random, dtype=torch.float64) for _ in range(2))
    first = torch.randn(2, 3, generator=random, dtype=torch.float64)
    valid, resets = (torch.rand(2, 37, generator=random) < share for share in (0.8, 0.1))
    found = stabiliser(log_i, log_f, first, Seq.from_resets(resets, valid=valid), reverse)
    starts = Seq.from_resets(resets).resets(reverse=reverse)
    for row in range(2):
        m = first[row]
        for t in range(37)[:: -1 if reverse else 1]:
            m = torch.zeros_like(m) if starts[row, t] else m
            m = torch.maximum(log_f[row, t] + m, log_i[row, t]) if valid[row, t] else m
            torch.testing.assert_close(found[row, t], m)


def test_the_stabiliser_keeps_its_accuracy_over_long_sequences():
    random = torch.Generator().manual_seed(0)
    log_i, log_f = (torch.randn(1, 20000, 1, generator=random) for _ in range(2))
    log_f = torch.nn.functional.logsigmoid(log_f)
    found = stabiliser(log_i, log_f, torch.zeros(1, 1), None, False)
    exact = stabiliser(log_i.double(), log_f.double(), torch.zeros(1, 1, dtype=torch.float64), None, False)
    assert (found - exact).abs().max() < 1e-5  # sums of 20000 logarithms would be off by 1e-3
    assert (found >= log_i).all()


def test_documents_that_start_or_end_in_padding_have_finite_gradients():
    torch.manual_seed(0)
    mixer = lively(num_heads=2).double()
    x = torch.randn(3, 7, 6, dtype=torch.float64).requires_grad_()
    resets = torch.zeros(3, 7, dtype=torch.bool)
    resets[0, 2] = resets[1, 0] = resets[2, 6] = True
    valid = torch.ones(3, 7, dtype=torch.bool)
    valid[0, 1:4] = valid[1, :2] = valid[2, 5:] = False
    y, state = mixer.prefill(x, seq=Seq.from_resets(resets, valid=valid))
    y.square().sum().backward()
    assert torch.isfinite(x.grad).all()
    assert all(torch.isfinite(parameter.grad).all() for parameter in mixer.parameters())
    assert all(torch.isfinite(part).all() for part in state)
    assert not state.m[2].any(), "behind a document without a step is the state before the first"
    assert not state.memory[2].any()


def test_gates_of_padding_do_not_overflow():
    torch.manual_seed(0)
    mixer = lively(num_heads=2)
    x = torch.randn(1, 5, 6)
    x[:, 3:] *= 1e4  # log i of thousands, which nothing valid bounds
    mixer(x.requires_grad_(), seq=Seq.from_lengths([3], 5))[:, :3].square().sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in mixer.parameters())


@pytest.mark.parametrize("width", [1, 2, 3])
def test_narrow_layers_remember(width):
    """The norm of a head of one channel would be zero whatever the memory holds."""
    torch.manual_seed(0)
    mixer = lively(width=width).double()
    x = torch.randn(1, 12, width, dtype=torch.float64).requires_grad_()
    (gradient,) = torch.autograd.grad(mixer(x)[:, -1].square().sum(), x)
    assert gradient[:, : 12 - mixer.d_conv].abs().max() > 0


def test_gates_start_as_published():
    mixer = MLSTM(8)  # 16 channels, so 4 heads
    assert not mixer.igate.weight.any()
    assert not mixer.fgate.weight.any()
    torch.testing.assert_close(mixer.fgate.bias, torch.tensor([3.0, 4.0, 5.0, 6.0]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_heads": 3}, "num_heads must divide the inner width, 16, and 3 does not"),
        ({"qkv_block": 5}, "qkv_block must divide the inner width, 16, and 5 does not"),
        ({"d_conv": 0}, "d_conv must be at least 1, not 0"),
        ({"expand": 0}, "expand must be above 0, not 0"),
    ],
)
def test_options_out_of_range_are_named(options, message):
    with pytest.raises(UserError, match=f"^mixer 'mlstm': {message}$"):
        MLSTM(8, **options)
