"""HGRN against its formula in scalars, and what the lower bound means."""

from __future__ import annotations

import cmath
import math

import pytest
import torch
import torch.nn.functional as F

from seqsuite.errors import UserError
from seqsuite.mixers.hgrn import HGRN
from seqsuite.testing.mixers import MIXER_LAWS

OPTIONS = [{}, {"complex_state": False, "lower_bound": 0.9}, {"expand": 1.5, "bias": False, "lower_bound": 0.5}]


@pytest.mark.parametrize("law", MIXER_LAWS)
@pytest.mark.parametrize("options", OPTIONS)
def test_laws(law, options):
    law(lambda: HGRN(6, **options))


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize("options", OPTIONS)
def test_output_is_the_formula_written_with_scalars(options):
    torch.manual_seed(0)
    mixer = HGRN(4, **options).double()
    x = torch.randn(1, 7, 4, dtype=torch.float64)
    width, parts = mixer.d_inner, 2 if mixer.complex_state else 1
    h = [0j] * width
    rows = []
    for projected in mixer.in_proj(x)[0].tolist():
        candidate, forget = projected[: parts * width], projected[parts * width :][:width]
        gate = projected[-parts * width :]
        for d in range(width):
            keep = mixer.lower_bound + (1 - mixer.lower_bound) * sigmoid(forget[d])
            c = candidate[d] * sigmoid(candidate[d])
            if mixer.complex_state:
                c += 1j * candidate[width + d] * sigmoid(candidate[width + d])
            turn = cmath.exp(1j * float(mixer.theta[d])) if mixer.complex_state else 1
            h[d] = keep * turn * h[d] + (1 - keep) * c
        state = [value.real for value in h] + ([value.imag for value in h] if mixer.complex_state else [])
        rows.append([value * sigmoid(g) for value, g in zip(state, gate, strict=True)])
    normed = F.layer_norm(torch.tensor(rows, dtype=torch.float64), (parts * width,))
    torch.testing.assert_close(mixer(x)[0], mixer.out_proj(normed), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("complex_state", [False, True])
def test_the_bound_is_how_much_stays_at_least(complex_state):
    torch.manual_seed(0)
    mixer = HGRN(8, lower_bound=0.95, complex_state=complex_state).double()
    streams = list(mixer.expand(100 * torch.randn(3, 50, 8, dtype=torch.float64)))
    keep, _ = mixer.recurrence(tuple(streams))
    assert float(keep.abs().min()) == pytest.approx(0.95, abs=1e-9)
    assert keep.abs().max() <= 1 + 1e-12


def test_a_gate_that_is_almost_shut_lets_its_share_through():
    """1 - lambda computed by subtraction would be zero or off by percents in float32 here."""
    mixer = HGRN(1, complex_state=False, bias=False)
    _, b = mixer.recurrence((torch.tensor([1.0]), torch.tensor([16.0]), torch.tensor([0.0])))
    assert float(b) == pytest.approx(sigmoid(-16) * sigmoid(1), rel=1e-5)


def test_rotations_begin_geometric_and_are_neither_decayed_nor_redrawn():
    mixer = HGRN(4)
    torch.testing.assert_close(mixer.theta, torch.tensor([1.0, 0.1, 0.01, 0.001]))
    marked = {name for name, p in mixer.named_parameters() if getattr(p, "_no_weight_decay", False)}
    assert marked == {"theta"}
    assert HGRN(4, complex_state=False).theta is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"expand": 0}, "expand must be above 0, not 0"),
        ({"expand": 0.1}, r"expand \* d_model must be at least 1, not 0.8"),
        ({"lower_bound": -0.1}, "lower_bound must be at least 0, not -0.1"),
        ({"lower_bound": 1.0}, "lower_bound must be below 1, not 1.0"),
    ],
)
def test_options_out_of_range_are_named(options, message):
    with pytest.raises(UserError, match=f"^mixer 'hgrn': {message}"):
        HGRN(8, **options)
