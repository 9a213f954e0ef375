"""MultiresConv against its tree written as a recursion, its state, its options, and the laws beyond the defaults."""

from __future__ import annotations

import math

import pytest
import torch

from seqsuite.errors import UserError
from seqsuite.mixers.multires_conv import MultiresConv
from seqsuite.ops import Seq
from seqsuite.testing.mixers import MIXER_LAWS, check_mixer

VARIANTS = {
    "one level": {"depth": 1},
    "shallow, wide": {"depth": 2, "kernel_size": 4, "gate": False},
    "three levels of three": {"depth": 3, "kernel_size": 3},
}


def build(**options):
    torch.manual_seed(0)
    mixer = MultiresConv(6, **options).double()
    for parameter in mixer.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return mixer


def literal(mixer, x, *, depth, kernel_size=2, gate=True):
    """The mixer by the definition of its tree, value by value: (1, L, D)."""
    values = x[0].tolist()
    h0, h1, w = mixer.h0.tolist(), mixer.h1.tolist(), mixer.w.tolist()

    def low(level, t, d):
        if t < 0:
            return 0.0
        if level == 0:
            return values[t][d]
        back = 2 ** (level - 1)
        return sum(h0[d][kernel_size - 1 - k] * low(level - 1, t - k * back, d) for k in range(kernel_size))

    def high(level, t, d):
        back = 2 ** (level - 1)
        return sum(h1[d][kernel_size - 1 - k] * low(level - 1, t - k * back, d) for k in range(kernel_size))

    rows = []
    for t in range(len(values)):
        row = []
        for d in range(6):
            y = w[d][0] * low(depth, t, d) + w[d][depth + 1] * values[t][d]
            y += sum(w[d][depth + 1 - level] * high(level, t, d) for level in range(1, depth + 1))
            row.append(0.5 * y * (1 + math.erf(y / math.sqrt(2))))
        rows.append(row)
    y = torch.tensor([rows], dtype=torch.float64) @ mixer.out_proj.weight.T + mixer.out_proj.bias
    return y[..., :6] * torch.sigmoid(y[..., 6:]) if gate else y


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("law", MIXER_LAWS, ids=lambda law: law.__name__)
def test_variants_keep_the_laws(name, law):
    law(lambda: MultiresConv(6, **VARIANTS[name]))


def test_defaults_keep_the_laws():
    check_mixer(lambda: MultiresConv(6))


@pytest.mark.parametrize("name", VARIANTS)
def test_it_is_the_formula(name):
    mixer = build(**VARIANTS[name])
    x = torch.randn(1, 12, 6, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(mixer(x), literal(mixer, x, **VARIANTS[name]), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize(("kernel_size", "depth"), [(2, 3), (3, 2), (4, 1)])
def test_an_output_sees_as_far_as_stated(kernel_size, depth):
    mixer = build(kernel_size=kernel_size, depth=depth)
    x = torch.randn(1, 30, 6, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(mixer(x)[:, 29].square().sum(), x)
    seen = (gradient[0] != 0).any(-1)
    reach = (kernel_size - 1) * (2**depth - 1) + 1
    assert seen.tolist() == [t > 29 - reach for t in range(30)]


def test_the_state_has_a_fixed_size():
    mixer = build(kernel_size=3, depth=4)
    for length in (1, 40):
        _, state = mixer.prefill(torch.randn(2, length, 6, dtype=torch.float64))
        assert state.inputs.shape == (2, 6, 2 * 15)


@pytest.mark.parametrize("kind", ["right", "left", "mask"])
def test_a_padded_chunk_goes_on_from_its_state(kind):
    mixer = build(depth=3)
    before, x = torch.randn(2, 8, 6, dtype=torch.float64), torch.randn(2, 9, 6, dtype=torch.float64)
    valid = {
        "right": torch.arange(9) < torch.tensor([[9], [4]]),
        "left": torch.arange(9) >= torch.tensor([[0], [6]]),
        "mask": torch.tensor([[1, 0, 1, 1, 0, 0, 1, 1, 0], [0, 1, 0, 1, 0, 1, 0, 1, 1]]).bool(),
    }[kind]
    with torch.no_grad():
        _, state = mixer.prefill(before)
        y, after = mixer.prefill(x, state, seq=Seq.from_mask(valid))
        for row in range(2):
            alone = torch.cat((before[row], x[row][valid[row]]))[None]
            expected, behind = mixer.prefill(alone)
            torch.testing.assert_close(y[row][valid[row]], expected[0, 8:])
            torch.testing.assert_close(after.inputs[row], behind.inputs[0])


def test_a_new_document_starts_from_nothing():
    mixer = build(depth=3)
    before, x = torch.randn(1, 8, 6, dtype=torch.float64), torch.randn(1, 9, 6, dtype=torch.float64)
    with torch.no_grad():
        _, state = mixer.prefill(before)
        y, after = mixer.prefill(x, state, seq=Seq.from_resets(torch.arange(9)[None] == 5))
        torch.testing.assert_close(y[:, :5], mixer(torch.cat((before, x[:, :5]), 1))[:, 8:])
        expected, behind = mixer.prefill(x[:, 5:])
        torch.testing.assert_close(y[:, 5:], expected)
        torch.testing.assert_close(after.inputs, behind.inputs)


def test_initial_parameters_are_within_the_published_bounds():
    torch.manual_seed(0)
    mixer = MultiresConv(256, kernel_size=4, depth=7)
    for parameter, bound in ((mixer.h0, 0.5), (mixer.h1, 0.5), (mixer.w, 1 / 3)):
        assert 0.97 * bound < parameter.abs().max() <= bound


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 0}, "depth must be at least 1, not 0"),
        ({"kernel_size": 1}, "kernel_size must be at least 2, not 1"),
    ],
)
def test_options_out_of_range_are_named(options, message):
    with pytest.raises(UserError, match=f"^mixer 'multires_conv': {message}$"):
        MultiresConv(6, **options)
