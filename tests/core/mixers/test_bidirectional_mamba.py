"""The two-way Mamba by name: its members, its options, and the laws beyond the defaults."""

from __future__ import annotations

import inspect

import pytest
import torch

from seqsuite import backbones
from seqsuite.errors import UserError
from seqsuite.mixers.bidirectional import Bidirectional
from seqsuite.mixers.bidirectional_mamba import BidirectionalMamba
from seqsuite.mixers.mamba import Mamba
from seqsuite.mixers.options import check_arguments
from seqsuite.testing.mixers import MIXER_LAWS

VARIANTS = {
    "as it comes": {},
    "nothing shared, product": {"combine": "multiply", "tie": "none", "d_state": 3, "bias": True},
    "all shared, merged": {"combine": "concat", "tie": "all", "d_conv": 2, "expand": 1.5},
}


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("law", MIXER_LAWS, ids=lambda law: law.__name__)
def test_variants_keep_the_laws(name, law):
    law(lambda: BidirectionalMamba(6, **VARIANTS[name]))


@pytest.mark.parametrize("name", VARIANTS)
def test_it_is_two_mambas_from_either_end(name):
    torch.manual_seed(0)
    options = dict(VARIANTS[name])
    combine = options.pop("combine", "add")
    options.pop("tie", None)
    both = BidirectionalMamba(6, **VARIANTS[name]).double()
    members = [Mamba(6, **options).double() for _ in range(2)]
    members[0].load_state_dict(both.forward_mixer.state_dict())
    own = {} if both.reverse_mixer is None else both.reverse_mixer.state_dict()
    members[1].load_state_dict(both.forward_mixer.state_dict() | own)
    x = torch.randn(2, 9, 6, dtype=torch.float64)
    a, b = members[0](x), members[1](x.flip(1)).flip(1)
    expected = {"add": lambda: a + b, "multiply": lambda: a * b, "concat": lambda: both.merge(torch.cat((a, b), -1))}
    torch.testing.assert_close(both(x), expected[combine](), rtol=1e-10, atol=1e-12)


def test_the_wrapper_is_one_class_wherever_it_is_imported_from():
    assert backbones.Bidirectional is Bidirectional
    assert isinstance(BidirectionalMamba(6), backbones.Bidirectional)


def test_it_takes_every_option_of_mamba_with_the_same_default():
    def options(cls):
        return {p.name: p.default for p in inspect.signature(cls).parameters.values() if p.kind is p.KEYWORD_ONLY}

    own = options(BidirectionalMamba)
    assert (own.pop("combine"), own.pop("tie")) == ("add", "projections")
    assert own == options(Mamba)


def test_options_that_cannot_be_are_named():
    with pytest.raises(UserError, match="combine must be one of 'add', 'multiply', 'concat', not 'mean'"):
        check_arguments(BidirectionalMamba, "mixer 'bidirectional_mamba'", {"combine": "mean"})
    with pytest.raises(UserError, match=r"^mixer 'bidirectional_mamba': d_state must be at least 1, not 0"):
        BidirectionalMamba(6, d_state=0)
