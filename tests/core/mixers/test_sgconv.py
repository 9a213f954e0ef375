"""SGConv against its formula tap by tap, its options, and the laws beyond the defaults."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from seqsuite.errors import UserError
from seqsuite.mixers.sgconv import SGConv
from seqsuite.testing.mixers import MIXER_LAWS, check_mixer

VARIANTS = {
    "shorter than the input": {"l_max": 7, "kernel_dim": 2},
    "one scale": {"l_max": 5, "kernel_dim": 8},
    "decays of the channels": {"l_max": 40, "kernel_dim": 3, "decay_min": 1.0, "decay_max": 4.0, "gate": True},
    "single taps": {"l_max": 9, "kernel_dim": 1, "recompute": True},
}


def build(**options):
    torch.manual_seed(0)
    mixer = SGConv(6, **options).double().eval()
    for parameter in mixer.parameters():  # no parameter keeps a special initial value
        parameter.data += 0.1 * torch.randn_like(parameter)
    return mixer


def literal_taps(mixer, *, l_max, kernel_dim, decay_min=2.0, decay_max=2.0):
    """Each tap by its place in its sub-kernel: stretched by drawing lines between the centres of the short taps."""
    columns = []
    for d in range(6):
        decay = decay_min + (decay_max - decay_min) * d / 5
        taps = []
        for scale in range(len(mixer.kernels)):
            stretch = 1 if scale == 0 else 2 ** (scale - 1)
            short = [v / decay**scale for v in mixer.kernels[scale, d].tolist()]
            for i in range(kernel_dim * stretch):
                place = max(0.0, (i + 0.5) / stretch - 0.5)
                left = int(place)
                right = min(left + 1, kernel_dim - 1)
                taps.append(short[left] + (place - left) * (short[right] - short[left]))
        columns.append([tap / float(mixer.kernel_norm[d]) for tap in taps][:l_max])
    return torch.tensor(columns, dtype=torch.float64).T


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("law", MIXER_LAWS, ids=lambda law: law.__name__)
def test_variants_keep_the_laws(name, law):
    law(lambda: SGConv(6, **VARIANTS[name]))


def test_defaults_keep_the_laws():
    check_mixer(lambda: SGConv(6))


@pytest.mark.parametrize("name", VARIANTS)
def test_it_is_the_formula(name):
    options = dict(VARIANTS[name])
    gate, _ = options.pop("gate", False), options.pop("recompute", None)
    mixer = build(**VARIANTS[name])
    k = literal_taps(mixer, **options)
    assert k.shape == (options["l_max"], 6)
    x = torch.randn(2, 23, 6, dtype=torch.float64)
    y = torch.zeros_like(x)
    with torch.no_grad():
        for t in range(23):
            for lag in range(min(len(k), t + 1)):
                y[:, t] += k[lag] * x[:, t - lag]
        y += mixer.D * x
        y = 0.5 * y * (1 + torch.erf(y / math.sqrt(2)))
        y = y @ mixer.out_proj.weight.T + mixer.out_proj.bias
        y = y[..., :6] * torch.sigmoid(y[..., 6:]) if gate else y
        torch.testing.assert_close(mixer(x), y, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_initial_filter_has_norm_one(name):
    torch.manual_seed(0)
    torch.testing.assert_close(SGConv(6, **VARIANTS[name]).taps().norm(dim=0), torch.ones(6))


def test_parameters_grow_with_the_logarithm_of_the_length():
    shapes = {l_max: SGConv(6, l_max=l_max, kernel_dim=16).kernels.shape[0] for l_max in (16, 17, 32, 33, 1024, 4096)}
    assert shapes == {16: 1, 17: 2, 32: 2, 33: 3, 1024: 7, 4096: 9}


def test_sub_kernels_fade():
    torch.manual_seed(0)
    taps = SGConv(64, l_max=1024, kernel_dim=64, decay_min=2.0, decay_max=2.0).taps().detach()
    sizes = [float(taps[a:b].square().mean().sqrt()) for a, b in ((0, 64), (64, 128), (128, 256), (256, 512))]
    ratios = [first / second for first, second in pairwise(sizes)]
    assert 1.8 < ratios[0] < 2.2
    assert all(1.8 < ratio < 3.0 for ratio in ratios)  # stretching smooths, so the later ones fade a little more


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"l_max": 0}, "l_max must be at least 1, not 0"),
        ({"kernel_dim": 0}, "kernel_dim must be at least 1, not 0"),
        ({"decay_min": 0.5}, "decay_min must be at least 1, not 0.5"),
        ({"decay_max": math.inf}, "decay_max must be finite, not inf"),
        ({"decay_min": 3.0}, "decay_min must not be above decay_max, 3.0 and 2.0"),
    ],
)
def test_options_out_of_range_are_named(options, message):
    with pytest.raises(UserError, match=f"^mixer 'sgconv': {message}$"):
        SGConv(6, **options)
