"""Number formats: constant width, a round trip within the resolution, and a grammar whose every path is a number."""

from __future__ import annotations

import json
import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqchem.tokenizers import NumberFormat, number_tokens
from seqsuite.errors import UserError

quick = settings(max_examples=120, deadline=None)
finite = st.floats(-1e300, 1e300, allow_nan=False)
moderate = st.floats(-1e6, 1e6, allow_nan=False).filter(lambda value: value == 0 or abs(value) > 1e-6)


def near(layout: NumberFormat, back: float, value: float) -> bool:
    """Half a step, and the rounding of floats of this size."""
    size = max(abs(layout.minimum), abs(layout.maximum))
    return abs(back - value) <= 0.5 * layout.resolution * (1 + 1e-9) + 8 * math.ulp(size)


@quick
@given(st.lists(finite, min_size=2, max_size=6), st.integers(0, 6), st.floats(0, 1))
def test_normalised_numbers_come_back_within_the_resolution(values: list[float], decimals: int, share: float) -> None:
    if min(values) == max(values):
        return
    layout = NumberFormat.from_values(values, decimals=decimals)
    inside = [*values, min(values) * (1 - share) + max(values) * share]
    texts = [layout.format(value) for value in inside]
    assert len({len(text) for text in texts}) == 1
    for value, text in zip(inside, texts, strict=True):
        tokens = layout.tokens(value)
        assert tokens == number_tokens(text)
        assert near(layout, layout.parse(text), value)
        assert layout.read(tokens) == layout.parse(text)
        assert all(token in slot for token, slot in zip(tokens, layout.slots(), strict=True))


@quick
@given(st.lists(moderate, min_size=2, max_size=6), st.integers(0, 6))
def test_plain_numbers_come_back_within_the_resolution(values: list[float], decimals: int) -> None:
    if max(values) - min(values) <= 1.0001 * 10.0**-decimals:
        # All the same, or perhaps the same at this many decimals.
        values = [*values, max(values) + 2]
    layout = NumberFormat.from_values(values, decimals=decimals, normalize=False)
    texts = [layout.format(value) for value in values]
    assert len({len(text) for text in texts}) == 1
    for value, text in zip(values, texts, strict=True):
        assert near(layout, layout.parse(text), value)
        assert layout.read(number_tokens(text)) == float(text)


@quick
@given(
    st.builds(
        NumberFormat,
        st.floats(-100, 0),
        st.floats(1, 1e12),
        decimals=st.integers(0, 8),
        integer_digits=st.integers(1, 7),
        signed=st.booleans(),
        normalized=st.booleans(),
    ),
    st.randoms(use_true_random=False),
)
def test_every_path_through_the_slots_is_a_number(layout: NumberFormat, draw: random.Random) -> None:
    tokens = [draw.choice(slot) for slot in layout.slots()]
    text = "".join(token.split("_")[1] for token in tokens)
    value = layout.read(tokens)
    assert math.isfinite(value)
    assert value == layout.parse(text)
    assert layout.fits(text)
    assert layout.layout(text) == text
    assert number_tokens(text) == tokens


@quick
@given(st.floats(0, 1), st.floats(0, 1))
def test_larger_values_never_get_a_smaller_text(first: float, second: float) -> None:
    layout = NumberFormat(0.0, 1.0)
    low, high = sorted((first, second))
    assert float(layout.format(low)) <= float(layout.format(high))


def test_class_labels_are_one_digit_of_the_classes_seen() -> None:
    layout = NumberFormat.from_values([0, 1, 1, 0])
    assert not layout.normalized
    assert [layout.format(value) for value in (0, 1)] == ["0", "1"]
    assert layout.slots() == (("_0_0_", "_1_0_"),)
    assert NumberFormat.from_values(np.array([2, 4, 3])).slots() == (("_2_0_", "_3_0_", "_4_0_"),)
    with pytest.raises(UserError, match="too far outside the trained range 0 to 1"):
        layout.format(2)


def test_whole_numbers_keep_their_digits_unless_normalised() -> None:
    plain = NumberFormat.from_values([2800, 35, 410], normalize=False)
    assert [plain.format(value) for value in (2800, 35)] == ["2800", "0035"]
    assert plain.tokens(2800) == ["_2_3_", "_8_2_", "_0_1_", "_0_0_"]
    normalised = NumberFormat.from_values([2800, 35, 410])
    assert [normalised.format(value) for value in (35, 2800)] == ["0.000", "1.000"]
    assert normalised.parse("1.000") == 2800


def test_negative_ranges_carry_their_sign() -> None:
    layout = NumberFormat.from_values([-25.47, 3.43, -0.5], decimals=2, normalize=False)
    assert [layout.format(value) for value in (-25.47, 3.43, -0.001)] == ["-25.47", "+03.43", "+00.00"]
    assert layout.tokens(-25.47)[0] == "_-_"
    assert layout.slots()[0] == ("_+_", "_-_")
    below = NumberFormat.from_values([-9.0, -3.0])
    assert not below.signed
    assert below.format(-9.0) == "0.000"
    assert below.parse("0.500") == -6.0


def test_huge_values_need_normalisation() -> None:
    values = [1e300, -1e300, 5.0]
    assert NumberFormat.from_values(values).format(5.0) == "0.500"
    with pytest.raises(UserError, match="normalise the property"):
        NumberFormat.from_values(values, normalize=False)
    with pytest.raises(UserError, match="normalise the property"):
        NumberFormat.from_values([1e-9, 2e-9], normalize=False)


def test_rounding_up_gets_the_digit_that_it_needs() -> None:
    layout = NumberFormat.from_values([9.9996, 0.5], normalize=False)
    assert [layout.format(value) for value in (9.9996, 0.5)] == ["10.000", "00.500"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([3.0, 3.0], "all 2 values are 3"),
        ([], "there are no values"),
        ([1.0, math.nan, 2.0], "1 of 3 values are not finite"),
        ([1.0, math.inf], "1 of 2 values are not finite"),
    ],
)
def test_what_cannot_be_learnt_is_told_in_one_line(values: list[float], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        NumberFormat.from_values(values, name="logp")
    assert str(caught.value).startswith("logp: ")
    assert "\n" not in str(caught.value)


def test_outside_values_are_told_and_clipped_only_if_asked() -> None:
    layout = NumberFormat(0.0, 2.0)
    assert [layout.outside(value) for value in (0.0, 2.0, -0.01, 2.5, math.nan)] == [False, False, True, True, True]
    assert layout.format(2.5) == "1.250"
    assert layout.parse("1.250") == 2.5
    for value in (-0.01, 4.1, 1e308):
        with pytest.raises(UserError, match="outside the trained range 0 to 2"):
            layout.format(value)
    assert [layout.format(value, clip=True) for value in (-0.01, 4.1)] == ["0.000", "1.000"]
    with pytest.raises(UserError, match="nan"):
        layout.format(math.nan, clip=True)


def test_layout_changes_the_width_and_never_the_value() -> None:
    layout = NumberFormat(-5.0, 50.0, decimals=3, integer_digits=2, signed=True, normalized=False)
    for text in ("1.5", "+1.5", "001.50", ".15e1", "1500e-3", " 1.5 "):
        assert layout.layout(text) == "+01.500"
    for text in ("1.2345", "123", "1e-5", "x", "", "1.5 tail"):
        with pytest.raises(UserError):
            layout.layout(text)
    with pytest.raises(UserError, match="does not fit"):
        NumberFormat(0.0, 1.0).layout("-0.5")


def test_broken_paths_are_no_number() -> None:
    layout = NumberFormat(0.0, 1.0)
    good = layout.tokens(0.25)
    assert layout.read(good) == 0.25
    for broken in (good[:-1], good[::-1], [*good, "_1_-4_"], ["[UNK]", *good[1:]], ["_9_0_", *good[1:]]):
        assert math.isnan(layout.read(broken))


def test_fields_survive_json() -> None:
    layout = NumberFormat.from_values([-1.5, 12.25], normalize=False, decimals=2)
    assert NumberFormat.from_dict(json.loads(json.dumps(layout.to_dict()))) == layout
    with pytest.raises(UserError, match="Did you mean 'decimals'"):
        NumberFormat.from_dict({"minimum": 0, "maximum": 1, "decimal": 2})


@pytest.mark.parametrize("fields", [{"maximum": -1.0}, {"maximum": math.inf}, {"decimals": 15}, {"integer_digits": 0}])
def test_impossible_formats_are_refused(fields: dict[str, float]) -> None:
    with pytest.raises(UserError):
        NumberFormat(**({"minimum": 0.0, "maximum": 1.0} | fields))


def test_a_number_format_needs_its_range() -> None:
    with pytest.raises(UserError, match="needs a number as maximum, got None"):
        NumberFormat.from_dict({"minimum": 1})
