"""Options by name: annotations are the schema, errors are one line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pytest

from seqsuite.errors import UnknownNameError, UserError
from seqsuite.mixers.options import build_config, check_arguments, check_range, replace_config


@dataclass(frozen=True, kw_only=True)
class Inner:
    width: int = 2
    rate: float = 0.5


@dataclass(frozen=True, kw_only=True)
class Outer:
    size: int
    inner: Inner = Inner()
    table: tuple[int, ...] = ()
    pair: tuple[int, str] = (1, "a")
    limit: float | None = None
    mode: Literal["slow", "fast", 3] = "slow"
    flag: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    mixed: float | bool = False


def test_json_becomes_the_annotated_forms():
    built = build_config(Outer, {"size": 1, "inner": {"rate": 1}, "table": [1, 2], "pair": [3, "b"], "limit": 2})
    assert built == Outer(size=1, inner=Inner(rate=1.0), table=(1, 2), pair=(3, "b"), limit=2.0)
    assert isinstance(built.inner.rate, float)
    assert build_config(Outer, {"size": 1, "mixed": True}).mixed is True
    assert build_config(Outer, {"size": 1, "limit": None}).limit is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": True}, "Outer: size must be int, not True"),
        ({"size": 1.0}, "Outer: size must be int, not 1.0"),
        ({"size": None}, "Outer: size must be int, not None"),
        ({"size": 1, "flag": 1}, "Outer: flag must be bool, not 1"),
        ({"size": 1, "table": "12"}, "Outer: table must be"),
        ({"size": 1, "table": [1, "b"]}, "Outer: table must be"),
        ({"size": 1, "pair": [1]}, "Outer: pair must be"),
        ({"size": 1, "limit": "two"}, "Outer: limit must be float or None, not 'two'"),
        ({"size": "4.0"}, "Outer: size must be int, not '4.0'"),
        ({"size": " 4"}, "Outer: size must be int, not ' 4'"),
        ({"size": "4_0"}, "Outer: size must be int, not '4_0'"),
        ({"size": "9" * 5000}, "Outer: size must be int, not '999"),
        ({"size": 1, "limit": "nan"}, "Outer: limit must be float or None, not 'nan'"),
        ({"size": 1, "flag": "yes"}, "Outer: flag must be bool, not 'yes'"),
        ({"size": 1, "flag": "1"}, "Outer: flag must be bool, not '1'"),
        ({"size": np.float64(4)}, "Outer: size must be int"),
        ({"size": 1, "mode": "3"}, "Outer: mode must be one of"),
        ({"size": 1, "mode": "quick"}, "Outer: mode must be one of 'slow', 'fast', 3, not 'quick'"),
        ({"size": 1, "mode": 3.0}, "Outer: mode must be one of"),
        ({"size": 1, "options": [1]}, "Outer: options must be"),
        ({"size": 1, "inner": {"rate": "x"}}, "Inner: rate must be float, not 'x'"),
        ({}, "Outer: size must be given"),
    ],
)
def test_what_does_not_fit_is_one_line(values, message):
    with pytest.raises(UserError) as caught:
        build_config(Outer, values)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_unknown_fields_get_near_names():
    with pytest.raises(UnknownNameError, match=r"'sise'. Did you mean 'size'"):
        build_config(Outer, {"sise": 1})
    with pytest.raises(UnknownNameError, match=r"'widht'. Did you mean 'width'"):
        replace_config(Outer(size=1), {"inner": {"widht": 3}})


def test_a_mapping_replaces_only_what_it_names_in_a_nested_config():
    changed = replace_config(Outer(size=1, inner=Inner(width=7)), {"inner": {"rate": 0.25}})
    assert changed.inner == Inner(width=7, rate=0.25)
    assert replace_config(changed, {"inner": Inner()}).inner == Inner()


def test_only_keyword_arguments_are_options():
    class Thing:
        def __init__(self, d_model: int, *, taps: int = 4) -> None: ...

    class Child(Thing):
        pass

    assert check_arguments(Child, "thing", {"taps": 3}) == {"taps": 3}
    with pytest.raises(UserError, match=r"^thing: d_model is not an option"):
        check_arguments(Thing, "thing", {"d_model": 3})


def test_text_that_is_exactly_a_value_is_that_value():
    built = build_config(Outer, {"size": "4", "limit": "1e-3", "flag": "true", "pair": ["-7", "8"], "table": ["+2"]})
    assert built == Outer(size=4, limit=1e-3, flag=True, pair=(-7, "8"), table=(2,))
    assert build_config(Outer, {"size": 1, "mixed": "False"}).mixed is False
    assert build_config(Outer, {"size": 1, "options": {"text": "4"}}).options == {"text": "4"}


def test_numpys_scalars_become_pythons():
    given = {"size": np.int64(4), "limit": np.float32(0.5), "options": {"a": np.int8(1), "b": [np.float64(2)]}}
    built = build_config(Outer, given)
    assert built == Outer(size=4, limit=0.5, options={"a": 1, "b": [2.0]})
    assert (type(built.size), type(built.limit), type(built.options["a"])) == (int, float, int)


@pytest.mark.parametrize(
    ("value", "bounds", "message"),
    [
        (float("nan"), {}, "it: x must be finite, not nan"),
        (float("inf"), {"least": 0}, "it: x must be finite, not inf"),
        (-1, {"least": 0}, "it: x must be at least 0, not -1"),
        (0.0, {"above": 0}, "it: x must be above 0, not 0.0"),
    ],
)
def test_a_number_out_of_range_is_one_line(value, bounds, message):
    with pytest.raises(UserError, match=f"^{message}$"):
        check_range("it", {"x": value}, **bounds)
    check_range("it", {"x": 10**400}, **bounds)
