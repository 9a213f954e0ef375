"""The tokenizer: numbers keep their value or are refused, unknown symbols are counted, rows read back."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqchem.tokenizers import (
    ExpressionTokenizer,
    NumberFormat,
    Tokenizer,
    build_vocabulary,
    number_tokens,
    plain_number,
    property_tokens,
    published_float,
    split_property,
    tokens_float,
    unknown_line,
)
from seqsuite.errors import UserError

quick = settings(max_examples=150, deadline=None)
SMILES = ["CCO", "CC(=O)[O-]", "c1ccc2[nH]ccc2c1", "CCCl"]
FORMATS = {
    "qed": NumberFormat(0.0, 1.0, normalized=False),
    "logp": NumberFormat(-4.0, 6.0),
    "toxic": NumberFormat.from_values([0, 1]),
}


@pytest.fixture(scope="module")
def tokenizer() -> ExpressionTokenizer:
    names = [*FORMATS, "free"]
    return Tokenizer(build_vocabulary(SMILES, "smiles", names), "smiles", number_formats=FORMATS)


def test_a_row_reads_back(tokenizer: ExpressionTokenizer) -> None:
    text = tokenizer.expression({"qed": 0.5, "logp": 1.0, "toxic": 1}, "CC(=O)[O-]")
    assert text == "<qed>0.500|<logp>0.500|<toxic>1|CC(=O)[O-]"
    ids = tokenizer.encode(text)
    assert ids[0] == tokenizer.cls_token_id
    assert ids[-1] == tokenizer.sep_token_id
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.text_of(ids) == "CC(=O)[O-]"
    assert tokenizer.properties_of(ids) == {"qed": 0.5, "logp": 1.0, "toxic": 1.0}
    padded = [*ids, *[tokenizer.pad_token_id] * 5]
    assert tokenizer.text_of(padded) == "CC(=O)[O-]"


@quick
@given(st.floats(0, 1), st.floats(-4, 6), st.sampled_from([0, 1]), st.sampled_from(SMILES))
def test_numbers_of_a_row_come_back_within_their_resolution(
    tokenizer: ExpressionTokenizer, qed: float, logp: float, toxic: int, smiles: str
) -> None:
    given = {"logp": logp, "qed": qed, "toxic": toxic}
    ids = tokenizer.encode(tokenizer.expression(given, smiles))
    found = tokenizer.properties_of(ids)
    assert list(found) == list(given)
    for name, value in given.items():
        assert abs(found[name] - value) <= 0.5 * FORMATS[name].resolution + 1e-12
    assert tokenizer.text_of(ids) == smiles


def test_odd_rows_get_their_padding_before_the_end(tokenizer: ExpressionTokenizer) -> None:
    assert tokenizer.decode(tokenizer.encode("CCO")) == ["[CLS]", "C", "C", "O", "[PAD]", "[SEP]"]
    assert tokenizer.decode(tokenizer.encode("CCOC"))[-2:] == ["C", "[SEP]"]
    plain = Tokenizer(tokenizer.vocabulary, "smiles", pad_even=False)
    assert plain.decode(plain.encode("CCO")) == ["[CLS]", "C", "C", "O", "[SEP]"]


@pytest.mark.parametrize(
    ("number", "tokens"),
    [
        ("1e-05", ["_0_0_", "_._", "_0_-1_", "_0_-2_", "_0_-3_", "_0_-4_", "_1_-5_"]),
        (".5", ["_0_0_", "_._", "_5_-1_"]),
        ("-2.5E1", ["_-_", "_2_1_", "_5_0_"]),
        ("+.25", ["_+_", "_0_0_", "_._", "_2_-1_", "_5_-2_"]),
        (" 7.25 ", ["_7_0_", "_._", "_2_-1_", "_5_-2_"]),
    ],
)
def test_numbers_are_written_out_where_the_published_reading_changes_them(number: str, tokens: list[str]) -> None:
    assert property_tokens(f"<free>{number}") == ("<free>", *tokens)
    assert tokens_float(tokens) == float(number)


@quick
@given(st.floats(-1e9, 1e9).filter(lambda value: value == 0 or abs(value) > 1e-9))
def test_any_way_of_writing_a_number_keeps_its_value(value: float) -> None:
    for text in (repr(value), f"{value:.6e}", f"{value:+.3g}", f"{value:.4f}"):
        tokens = list(property_tokens(f"<free>{text}")[1:])
        assert tokens_float(tokens) == float(text)
        assert tokens == number_tokens(plain_number(text))


@pytest.mark.parametrize("text", ["<qed>", "<qed>nan", "<qed>1.5 tail", "<qed>1,5", "0.5", "<qed>1e999999", "<>1"])
def test_what_is_no_number_is_refused_in_one_line(tokenizer: ExpressionTokenizer, text: str) -> None:
    with pytest.raises(UserError) as caught:
        tokenizer.encode(f"{text}|CCO")
    assert "\n" not in str(caught.value)


def test_published_reading_is_there_for_those_who_ask(tokenizer: ExpressionTokenizer) -> None:
    assert split_property("<two_words>1.5 tail") == ["<two_words>", "_1_0_", "_._", "_5_-1_"]
    assert tokenizer.tokenize("<qed>1e-05|C", published=True) == ["<qed>", "_1_0_", "|", "C"]
    assert published_float(["_5_-1_", "_0_0_", "_._"]) == 50.0
    assert math.isnan(tokens_float(["_5_-1_", "_0_0_", "_._"]))
    unknown = tokenizer.encode("<mystery>0.5|C", published=True)
    assert tokenizer.unk_token_id in unknown


def test_numbers_of_a_text_get_the_width_of_their_format(tokenizer: ExpressionTokenizer) -> None:
    assert tokenizer.encode("<qed>.5|CCO") == tokenizer.encode("<qed>0.500|CCO")
    assert tokenizer.encode("<toxic>1.0|CCO") == tokenizer.encode("<toxic>1|CCO")
    with pytest.raises(UserError, match=r"Property <qed>: '0.5004' does not fit"):
        tokenizer.encode("<qed>0.5004|CCO")


def test_masks_may_stand_for_tokens(tokenizer: ExpressionTokenizer) -> None:
    whole = tokenizer.tokenize("<qed>[MASK][MASK][MASK][MASK][MASK]|C[MASK]O")
    assert whole == ["<qed>", *["[MASK]"] * 5, "|", "C", "[MASK]", "O"]
    some = tokenizer.tokenize("<qed>0.[MASK]5[MASK]|C")
    assert some[1:-2] == ["_0_0_", "_._", "[MASK]", "_5_-2_", "[MASK]"]
    assert tokenizer.tokenize("<free>1[MASK].5|C")[1:5] == ["_1_1_", "[MASK]", "_._", "_5_-1_"]
    assert math.isnan(tokenizer.properties_of(tokenizer.encode("<qed>0.[MASK]5[MASK]|C"))["qed"])
    with pytest.raises(UserError, match="has 2 tokens, the number format 5"):
        tokenizer.tokenize("<qed>[MASK][MASK]|C")
    with pytest.raises(UserError, match="does not fit the number format at its place"):
        tokenizer.tokenize("<qed>[MASK]0[MASK][MASK][MASK]|C")
    protein = Tokenizer(build_vocabulary(["MKL"], "protein"), "protein")
    assert protein.tokenize("M[MASK][MASK]L") == ["M", "[MASK]", "[MASK]", "L"]


def test_unknown_symbols_are_counted_and_told(tokenizer: ExpressionTokenizer) -> None:
    ids = tokenizer.encode("C[Si](C)C")
    assert ids.count(tokenizer.unk_token_id) == 1
    counts = tokenizer.unknown_counts(["C[Si](C)[Si]", "<qed>0.5|CXC", "<mystery>1|C", "CCO"])
    assert counts == {"[Si]": 2, "X": 1, "<mystery>": 1}
    assert unknown_line(counts).startswith("3 unknown symbols, read as [UNK] or dropped: [Si] (2x), ")
    assert unknown_line({}) == ""
    assert tokenizer.unmatched("<qed>0.5|CXC") == ["X"]


def test_unknown_properties_and_digits_are_refused(tokenizer: ExpressionTokenizer) -> None:
    with pytest.raises(UserError, match=r"Unknown property 'qedd'\. Did you mean 'qed'"):
        tokenizer.encode("<qedd>0.5|CCO")
    with pytest.raises(UserError, match=r"_1_6_ is not in the vocabulary"):
        tokenizer.encode("<free>1000000|CCO")
    with pytest.raises(UserError, match="Did you mean 'logp'"):
        tokenizer.number_tokens("logP", 1.0)
    assert tokenizer.property_id("<logp>") == tokenizer.property_id("logp")
    assert tokenizer.property_names == (*FORMATS, "free")


def test_slots_are_ids_of_the_number_tokens(tokenizer: ExpressionTokenizer) -> None:
    slots = tokenizer.slot_ids("logp")
    for value in (-4.0, 0.37, 6.0):
        ids = [tokenizer.vocabulary.index(token) for token in tokenizer.number_tokens("logp", value)]
        assert all(place in slot for place, slot in zip(ids, slots, strict=True))
    assert slots[1] == [tokenizer.vocabulary.index("_._")]


def test_a_vocabulary_must_hold_what_the_formats_need() -> None:
    vocabulary = build_vocabulary(SMILES, "smiles", ["qed"], digits=[0, -1])
    with pytest.raises(UserError, match="Property <qed>: the vocabulary lacks _0_-2_"):
        Tokenizer(vocabulary, "smiles", number_formats={"qed": FORMATS["qed"].to_dict()})
    with pytest.raises(UserError, match=r"lacks \[PAD\], \[UNK\]"):
        Tokenizer(["C", "|", "[CLS]", "[SEP]", "[MASK]"], "smiles")
    with pytest.raises(UserError, match="Unknown language"):
        Tokenizer(vocabulary, "SMILE")


def test_missing_values_are_left_out_and_others_told(tokenizer: ExpressionTokenizer) -> None:
    assert tokenizer.expression({"qed": None, "logp": math.nan, "free": -1e-05}, "CCO") == "<free>-0.00001|CCO"
    with pytest.raises(UserError, match="Property <logp>: -9 is too far outside the trained range -4 to 6"):
        tokenizer.expression({"logp": -9.0}, "CCO")
    assert tokenizer.expression({"logp": -9.0}, "CCO", clip=True) == "<logp>0.000|CCO"
    with pytest.raises(UserError, match=r"holds '\|'"):
        tokenizer.expression({}, "CC|O")
    with pytest.raises(UserError, match="cannot name a property"):
        tokenizer.expression({"a|b": 1.0}, "CCO")


def test_column_names_of_real_files_can_name_properties() -> None:
    name = "measured log solubility in mols per litre"
    tokenizer = Tokenizer(
        build_vocabulary(SMILES, "smiles", [name]), "smiles", number_formats={name: NumberFormat(-11.6, 1.58)}
    )
    ids = tokenizer.encode(tokenizer.expression({name: -11.6}, "CCO"))
    assert tokenizer.properties_of(ids) == {name: -11.6}


def test_broken_numbers_of_a_model_are_nan(tokenizer: ExpressionTokenizer) -> None:
    row = ["<qed>", "_0_0_", "_._", "_5_-2_", "_5_-1_", "_0_-3_", "|", "<free>", "[UNK]", "|", "C"]
    found = tokenizer.properties_of([tokenizer.vocabulary.index(token) for token in row])
    assert list(found) == ["qed", "free"]
    assert all(math.isnan(value) for value in found.values())


def test_languages_without_molecules_say_so(tokenizer: ExpressionTokenizer) -> None:
    protein = Tokenizer(build_vocabulary(["MKL"], "protein", alphabet=True), "protein")
    assert protein.to_smiles("MKL") is None
    with pytest.raises(UserError, match="reads proteins"):
        protein.from_smiles("CCO")
    assert tokenizer.to_smiles(tokenizer.from_smiles("CCO")) == "CCO"
