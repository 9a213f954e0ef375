"""S5 against its formula in scalars and dense matrices, its initial matrices, and published weights."""

from __future__ import annotations

import cmath
import math

import pytest
import torch

from seqsuite.backbones import Bidirectional
from seqsuite.errors import UserError
from seqsuite.mixers.hippo import hippo_eigenvalues
from seqsuite.mixers.s5 import S5, s5_from_published
from seqsuite.testing.mixers import MIXER_LAWS

OPTIONS = [
    {},
    {"conj_sym": False, "eigenvalues": "free", "d_state": 8, "blocks": 2, "discretization": "bilinear"},
    {"conj_sym": True, "eigenvalues": "free", "d_state": 8, "blocks": 2, "step_scale": 0.5},
    {"conj_sym": False, "d_state": 5},
]


@pytest.mark.parametrize("law", MIXER_LAWS)
@pytest.mark.parametrize("options", OPTIONS)
def test_laws(law, options):
    law(lambda: S5(6, **options))


def numbers(pairs):
    return torch.view_as_complex(pairs.detach().contiguous()).tolist()


def rates(mixer):
    if mixer.eigenvalues == "free":
        return numbers(mixer.Lambda)
    return [
        complex(-math.exp(r), i)
        for r, i in zip(mixer.Lambda_log_decay.tolist(), mixer.Lambda_imag.tolist(), strict=True)
    ]


@pytest.mark.parametrize("options", OPTIONS)
def test_output_is_the_formula_written_with_scalars(options):
    torch.manual_seed(0)
    mixer = S5(3, **options).double()
    u = torch.randn(1, 6, 3, dtype=torch.float64)
    B, C, D = numbers(mixer.B), numbers(mixer.C), mixer.D.tolist()
    x = [0j] * mixer.n_state
    expected = []
    for u_t in u[0].tolist():
        for p, rate in enumerate(rates(mixer)):
            step = mixer.step_scale * math.exp(float(mixer.log_step[p].detach()))
            read = sum(weight * value for weight, value in zip(B[p], u_t, strict=True))
            if mixer.discretization == "zoh":
                factor = cmath.exp(rate * step)
                gain = (factor - 1) / rate
            else:
                factor, gain = (1 + rate * step / 2) / (1 - rate * step / 2), step / (1 - rate * step / 2)
            x[p] = factor * x[p] + gain * read
        twice = 2 if mixer.conj_sym else 1
        sums = [twice * sum(c * state for c, state in zip(row, x, strict=True)).real for row in C]
        expected.append([total + d * value for total, d, value in zip(sums, D, u_t, strict=True)])
    torch.testing.assert_close(mixer(u)[0], torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("size", [1, 2, 7, 32])
def test_eigenvalues_are_those_of_the_normal_part_of_legs(size):
    """LegS is A = -sqrt(2i + 1) sqrt(2j + 1) below and -(i + 1) on the diagonal; p = sqrt(i + 1/2) makes it normal."""
    i = torch.arange(size, dtype=torch.float64)
    legs = -torch.tril(torch.sqrt(2 * i + 1)[:, None] * torch.sqrt(2 * i + 1), -1) - torch.diag(i + 1)
    normal = legs + torch.sqrt(i + 0.5)[:, None] * torch.sqrt(i + 0.5)
    values, basis = hippo_eigenvalues(size)
    torch.testing.assert_close(basis @ torch.diag(values) @ basis.mH, normal.to(basis.dtype), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(basis.mH @ basis, torch.eye(size, dtype=basis.dtype), rtol=0, atol=1e-12)
    torch.testing.assert_close(values.imag, -values.imag.flip(0), rtol=1e-9, atol=1e-9)


def test_half_the_spectrum_gives_what_all_of_it_gives():
    """The other half is the conjugate: one mixer holds it, the other takes twice the real part."""
    torch.manual_seed(0)
    half = S5(4, d_state=12, blocks=2, eigenvalues="free").double()
    full = S5(4, d_state=12, blocks=2, eigenvalues="free", conj_sym=False).double()
    flip = torch.tensor([1.0, -1.0])
    own = half.state_dict()
    both = {name: torch.cat((own[name], own[name] * flip)) for name in ("Lambda", "B")}
    both["C"] = torch.cat((own["C"], own["C"] * flip), 1)
    full.load_state_dict(both | {"D": own["D"], "log_step": own["log_step"].repeat(2)})
    x = torch.randn(2, 30, 4, dtype=torch.float64)
    torch.testing.assert_close(full(x), half(x), rtol=1e-10, atol=1e-11)


def test_initial_parameters_are_those_of_the_paper():
    torch.manual_seed(0)
    mixer = S5(64, d_state=128, blocks=4, dt_min=0.01, dt_max=0.05)
    values = hippo_eigenvalues(32)[0]
    assert (values[:16].imag < 0).all()
    torch.testing.assert_close(mixer.Lambda_imag.double(), values[:16].imag.repeat(4), rtol=1e-6, atol=0)
    torch.testing.assert_close(mixer.Lambda_log_decay, torch.full((64,), math.log(0.5)))
    assert 0.01 <= mixer.log_step.exp().min() < 0.012
    assert 0.045 < mixer.log_step.exp().max() <= 0.05001
    # The basis is unitary and keeps the scale: mean squares are 1 / H in B and 2 / P in C.
    assert float(mixer.B.detach().square().sum(-1).mean()) == pytest.approx(1 / 64, rel=0.05)
    assert float(mixer.C.detach().square().sum(-1).mean()) == pytest.approx(2 / 128, rel=0.05)
    blocks = S5(8, d_state=8, blocks=2, conj_sym=False, eigenvalues="free").Lambda
    assert torch.equal(blocks[:4], blocks[4:])


@pytest.mark.parametrize("discretization", ["zoh", "bilinear"])
@pytest.mark.parametrize("eigenvalues", ["stable", "free"])
def test_gradients_of_all_parameters_are_the_derivatives(discretization, eigenvalues):
    torch.manual_seed(0)
    mixer = S5(2, d_state=4, discretization=discretization, eigenvalues=eigenvalues, dt_min=0.1, dt_max=1).double()
    names, values = zip(*mixer.named_parameters(), strict=True)
    x = torch.randn(1, 5, 2, dtype=torch.float64)

    def output(*parameters):
        return torch.func.functional_call(mixer, dict(zip(names, parameters, strict=True)), (x,))

    assert torch.autograd.gradcheck(output, tuple(value.detach().requires_grad_() for value in values))


def test_steps_that_are_tiny_lose_no_digits():
    """exp(z) - 1 of a tiny z cancels; the discretisation must not."""
    mixer = S5(2, d_state=4, dt_min=1e-6, dt_max=1e-6, step_scale=1.0)
    exact = S5(2, d_state=4).double()
    exact.load_state_dict(mixer.state_dict())
    found, true = mixer.discretize()[1], exact.discretize()[1]
    assert ((found - true).abs() / true.abs()).max() <= 1e-6


def test_an_eigenvalue_of_zero_sums_up_its_input():
    mixer = S5(1, d_state=1, conj_sym=False, eigenvalues="free").double()
    values = {"Lambda": [[0, 0]], "B": [[[1, 0]]], "C": [[[1, 0]]], "D": [0], "log_step": [0]}
    mixer.load_state_dict({name: torch.tensor(value, dtype=torch.float64) for name, value in values.items()})
    x = torch.randn(2, 9, 1, dtype=torch.float64)
    torch.testing.assert_close(mixer(x), x.cumsum(1))
    assert torch.autograd.grad(mixer(x).sum(), mixer.Lambda)[0].isfinite().all()


def test_twice_the_step_is_half_the_sampling_rate():
    """On input that is held for two steps, every second output is that of the coarse input at twice the step."""
    torch.manual_seed(0)
    mixer = S5(3, d_state=8).double()
    coarse = torch.randn(2, 10, 3, dtype=torch.float64)
    fine = mixer(coarse.repeat_interleave(2, 1))[:, 1::2]
    mixer.step_scale = 2.0
    torch.testing.assert_close(mixer(coarse), fine, rtol=1e-10, atol=1e-12)


def test_published_weights_come_in_by_name():
    weights = {f"s5.seq.{name}": value for name, value in S5(3, d_state=4, conj_sym=False).state_dict().items()}
    weights = {name: value for name, value in weights.items() if "Lambda" not in name}
    weights["s5.seq.Lambda"] = torch.view_as_complex(torch.randn(4, 2))
    mixer = S5(3, d_state=4, conj_sym=False, eigenvalues="free")
    mixer.load_state_dict(s5_from_published(weights | {"norm.weight": torch.ones(3)}, prefix="s5.seq."))
    assert torch.equal(torch.view_as_complex(mixer.Lambda.detach()), weights["s5.seq.Lambda"])
    with pytest.raises(UserError, match=r"s5\.seq\.D is missing"):
        s5_from_published({name: x for name, x in weights.items() if name != "s5.seq.D"}, prefix="s5.seq.")
    with pytest.raises(UserError, match=r"s5\.seq\.E is unknown"):
        s5_from_published(weights | {"s5.seq.E": torch.zeros(1)}, prefix="s5.seq.")
    with pytest.raises(UserError, match=r"s5\.seq\.C has 8 columns for 4 eigenvalues"):
        s5_from_published(weights | {"s5.seq.C": torch.zeros(3, 8, 2)}, prefix="s5.seq.")


def test_two_directions_by_the_wrapper():
    torch.manual_seed(0)
    both = Bidirectional(S5(4, d_state=8)).double()
    x = torch.randn(2, 9, 4, dtype=torch.float64)
    expected = both.forward_mixer(x) + both.reverse_mixer(x.flip(1)).flip(1)
    torch.testing.assert_close(both(x), expected, rtol=1e-10, atol=1e-12)


def test_bfloat16_model_keeps_its_state_in_float32():
    torch.manual_seed(0)
    mixer = S5(8)
    x = torch.randn(2, 20, 8)
    exact = mixer(x)
    low, state = mixer.bfloat16().prefill(x.bfloat16())
    assert low.dtype == torch.bfloat16
    assert state.ssm.dtype == torch.float32
    assert (low.float() - exact).norm() <= 0.03 * exact.norm()


def test_dynamics_are_marked():
    marked = {name for name, p in S5(4).named_parameters() if getattr(p, "_no_weight_decay", False)}
    assert marked == {"Lambda_log_decay", "Lambda_imag", "log_step", "D"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"d_state": 0}, "d_state must be at least 1, not 0"),
        ({"blocks": 0}, "blocks must be at least 1, not 0"),
        ({"d_state": 7}, "d_state must be a multiple of 2 for these blocks, not 7"),
        ({"d_state": 6, "blocks": 2}, "d_state must be a multiple of 4 for these blocks, not 6"),
        ({"dt_min": 0}, "dt_min must be above 0, not 0"),
        ({"dt_min": 0.2}, "dt_min must not be above dt_max, 0.2 and 0.1"),
        ({"step_scale": float("inf")}, "step_scale must be finite, not inf"),
    ],
)
def test_options_out_of_range_are_named(options, message):
    with pytest.raises(UserError, match=f"^mixer 's5': {message}$"):
        S5(8, **options)
