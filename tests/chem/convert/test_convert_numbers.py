"""Number formats from inference.json: known kinds, straight lines, and text that is never run."""

from __future__ import annotations

import sys

import pytest

from seqchem.convert_numbers import formats_from_published, formats_from_ranges, formats_to_published, linear_form
from seqchem.tokenizers import NumberFormat
from seqsuite.errors import UserError
from tests.chem.convert.conftest import DIGITS

VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "|", "<a>", "<b>", "_._", *DIGITS)


def one(width=5, low=0.0, high=1.0, **more):
    """Return the format of a file with the property <a>, and the reason if it has none."""
    inference = {
        "property_token": ["<a>"],
        "property_ranges": {"<a>": [low, high]},
        "property_mask_length": {"<a>": width},
    }
    formats, reasons = formats_from_published(inference | more, VOCABULARY)
    return NumberFormat.from_dict(formats["a"]) if formats else None, reasons.get("a", "")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("lambda x: x * 14.2 - 11.6", (14.2, -11.6)),
        ("x", (1, 0)),
        ("lambda v: (v + 3) / 2", (0.5, 1.5)),
        ("lambda x: round(float(x) * (1.58 - -11.6) + -11.6, 4)", (13.18, -11.6)),
        ("lambda value: -(2 - value)", (1, -2)),
        ("lambda x: 10 - x", (-1, 10)),
        ("lambda x: 3 * (x - 1) * 2", (6, -6)),
    ],
)
def test_straight_lines_are_understood(text, line):
    assert linear_form(text) == pytest.approx(line)


@pytest.mark.parametrize(
    "text",
    [
        "lambda x: x ** 2", "lambda x: 1 / x", "lambda x: x * x", "lambda x: 10 ** x", "np.log(x)", "lambda x, y: x",
        "lambda x: x if x else 0", "lambda x: x * True", "lambda x: y", "__import__('os').system('true')", "x +", "",
        "lambda x: round(x, n)", "lambda *x: x", "lambda x=1: x", "x / 0", "lambda x: x * 1e999", "(" * 600 + ")" * 600,
        "5", "'x'", "lambda x: (lambda y: y)(x)", "lambda x: x.real", "[x]", "lambda x: float(x, 2)",
    ],
)  # fmt: skip
def test_anything_else_is_not(text):
    assert linear_form(text) is None


def test_the_text_is_not_run(tmp_path):
    mark = tmp_path / "mark"
    text = f"lambda x: open({str(mark)!r}, 'w') or x"
    form, reason = one(denormalization_fns={"<a>": text})
    assert form is None
    assert "is no straight line" in reason
    assert not mark.exists()
    assert linear_form(f"open({str(mark)!r}, 'w')") is None
    assert not mark.exists()
    assert "os.never" not in sys.modules


def test_normalised_numbers_are_parts_of_the_range():
    form, _ = one(5, -11.6, 1.6)
    assert (form.format(-11.6), form.format(1.6), form.format(-5.0)) == ("0.000", "1.000", "0.500")
    assert len(form.slots()) == 5
    assert one(4, 0, 1)[0].decimals == 2


def test_one_name_stands_for_a_list_and_missing_parts_have_defaults():
    formats, reasons = formats_from_published({"property_token": "<a>", "property_mask_length": {"<a>": 5}}, VOCABULARY)
    assert not reasons
    assert (formats["a"]["minimum"], formats["a"]["maximum"], formats["a"]["normalized"]) == (0, 1, True)


def test_numbers_as_they_are():
    form, _ = one(8, 0, 2800.5, normalize=[False])
    assert (form.integer_digits, form.decimals, form.format(17.25)) == (4, 3, "0017.250")
    same, _ = one(5, 0, 1, normalize=[False])
    assert same.format(0.727) == "0.727"
    label, _ = one(1, 0, 1, normalize=[False])
    assert list(label.labels) == [0, 1]
    for arguments, message in {
        (6, -3.5, 2.0): "no constant width",
        (3, 0.0, 2800.0): "do not fit its property_mask_length, 3",
        (5, 0.0, 2800.0): "do not fit its property_mask_length, 5",
    }.items():
        form, reason = one(*arguments, normalize=[False])
        assert form is None
        assert message in reason


def test_straight_lines_say_what_the_ends_mean():
    form, _ = one(denormalization_fns=["lambda x: x * 14 - 12"])
    assert (form.minimum, form.maximum) == (-12, 2)
    form, _ = one(normalization_fns={"<a>": "lambda x: (x + 12) / 14"})
    assert (form.minimum, form.maximum) == pytest.approx((-12, 2))
    assert "turns the order" in one(denormalization_fns=["lambda x: 1 - x"])[1]
    assert "no straight line" in one(denormalization_fns=["lambda x: 10 ** x"])[1]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"property_mask_length": {}}, "does not say its property_mask_length"),
        ({"property_mask_length": {"<a>": "five"}}, "property_mask_length is 'five'"),
        ({"property_ranges": {"<a>": [1]}}, "not two numbers"),
        ({"property_ranges": {"<a>": [2, 2]}}, "2 to 2"),
        ({"property_mask_length": {"<a>": 9}}, "the vocabulary lacks"),
        ({"property_mask_length": {"<a>": 40}}, "digits"),
    ],
)
def test_what_does_not_fit_is_a_reason(more, message):
    form, reason = one(**more)
    assert form is None
    assert message in reason


def test_names_must_be_names():
    with pytest.raises(UserError, match="property_token must be"):
        formats_from_published({"property_token": {"<a>": 1}}, VOCABULARY)


def test_what_is_written_is_read_again():
    forms = {
        "a": NumberFormat(-2.5, 7.25, decimals=3),
        "b": NumberFormat(0.0, 12.5, decimals=2, integer_digits=2, normalized=False),
    }
    values = {name: form.to_dict() for name, form in forms.items()}
    written = formats_to_published(values, {}, VOCABULARY)
    assert written["property_mask_length"] == {"<a>": 5, "<b>": 5}
    assert formats_from_published(written, VOCABULARY) == (values, {})


def test_a_file_that_no_longer_says_the_same_is_written_anew():
    published = {
        "property_token": ["<a>"],
        "property_mask_length": {"<a>": 5},
        "example": "kept",
        "max_span_length": 12,
    }
    values = formats_from_published(published, VOCABULARY)[0]
    assert formats_to_published(values, published, VOCABULARY) == published
    changed = {"a": {**values["a"], "maximum": 4.0}}
    again = formats_to_published(changed, published, VOCABULARY)
    assert again["property_ranges"] == {"<a>": [0.0, 4.0]}
    assert again["max_span_length"] == 12


def test_ranges_of_the_user():
    formats = formats_from_ranges(["a=-1:2", " <b> =0:1e3"], VOCABULARY, 3)
    assert (formats["a"]["minimum"], formats["b"]["maximum"]) == (-1, 1000)
    for text in ("a", "a=1", "a=1:b", "a=1:2:3"):
        with pytest.raises(UserError, match="give name=minimum:maximum"):
            formats_from_ranges([text], VOCABULARY, 3)
    with pytest.raises(UserError, match="range"):
        formats_from_ranges(["a=2:1"], VOCABULARY, 3)
