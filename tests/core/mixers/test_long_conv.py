"""LongConv against its formula with sums over all pairs of steps, its options, and the laws beyond the defaults."""

from __future__ import annotations

import math

import pytest
import torch

from seqsuite.errors import UserError
from seqsuite.mixers.long_conv import LongConv
from seqsuite.mixers.options import check_arguments
from seqsuite.ops import Seq
from seqsuite.testing.mixers import MIXER_LAWS, check_mixer

VARIANTS = {
    "shorter than the input": {"l_max": 5},
    "one tap": {"l_max": 1, "lam": 0.0},
    "many taps by FFT": {"l_max": 40, "gate": False, "recompute": True},
    "strong squash": {"l_max": 7, "lam": 0.3, "init": "random", "kernel_dropout": 0.5},
}


def build(**options):
    torch.manual_seed(0)
    mixer = LongConv(6, **options).double().eval()
    for parameter in mixer.parameters():  # no parameter keeps a special initial value
        parameter.data += 0.1 * torch.randn_like(parameter)
    return mixer


def literal(mixer, x, *, l_max, lam, gate):
    """The mixer from the paper's text, by loops over steps and taps."""
    k = torch.sign(mixer.kernel) * torch.relu(mixer.kernel.abs() - lam)
    y = torch.zeros_like(x)
    for t in range(x.shape[1]):
        for lag in range(min(l_max, t + 1)):
            y[:, t] += k[:, lag] * x[:, t - lag]
        y[:, t] += mixer.D * x[:, t]
    y = 0.5 * y * (1 + torch.erf(y / math.sqrt(2)))
    y = y @ mixer.out_proj.weight.T + mixer.out_proj.bias
    return y[..., :6] * torch.sigmoid(y[..., 6:]) if gate else y


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("law", MIXER_LAWS, ids=lambda law: law.__name__)
def test_variants_keep_the_laws(name, law):
    law(lambda: LongConv(6, **{**VARIANTS[name], "init": "double_exp"}))


def test_defaults_keep_the_laws():
    check_mixer(lambda: LongConv(6))


@pytest.mark.parametrize("name", VARIANTS)
def test_it_is_the_formula(name):
    mixer = build(**VARIANTS[name])
    x = torch.randn(2, 23, 6, dtype=torch.float64)
    options = {"l_max": 1024, "lam": 0.001, "gate": True} | {
        key: value for key, value in VARIANTS[name].items() if key in ("l_max", "lam", "gate")
    }
    with torch.no_grad():
        torch.testing.assert_close(mixer(x), literal(mixer, x, **options), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_padded_and_packed_chunk_goes_on_from_its_state(side):
    """Rows of unequal length, continued from a state, are the rows alone; padding may lie anywhere."""
    mixer = build(l_max=6)
    before, x = torch.randn(3, 8, 6, dtype=torch.float64), torch.randn(3, 9, 6, dtype=torch.float64)
    lengths = (9, 3, 1)
    with torch.no_grad():
        _, state = mixer.prefill(before)
        y, after = mixer.prefill(x, state, seq=Seq.from_lengths(lengths, 9, side=side))
        for row, length in enumerate(lengths):
            part = slice(0, length) if side == "right" else slice(9 - length, 9)
            alone = torch.cat((before[row : row + 1], x[row : row + 1, part]), 1)
            torch.testing.assert_close(y[row : row + 1, part], mixer(alone)[:, 8:])
            assert torch.equal(after.window[row], alone[0, -6:].T)


def test_a_new_document_starts_from_nothing_and_is_all_that_is_kept():
    mixer = build(l_max=6)
    before, x = torch.randn(1, 8, 6, dtype=torch.float64), torch.randn(1, 9, 6, dtype=torch.float64)
    resets = torch.arange(9)[None] == 5
    with torch.no_grad():
        _, state = mixer.prefill(before)
        y, after = mixer.prefill(x, state, seq=Seq.from_resets(resets))
        torch.testing.assert_close(y[:, :5], mixer(torch.cat((before, x[:, :5]), 1))[:, 8:])
        torch.testing.assert_close(y[:, 5:], mixer(x[:, 5:]))
    assert torch.equal(after.window[0], torch.cat((torch.zeros(2, 6), x[0, 5:])).T)


def test_initial_taps_have_the_published_distributions():
    torch.manual_seed(0)
    mixer = LongConv(64, l_max=512)
    fading = torch.exp(-(torch.arange(512) / 512) * 32 ** (torch.arange(64) / 64)[:, None])
    assert 0.98 < (mixer.kernel / fading).std() < 1.02
    assert 0.0019 < LongConv(64, l_max=512, init="random").kernel.std() < 0.0021


def test_taps_are_dropped_in_training_only():
    mixer = LongConv(6, kernel_dropout=0.5)
    assert 0.4 < (mixer.train().taps() == 0).float().mean() < 0.6
    assert (mixer.eval().taps() == 0).float().mean() < 0.05


def test_scaling_the_output_scales_it():
    for gate in (True, False):
        mixer = build(gate=gate, l_max=8)
        mixer.out_proj.bias.data.zero_()
        x = torch.randn(2, 9, 6, dtype=torch.float64)
        y = mixer(x)
        mixer.scale_output(0.5)
        torch.testing.assert_close(mixer(x), 0.5 * y)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"l_max": 0}, "l_max must be at least 1, not 0"),
        ({"lam": -0.1}, "lam must be at least 0, not -0.1"),
        ({"lam": math.nan}, "lam must be finite, not nan"),
        ({"kernel_dropout": 1}, "kernel_dropout must be below 1, not 1"),
        ({"kernel_dropout": -0.5}, "kernel_dropout must be at least 0, not -0.5"),
    ],
)
def test_options_out_of_range_are_named(options, message):
    with pytest.raises(UserError, match=f"^mixer 'long_conv': {message}$"):
        LongConv(6, **options)


def test_options_are_typed():
    with pytest.raises(UserError, match="init must be one of 'double_exp', 'random', not 'geometric'"):
        check_arguments(LongConv, "mixer 'long_conv'", {"init": "geometric"})


def test_taps_and_skip_do_not_decay():
    marked = {name for name, p in LongConv(6).named_parameters() if getattr(p, "_no_weight_decay", False)}
    assert marked == {"kernel", "D"}
