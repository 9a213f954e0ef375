"""Every registered mixer, and the two-way wrapper around it, keeps the laws."""

from __future__ import annotations

import copy
import inspect
import math

import pytest
import torch

from seqsuite import plugins
from seqsuite.backbones import Bidirectional
from seqsuite.errors import UnknownNameError, UserError
from seqsuite.mixers import create_mixer, list_mixers
from seqsuite.testing.mixers import MIXER_LAWS, in_steps

by_law = pytest.mark.parametrize("law", MIXER_LAWS, ids=lambda law: law.__name__)
by_mixer = pytest.mark.parametrize("name", list_mixers())


@by_mixer
@by_law
def test_mixer_keeps_the_law(name, law):
    law(lambda: create_mixer(name, 6))


@by_law
@pytest.mark.parametrize(
    ("combine", "tie"), [("add", "none"), ("add", "projections"), ("multiply", "projections"), ("concat", "all")]
)
def test_both_directions_keep_the_law(combine, tie, law):
    law(lambda: Bidirectional(create_mixer("mamba", 6, d_state=4, bias=True), combine=combine, tie=tie))


@by_mixer
def test_unknown_option_is_told_with_near_names(name):
    with pytest.raises(UnknownNameError, match=f"option of mixer '{name}' 'no_such_option'"):
        create_mixer(name, 6, no_such_option=1)


@by_mixer
@pytest.mark.parametrize(("lowered", "between_states"), [("autocast", 1e-4), ("bfloat16", 4e-3)])
def test_low_precision_keeps_the_recurrence_in_float32(name, lowered, between_states):
    """Outputs stay near float64's; states of a chunk and of single steps differ by the rounding of layers only."""
    torch.manual_seed(0)
    mixer = create_mixer(name, 32).eval()
    x = torch.randn(2, 24, 32).bfloat16().float()
    kind = torch.float32 if lowered == "autocast" else torch.bfloat16
    mixer, x = mixer.to(torch.bfloat16).to(kind), x.to(kind)
    with torch.no_grad():
        exact = copy.deepcopy(mixer).double()(x.double())
    with torch.autocast("cpu", torch.bfloat16, enabled=lowered == "autocast"):
        whole = mixer(x.requires_grad_())
        whole.float().square().sum().backward()
        assert distance(whole, exact) < 3e-2
        assert all(torch.isfinite(leaf.grad).all() for leaf in (x, *mixer.parameters()) if leaf.grad is not None)
        if mixer.recurrent:
            with torch.no_grad():
                chunk, after = mixer.prefill(x)
                stepped, state = in_steps(mixer, x)
            assert distance(chunk, exact) < 3e-2
            assert distance(stepped, chunk) < 1e-2
            for by_chunk, by_step in zip(after, state, strict=True):
                assert by_chunk.dtype == by_step.dtype == torch.float32
                assert distance(by_chunk, by_step) < between_states


def distance(got, expected):
    """Return the relative L2 distance."""
    got, expected = got.detach().double(), expected.detach().double()
    return float((got - expected).norm() / expected.norm().clamp(min=1e-30))


@by_mixer
def test_any_width_and_an_empty_batch(name):
    for width in (1, 2, 3, 65):
        if (name, width) == ("rwkv7", 1):  # a head of one channel cannot be turned; refused by name
            continue
        mixer = create_mixer(name, width)
        for batch, length in ((0, 1), (1, 1), (2, 3)):
            x = torch.randn(batch, length, width, requires_grad=True)
            y = mixer(x)
            y.sum().backward()
            assert y.shape == x.shape
            assert torch.isfinite(y).all()
            assert torch.isfinite(x.grad).all()


@by_mixer
def test_compiles_into_one_graph_without_gradients(name):
    torch.manual_seed(0)
    mixer = create_mixer(name, 6).eval()
    x = torch.randn(2, 5, 6)
    torch._dynamo.reset()
    with torch.no_grad():
        compiled = torch.compile(mixer, fullgraph=True, backend="eager")
        torch.testing.assert_close(compiled(x), mixer(x), rtol=1e-4, atol=1e-5)


@by_mixer
def test_numbers_out_of_range_name_the_mixer_and_the_option(name):
    """Whatever number an option gets, a mixer is built or one line says which option of which mixer is wrong."""
    mixer_class = plugins.lookup("mixers", name)
    refused = []
    for parameter in inspect.signature(mixer_class).parameters.values():
        if parameter.kind is not parameter.KEYWORD_ONLY:
            continue
        for value in (-1, 0, 0.5, math.nan, math.inf, None):
            try:
                create_mixer(name, 6, **{parameter.name: value})
            except UserError as error:
                refused.append((parameter.name, str(error)))
    assert refused
    for option, message in refused:
        assert message.startswith(f"mixer '{name}': ")
        assert option in message
        assert "\n" not in message


def test_wrong_names_and_types_are_one_line():
    with pytest.raises(UnknownNameError, match="Did you mean 'mamba'"):
        create_mixer("mambo", 6)
    with pytest.raises(UnknownNameError, match="Did you mean 'd_state'"):
        create_mixer("mamba", 6, d_states=4)
    with pytest.raises(UserError, match="d_state must be int, not 'four'"):
        create_mixer("mamba", 6, d_state="four")
    with pytest.raises(UserError, match="dt_rank must be int or one of 'auto', not 'automatic'"):
        create_mixer("mamba", 6, dt_rank="automatic")
