"""SEQSUITE_DEBUG=nan names the layer, the operator, the row and the step; without it nothing is looked at."""

from __future__ import annotations

import pytest
import torch

import seqsuite
from seqsuite.errors import UnknownNameError
from seqsuite.ops import NonFiniteError, causal_conv1d, delta_rule, rnn_scan, selective_scan


@pytest.fixture
def watching(monkeypatch):
    monkeypatch.setenv("SEQSUITE_DEBUG", "nan")


def lm():
    torch.manual_seed(0)
    return seqsuite.create_model("mamba_lm_debug").eval()


def scan_operands(length=6):
    random = torch.Generator().manual_seed(0)
    sizes = {"u": (2, length, 4), "delta": (2, length, 4), "A": (4, 3), "B": (2, length, 3), "C": (2, length, 3)}
    return {name: torch.randn(*size, generator=random) for name, size in sizes.items()}


def test_operand_is_named_with_its_place(watching):
    operands = scan_operands()
    operands["delta"][1, 4, 2] = torch.nan
    with pytest.raises(
        NonFiniteError,
        match=r"^selective_scan, operand: delta is NaN at row 1, step 4, channel \[2\] \(1 of 48 elements\)$",
    ):
        selective_scan(**operands)


def test_result_that_overflows_is_named_with_its_first_step(watching):
    operands = scan_operands()
    operands["A"] = torch.full((4, 3), 60.0)  # a factor of e^60 a step: e^120 is beyond float32
    operands["delta"] = torch.ones(2, 6, 4)
    with pytest.raises(NonFiniteError, match=r"selective_scan, result: y is (NaN|infinite) at row 0, step 2"):
        selective_scan(**operands)


def test_earliest_step_comes_first_whatever_its_row(watching):
    x = torch.zeros(3, 5, 2)
    x[0, 3, 0] = x[2, 1, 1] = torch.nan
    with pytest.raises(NonFiniteError, match=r"x is NaN at row 2, step 1, channel \[1\] \(2 of 30 elements\)"):
        causal_conv1d(x, torch.ones(2, 2))


def test_layer_is_named(watching):
    model = lm()
    ids = torch.randint(0, 16, (2, 7), generator=torch.Generator().manual_seed(0))
    model(ids)
    with torch.no_grad():
        model.backbone.layers[1].mixer.out_proj.weight.fill_(torch.inf)
    with pytest.raises(NonFiniteError, match=r"^layer 1, Mamba: behind it: output is (NaN|infinite) at row 0, step 0"):
        model(ids)
    with torch.no_grad():
        model.backbone.layers[0].mixer.dt_proj.bias[3] = torch.nan
    for call in (lambda: model(ids), lambda: model.prefill(ids), lambda: model.step(ids[:, 0], model.init_state(2))):
        with pytest.raises(NonFiniteError, match=r"^layer 0, Mamba: "):
            call()


def test_state_is_named_in_step(watching):
    model = lm()
    state = model.init_state(2)
    state[0].ssm[1, 2, 3] = torch.nan
    with pytest.raises(NonFiniteError, match=r"layer 0, Mamba: .*(state|output)"):
        model.step(torch.zeros(2, dtype=torch.long), state)


def test_a_weight_has_no_steps(watching):
    weight = torch.zeros(1, 3, 4, 4)
    weight[0, 2, 1, 3] = torch.nan
    with pytest.raises(NonFiniteError, match=r"operand: weight is NaN at row 0, channel \[2, 1, 3\] \(1 of 48"):
        rnn_scan(torch.zeros(2, 5, 3, 4), weight, cell="gru")


def test_tensors_in_a_pair_are_looked_at(watching):
    q, b = torch.zeros(2, 5, 1, 3), torch.zeros(2, 5, 1, 3)
    b[1, 3, 0, 2] = torch.nan
    with pytest.raises(NonFiniteError, match=r"operand: remove\[1\] is NaN at row 1, step 3, channel \[0, 2\]"):
        delta_rule(q, q, q, None, remove=(q, b))


def test_a_misspelt_word_is_named_instead_of_looking_at_nothing(monkeypatch):
    monkeypatch.setenv("SEQSUITE_DEBUG", "nna")
    with pytest.raises(UnknownNameError, match=r"^Unknown value of SEQSUITE_DEBUG 'nna'. Did you mean 'nan'\?$"):
        causal_conv1d(torch.zeros(1, 3, 2), torch.zeros(2, 2))


def test_nothing_is_looked_at_without_it(monkeypatch):
    monkeypatch.delenv("SEQSUITE_DEBUG", raising=False)
    operands = scan_operands()
    operands["u"][0, 0, 0] = torch.nan
    assert selective_scan(**operands).isnan().any()


def test_infinite_operands_are_allowed(watching):
    """A decay of minus infinity is an exact reset."""
    operands = scan_operands()
    operands["A"] = torch.full((4, 3), -torch.inf)
    operands["delta"] = torch.ones(2, 6, 4)
    assert selective_scan(**operands).isfinite().all()


def test_every_operator_along_a_sequence_is_looked_at():
    """Those that make or use the kernels of a state space have no sequence among their operands."""
    from seqsuite.ops import operators

    apart = {"ssm_kernel", "vandermonde", "cauchy"}
    assert {name for name, each in operators().items() if not hasattr(each.function, "__wrapped__")} == apart
