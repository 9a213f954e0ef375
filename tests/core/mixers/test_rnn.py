"""LSTM and GRU: PyTorch's own layers under the mixer contract."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from seqsuite.errors import UserError
from seqsuite.mixers.rnn import GRU, LSTM
from seqsuite.ops import Seq
from seqsuite.testing.mixers import MIXER_LAWS

MIXERS = {"lstm": (LSTM, nn.LSTM), "gru": (GRU, nn.GRU)}
by_name = pytest.mark.parametrize("name", list(MIXERS))


@pytest.mark.parametrize("law", MIXER_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("options", [{}, {"hidden": 5}, {"project": False, "bias": False}], ids=str)
@by_name
def test_mixer_keeps_the_law(name, options, law):
    law(lambda: MIXERS[name][0](6, **options))


@by_name
@pytest.mark.parametrize("bias", [True, False])
def test_a_state_dict_of_torch_gives_its_outputs_on_every_way(name, bias):
    torch.manual_seed(0)
    mixer_class, layer_class = MIXERS[name]
    layer = layer_class(6, 6, bias=bias, batch_first=True).double()
    mixer = mixer_class(6, project=False, bias=bias).double()
    mixer.rnn.load_state_dict(layer.state_dict())
    x = torch.randn(2, 9, 6, dtype=torch.float64)
    expected, last = layer(x)
    last = torch.cat(last) if name == "lstm" else last
    everything = Seq.from_mask(torch.ones(2, 9))  # says nothing, but takes the way through the operator
    for grad in (True, False):
        with torch.set_grad_enabled(grad):
            for seq in (None, everything):
                y, state = mixer.prefill(x, seq=seq)
                torch.testing.assert_close(y, expected, rtol=1e-11, atol=1e-12)
                torch.testing.assert_close(state.cell.transpose(0, 1), last, rtol=1e-11, atol=1e-12)


@by_name
def test_both_ways_have_the_same_gradients(name):
    torch.manual_seed(0)
    mixer = MIXERS[name][0](6, hidden=5).double()
    x = torch.randn(2, 9, 6, dtype=torch.float64, requires_grad=True)
    state = torch.randn(2, mixer.parts, 5, dtype=torch.float64, requires_grad=True)
    leaves = [x, state, *mixer.parameters()]
    found = []
    for through_torch in (True, False):
        mixer._by_torch = lambda *_, through_torch=through_torch: through_torch
        y, last = mixer.prefill(x, (state,))
        found.append(torch.autograd.grad(y.square().sum() + last.cell.sum(), leaves))
    for mine, true in zip(*found, strict=True):
        torch.testing.assert_close(mine, true, rtol=1e-10, atol=1e-12)


@by_name
def test_in_bfloat16_the_state_is_float32(name):
    mixer = MIXERS[name][0](6).bfloat16()
    x = torch.randn(2, 9, 6, dtype=torch.bfloat16)
    y, state = mixer.prefill(x)
    assert (y.dtype, state.cell.dtype) == (torch.bfloat16, torch.float32)
    y_t, state = mixer.step(x[:, 0], state)
    assert (y_t.dtype, state.cell.dtype) == (torch.bfloat16, torch.float32)


@by_name
def test_compiled_as_one_graph(name):
    torch.manual_seed(0)
    mixer = MIXERS[name][0](6)
    x = torch.randn(2, 9, 6)
    compiled = torch.compile(mixer, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), mixer(x), rtol=1e-5, atol=1e-6)


@by_name
def test_scale_output_scales_what_is_added(name):
    mixer = MIXERS[name][0](6)
    before = mixer.out_proj.weight.clone()
    mixer.scale_output(0.5)
    assert torch.equal(mixer.out_proj.weight, before / 2)


@by_name
def test_options_out_of_range_are_named(name):
    build = MIXERS[name][0]
    with pytest.raises(UserError, match=f"^mixer '{name}': hidden must be at least 1, not 0$"):
        build(6, hidden=0)
    with pytest.raises(UserError, match=f"^mixer '{name}': without project, hidden must be d_model, 6, not 5$"):
        build(6, hidden=5, project=False)
