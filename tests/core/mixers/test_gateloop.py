"""GateLoop against its formula in scalars."""

from __future__ import annotations

import cmath
import math

import pytest
import torch

from seqsuite.errors import UserError
from seqsuite.mixers.gateloop import GateLoop
from seqsuite.testing.mixers import MIXER_LAWS

OPTIONS = [{}, {"complex_state": False}, {"gate": False, "expand": 1.5, "bias": True}]


@pytest.mark.parametrize("law", MIXER_LAWS)
@pytest.mark.parametrize("options", OPTIONS)
def test_laws(law, options):
    law(lambda: GateLoop(6, **options))


@pytest.mark.parametrize("options", OPTIONS)
def test_output_is_the_formula_written_with_scalars(options):
    torch.manual_seed(0)
    mixer = GateLoop(4, **options).double()
    if mixer.in_proj.bias is not None:
        torch.nn.init.normal_(mixer.in_proj.bias)
    x = torch.randn(1, 7, 4, dtype=torch.float64)
    width = mixer.d_inner
    h = [0j] * width
    rows = []
    for projected in mixer.in_proj(x)[0].tolist():
        streams = [projected[i * width : (i + 1) * width] for i in range(len(projected) // width)]
        row = []
        for d in range(width):
            q, k, v, magnitude, *others = (stream[d] for stream in streams)
            a = 1 / (1 + math.exp(-magnitude)) * (cmath.exp(1j * others.pop(0)) if mixer.complex_state else 1)
            h[d] = a * h[d] + k * v
            gate = others[0] / (1 + math.exp(-others[0])) if mixer.gate else 1
            row.append(q * h[d].real * gate)
        rows.append(row)
    expected = mixer.out_proj(torch.tensor(rows, dtype=torch.float64))
    torch.testing.assert_close(mixer(x)[0], expected, rtol=1e-10, atol=1e-12)


def test_only_a_complex_state_forgets_by_turning():
    """With the magnitude at one and half a turn a step, an input counts with changing sign."""
    mixer = GateLoop(1, gate=False).double()
    mixer.in_proj.weight.data.zero_()
    mixer.in_proj.bias = torch.nn.Parameter(torch.tensor([1.0, 1.0, 0.0, 100.0, math.pi], dtype=torch.float64))
    mixer.in_proj.weight.data[2] = 1
    mixer.out_proj.weight.data.fill_(1)
    pulse = torch.zeros(1, 5, 1, dtype=torch.float64)
    pulse[0, 0] = 1
    torch.testing.assert_close(mixer(pulse)[0, :, 0], torch.tensor([1.0, -1, 1, -1, 1], dtype=torch.float64))


def test_each_stream_is_drawn_with_its_own_fans():
    torch.manual_seed(0)
    mixer = GateLoop(64, expand=2)
    for weight in mixer.in_proj.weight.split(128):
        assert float(weight.std()) == pytest.approx(math.sqrt(2 / (64 + 128)), rel=0.05)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"expand": 0}, "expand must be above 0, not 0"),
        ({"expand": 0.1}, r"expand \* d_model must be at least 1, not 0.8"),
        ({"expand": float("nan")}, "expand must be finite, not nan"),
    ],
)
def test_options_out_of_range_are_named(options, message):
    with pytest.raises(UserError, match=f"^mixer 'gateloop': {message}"):
        GateLoop(8, **options)
