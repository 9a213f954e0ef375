"""Goals on a command line."""

from __future__ import annotations

import pytest

import seqsuite
from seqchem.generation import PropertyGoal, parse_goals
from seqchem.generation.checking import goal_warnings
from seqchem.tokenizers import NumberFormat, build_vocabulary
from seqsuite.errors import UserError


def test_changes_values_and_tolerances():
    assert parse_goals(["logp=+2", "sa=-0.5", "qed=0.9"]) == (
        PropertyGoal("logp", 2.0, True), PropertyGoal("sa", -0.5, True), PropertyGoal("qed", 0.9, False),
    )  # fmt: skip
    assert parse_goals(["logp=-2~0.25", "<qed>=+0.5"], relative=False) == (
        PropertyGoal("logp", -2.0, False, 0.25), PropertyGoal("qed", 0.5, False),
    )  # fmt: skip
    assert parse_goals([]) == ()


@pytest.mark.parametrize(
    ("texts", "match"),
    [(["logp"], "write NAME=VALUE"), (["=2"], "write NAME=VALUE"), (["logp=much"], "'much' is no number"),
     (["logp=inf"], "finite"), (["logp=nan"], "finite"), (["logp=1~0"], "above 0"), (["logp=1~x"], "'x' is no number"),
     (["a=1", "a=2"], "a has two goals"), (["logp="], "is no number")],
)  # fmt: skip
def test_other_forms_are_one_line(texts, match):
    with pytest.raises(UserError, match=match) as told:
        parse_goals(texts)
    assert "\n" not in str(told.value)


def test_a_class_that_is_none_is_refused():
    formats = {"toxic": NumberFormat(0, 1, decimals=0, normalized=False)}
    words = build_vocabulary(["CCO"], "smiles", formats)
    model = seqsuite.create_model(
        "rt_debug", language="smiles", vocabulary=words, number_formats={"toxic": formats["toxic"].to_dict()}
    )
    assert goal_warnings(model, {"toxic": 1.0}) == ()
    with pytest.raises(UserError, match=r"toxic=0\.5: toxic is one of the classes 0, 1"):
        goal_warnings(model, {"toxic": 0.5})
