"""Mamba's initial distributions, and the two-way wrapper's parts."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from seqsuite.backbones import Bidirectional
from seqsuite.errors import UserError
from seqsuite.mixers import Mamba, Mixer, create_mixer


def test_initial_parameters_have_the_published_distributions():
    torch.manual_seed(0)
    mixer = Mamba(256, d_state=5, dt_min=0.01, dt_max=0.05, dt_scale=0.5)
    steps = F.softplus(mixer.dt_proj.bias)
    assert 0.0099 < steps.min() < 0.011
    assert 0.048 < steps.max() < 0.0501
    # Log-uniform: the logarithm's mean is the middle of its range.
    middle = (torch.tensor(0.01).log() + torch.tensor(0.05).log()) / 2
    assert abs(steps.log().mean() - middle) < 0.1
    assert torch.equal(mixer.A_log.exp().round(), torch.arange(1.0, 6.0).expand(512, 5))
    assert torch.equal(mixer.D, torch.ones(512))
    assert mixer.dt_rank == 16
    assert 0.97 * 0.125 < mixer.dt_proj.weight.abs().max() <= 0.125
    assert torch.equal(Mamba(256, dt_init="constant", dt_scale=2.0).dt_proj.weight, torch.full((512, 16), 0.5))


def test_step_sizes_are_not_below_the_floor():
    steps = F.softplus(Mamba(8, dt_min=1e-6, dt_max=1e-5, dt_init_floor=1e-3).dt_proj.bias)
    torch.testing.assert_close(steps, torch.full((16,), 1e-3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"d_state": 0}, "d_state must be at least 1, not 0"),
        ({"d_conv": 0}, "d_conv must be at least 1, not 0"),
        ({"dt_rank": 0}, "dt_rank must be at least 1, not 0"),
        ({"expand": 0.01}, r"expand \* d_model must be at least 1, not 0.08"),
        ({"expand": float("nan")}, "expand must be finite, not nan"),
        ({"expand": 1e308}, r"expand \* d_model must be finite, not inf"),
        ({"dt_min": -1}, "dt_min must be above 0, not -1.0"),
        ({"dt_max": 0}, "dt_max must be above 0, not 0.0"),
        ({"dt_min": 0.2, "dt_max": 0.1}, "dt_min must not be above dt_max, 0.2 and 0.1"),
        ({"dt_scale": 0}, "dt_scale must be above 0, not 0.0"),
        ({"dt_init_floor": -1}, "dt_init_floor must be at least 0, not -1.0"),
    ],
)
def test_options_out_of_range_are_named(options, message):
    with pytest.raises(UserError, match=f"^mixer 'mamba': {message}$"):
        create_mixer("mamba", 8, **options)


@pytest.mark.parametrize(
    ("name", "width", "message"),
    [
        ("mamba", "8", "mixer 'mamba': d_model must be int, not '8'"),
        ("mamba", 8.0, "mixer 'mamba': d_model must be int, not 8.0"),
        ("mamba", True, "mixer 'mamba': d_model must be int, not True"),
        ("mamba", 0, "mixer 'mamba': d_model must be at least 1, not 0"),
        (None, 8, "create_mixer: name must be str, not None"),
    ],
)
def test_names_and_widths_of_the_wrong_kind_are_one_line(name, width, message):
    with pytest.raises(UserError, match=f"^{message}"):
        create_mixer(name, width)


def test_state_matrix_and_skip_are_marked():
    marked = {name for name, p in Mamba(8).named_parameters() if getattr(p, "_no_weight_decay", False)}
    assert marked == {"A_log", "D"}


@pytest.mark.parametrize("combine", ["add", "multiply", "concat"])
@pytest.mark.parametrize("tie", ["none", "projections", "all"])
def test_both_directions_are_the_members_combined(combine, tie):
    torch.manual_seed(0)
    both = Bidirectional(Mamba(6, d_state=4, bias=True), combine=combine, tie=tie).double()
    x = torch.randn(2, 9, 6, dtype=torch.float64)
    forward = Mamba(6, d_state=4, bias=True).double()
    forward.load_state_dict(both.forward_mixer.state_dict())
    reverse = Mamba(6, d_state=4, bias=True).double()
    own = {} if both.reverse_mixer is None else both.reverse_mixer.state_dict()
    reverse.load_state_dict(both.forward_mixer.state_dict() | own)
    a, b = forward(x), reverse(x.flip(1)).flip(1)
    expected = {"add": lambda: a + b, "multiply": lambda: a * b, "concat": lambda: both.merge(torch.cat((a, b), -1))}
    torch.testing.assert_close(both(x), expected[combine](), rtol=1e-10, atol=1e-12)


def test_a_shared_tensor_is_in_the_state_dict_once():
    one = sum(p.numel() for p in Mamba(8).parameters())
    ends = 8 * 32 + 16 * 8
    for tie, expected in (("none", 2 * one), ("projections", 2 * one - ends), ("all", one)):
        both = Bidirectional(Mamba(8), tie=tie)
        assert sum(tensor.numel() for tensor in both.state_dict().values()) == expected


def test_members_are_drawn_apart():
    both = Bidirectional(Mamba(8))
    assert not torch.equal(both.forward_mixer.x_proj.weight, both.reverse_mixer.x_proj.weight)


class Running(Mixer):
    """A mixer with neither a reverse mode nor a recurrent form: the running sum."""

    def reset_parameters(self) -> None: ...

    def forward(self, x, *, seq=None, reverse=False):
        assert not reverse
        return x.cumsum(1)


def test_a_mixer_that_cannot_run_reversed_is_flipped():
    x = torch.randn(2, 5, 3)
    expected = x.cumsum(1) + x.flip(1).cumsum(1).flip(1)
    torch.testing.assert_close(Bidirectional(Running(3))(x), expected)


def test_what_cannot_be_is_said():
    with pytest.raises(UserError, match="Running has no projections to tie"):
        Bidirectional(Running(3), tie="projections")
    for mixer in (Running(3), Bidirectional(Mamba(3))):
        with pytest.raises(NotImplementedError, match=f"{type(mixer).__name__} has no recurrent form"):
            mixer.init_state(1, device="cpu", dtype=torch.float32)
