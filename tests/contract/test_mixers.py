"""Every registered mixer, and the two-way wrapper around it, keeps the laws."""

from __future__ import annotations

import pytest

from seqsuite.backbones import Bidirectional
from seqsuite.errors import UnknownNameError, UserError
from seqsuite.mixers import create_mixer, list_mixers
from seqsuite.testing.mixers import MIXER_LAWS

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


def test_wrong_names_and_types_are_one_line():
    with pytest.raises(UnknownNameError, match="Did you mean 'mamba'"):
        create_mixer("mambo", 6)
    with pytest.raises(UnknownNameError, match="Did you mean 'd_state'"):
        create_mixer("mamba", 6, d_states=4)
    with pytest.raises(UserError, match="d_state must be int, not 'four'"):
        create_mixer("mamba", 6, d_state="four")
    with pytest.raises(UserError, match="dt_rank must be int or one of 'auto', not 'automatic'"):
        create_mixer("mamba", 6, dt_rank="automatic")
