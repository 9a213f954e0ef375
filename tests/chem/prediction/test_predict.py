"""Laws of prediction: the digits are the number, whatever the batches, the order of rows or the decoding."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from seqchem.prediction import predict_properties
from seqchem.tokenizers import NumberFormat
from seqsuite.errors import UserError


def _carbons(name: str, text: str) -> float:
    return 0.37 * text.upper().count("C") - 1.1


FORMATS = {
    "normalised": NumberFormat(-1.1, 2.6),
    "plain": NumberFormat(-1.1, 2.6, 2, 1, True, False),
    "wide": NumberFormat(-120.0, 340.0, 3, 3, True, False),
}


@pytest.mark.parametrize("decode", ["independent", "sequential"])
@pytest.mark.parametrize("kind", list(FORMATS))
def test_sure_digits_give_their_number_in_user_units(
    make_tokenizer: Any, oracle: Any, smiles: list[str], kind: str, decode: str
) -> None:
    tokenizer = make_tokenizer(x=FORMATS[kind])
    model = oracle(tokenizer, _carbons)
    found = predict_properties(model, smiles, batch_size=3, decode=decode)
    written = [
        tokenizer.number_formats["x"].parse(tokenizer.number_formats["x"].format(_carbons("x", s))) for s in smiles
    ]
    assert found["x"].values == pytest.approx(written, abs=1e-9)
    assert found["x"].std == pytest.approx(np.zeros(len(smiles)), abs=1e-4)
    exact = [_carbons("x", text) for text in smiles]
    assert np.abs(found["x"].values - exact).max() <= FORMATS[kind].resolution


def test_mean_and_deviation_are_those_of_the_digits(make_tokenizer: Any, oracle: Any) -> None:
    form = NumberFormat(10.0, 30.0, 2)  # 0.xx stands for 10 + 20 * 0.xx
    tokenizer = make_tokenizer(x=form)
    shares = [{"_0_0_": 1.0}, {"_._": 1.0}, {"_2_-1_": 0.25, "_6_-1_": 0.75}, {"_0_-2_": 0.5, "_5_-2_": 0.5}]

    def spread(name: str, text: str, place: int) -> dict[str, float]:
        return {token: math.log(share) for token, share in shares[place].items()}

    found = predict_properties(oracle(tokenizer, _carbons, spread), ["CCO"])["x"]
    numbers = [(0.2, 0.25), (0.6, 0.75)], [(0.0, 0.5), (0.05, 0.5)]
    every = [(a + b, p * q) for a, p in numbers[0] for b, q in numbers[1]]
    mean = sum(value * share for value, share in every)
    variance = sum((value - mean) ** 2 * share for value, share in every)
    assert found.values[0] == pytest.approx(10 + 20 * mean, abs=1e-6)
    assert found.std[0] == pytest.approx(20 * math.sqrt(variance), abs=1e-6)


def test_every_answer_is_a_number_of_the_grammar(network: Any, smiles: list[str]) -> None:
    tokenizer = network.tokenizer
    for decode in ("independent", "sequential"):
        found = predict_properties(network, smiles, decode=decode, point="mode")
        for name, form in tokenizer.number_formats.items():
            for value in found[name].values:
                assert math.isfinite(value)
                # The likeliest number is one that the format can write: its steps are whole.
                number = (value - form.minimum) / (form.maximum - form.minimum) if form.normalized else value
                assert number * 10**form.decimals == pytest.approx(round(number * 10**form.decimals), abs=1e-6)


@pytest.mark.parametrize("decode", ["independent", "sequential"])
def test_batches_and_order_of_rows_change_nothing(network: Any, smiles: list[str], decode: str) -> None:
    whole = predict_properties(network, smiles, decode=decode)
    ones = predict_properties(network, smiles, decode=decode, batch_size=1)
    turned = predict_properties(network, smiles[::-1], decode=decode, batch_size=3)
    for name in ("logp", "charge"):
        width = network.tokenizer.number_formats[name].maximum - network.tokenizer.number_formats[name].minimum
        assert ones[name].values == pytest.approx(whole[name].values, abs=1e-4 * width)
        assert turned[name].values[::-1] == pytest.approx(whole[name].values, abs=1e-4 * width)
        assert ones[name].std == pytest.approx(whole[name].std, abs=1e-3 * width)


def test_the_answer_does_not_hang_on_training_mode_or_on_other_properties(network: Any, smiles: list[str]) -> None:
    both = predict_properties(network, smiles)
    network.train()
    one = predict_properties(network, smiles, ["logp"])
    assert network.training
    assert one["logp"].values == pytest.approx(both["logp"].values)
    assert list(one.properties) == ["logp"]


def test_rows_that_are_no_molecules_keep_their_place(network: Any) -> None:
    rows = ["CCO", "C1CC", "", "CN", "C" * 600]
    found = predict_properties(network, rows)
    assert [status == "ok" for status in found.status] == [True, False, False, True, False]
    assert "ring 1 is not closed" in found.status[1]
    assert found.status[2] == "empty"
    assert found.status[4].endswith("tokens; the model takes 512")
    alone = predict_properties(network, ["CCO", "CN"])
    assert found["logp"].values[[0, 3]] == pytest.approx(alone["logp"].values, abs=1e-4)
    assert np.isnan(found["logp"].values[[1, 2, 4]]).all()
    table = found.table()
    assert [row["predicted_logp"] is None for row in table] == [False, True, True, False, True]
    assert "3 of 5 rows were not predicted" in "\n".join(found.notes())


def test_two_writings_of_a_molecule_get_one_answer(network: Any) -> None:
    found = predict_properties(network, ["OCC", "C(C)O", "CCO"])
    assert found["logp"].values == pytest.approx([found["logp"].values[0]] * 3, abs=1e-5)


def test_what_the_vocabulary_lacks_is_told(network: Any) -> None:
    found = predict_properties(network, ["CCO", "C[Si](C)C"])
    assert "vocabulary" not in found.warnings(0)
    assert "tokens that the vocabulary lacks: [Si]" in found.warnings(1)
    assert found.status == ("ok", "ok")


def test_values_at_and_outside_the_edge_are_warned_and_clipped_only_when_asked(
    make_tokenizer: Any, oracle: Any
) -> None:
    form = NumberFormat(-1.0, 1.0, 2, 1, True, False)
    values = {"C": 0.5, "CC": 1.0, "CCC": 1.7, "CCCC": -3.25, "CCCCC": -1.0}
    model = oracle(make_tokenizer(x=form), lambda name, text: values[text])
    found = predict_properties(model, list(values))
    assert found["x"].values == pytest.approx(list(values.values()))
    words = ["", "at the edge", "outside", "outside", "at the edge"]
    assert all(text.startswith(word) for text, word in zip(found["x"].warnings, words, strict=True))
    assert found["x"].warnings[0] == ""
    assert "the trained range, -1 to 1" in found["x"].warnings[2]
    clipped = predict_properties(model, list(values), clip=True)
    assert clipped["x"].values == pytest.approx([0.5, 1.0, 1.0, -1.0, -1.0])
    assert clipped["x"].warnings == found["x"].warnings
    assert clipped["x"].low.min() >= -1
    assert clipped["x"].high.max() <= 1


def test_labels_are_classes_with_a_probability(make_tokenizer: Any, oracle: Any) -> None:
    form = NumberFormat.from_values([0, 1, 1])
    chance = {"C": 0.9, "CC": 0.2, "CCC": 0.5000001}

    def spread(name: str, text: str, place: int) -> dict[str, float]:
        return {"_1_0_": math.log(chance[text]), "_0_0_": math.log(1 - chance[text])}

    model = oracle(make_tokenizer(active=form), lambda name, text: 1.0, spread)
    for decode in ("independent", "sequential"):
        found = predict_properties(model, list(chance), decode=decode)["active"]
        assert found.probability == pytest.approx(list(chance.values()), abs=1e-6)
        assert found.values.tolist() == [1, 0, 1]
        assert found.warnings == ("", "", "")
        assert set(found.cells()) == {"predicted_active", "std_active", "probability_active"}


def test_invalid_numbers_are_those_whose_likeliest_tokens_break_the_grammar(make_tokenizer: Any, oracle: Any) -> None:
    form = NumberFormat(0.0, 1.0, 1)

    def spread(name: str, text: str, place: int) -> dict[str, float]:
        right = [{"_0_0_": -1.0}, {"_._": -1.0}, {"_7_-1_": -1.0}][place]
        return right | ({"C": 0.0} if (text, place) in {("CC", 2), ("CCC", 1)} else {})

    model = oracle(make_tokenizer(x=form), lambda name, text: 0.7, spread)
    found = predict_properties(model, ["C", "CC", "CCC"])["x"]
    assert found.invalid is not None
    assert found.invalid.tolist() == [False, True, True]
    assert found.values == pytest.approx([0.7] * 3)


def test_only_the_digits_are_asked_for_in_one_pass(make_tokenizer: Any, oracle: Any, smiles: list[str]) -> None:
    model = oracle(make_tokenizer(x=NumberFormat(-1.1, 2.6)), _carbons)
    predict_properties(model, smiles, batch_size=4)
    assert [rows for rows, _ in model.batches] == [4, 4]
    assert model.asked_positions == len(smiles) * 5
    lengths = [length for _, length in model.batches]
    assert lengths == sorted(lengths)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"properties": ["logq"]}, "Unknown property of this model 'logq'. Did you mean 'logp'"),
        ({"batch_size": 0}, "--batch_size is 0; it must be at least 1"),
        ({"level": 1.0}, "--level is 1; it must lie between 0 and 1"),
        ({"beams": 0}, "--beams is 0"),
        ({"device": "gpu9"}, "gpu9"),
    ],
)
def test_options_that_cannot_be(network: Any, options: dict[str, Any], match: str) -> None:
    with pytest.raises(UserError, match=match.replace("?", r"\?")) as told:
        predict_properties(network, ["CCO"], **options)
    assert len(str(told.value).splitlines()) == 1


def test_a_model_without_properties_says_so(network: Any) -> None:
    import seqsuite

    bare = seqsuite.create_model("rt_debug")
    with pytest.raises(UserError, match="trained on no property"):
        predict_properties(bare, ["CCO"])


def test_a_saved_table_is_the_predictions(network: Any, tmp_path: Any) -> None:
    import csv

    found = predict_properties(network, ["CCO", "not a molecule", "CN"])
    found.save(tmp_path / "out.csv")
    with open(tmp_path / "out.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["row"] for row in rows] == ["1", "2", "3"]
    assert rows[1]["status"] != "ok"
    assert rows[1]["predicted_logp"] == ""
    assert [float(rows[i]["predicted_logp"]) for i in (0, 2)] == pytest.approx(found["logp"].values[[0, 2]], rel=1e-5)
    page = found.report().write(tmp_path / "page.html").read_text()
    assert "not calibrated" in page
    assert "<img" in page
    with pytest.raises(UserError, match="Did you mean 'logp'"):
        found["log"]


def test_other_mixers_predict_too(smiles: list[str]) -> None:
    import torch

    import seqsuite
    from seqchem.tokenizers import build_vocabulary

    torch.manual_seed(0)
    model = seqsuite.create_model(
        "rt_debug",
        vocabulary=build_vocabulary(smiles, "smiles", ["x"]),
        language="smiles",
        number_formats={"x": NumberFormat(0.0, 1.0).to_dict()},
        mixer="mamba",
    )
    whole = predict_properties(model, smiles)["x"].values
    assert np.isfinite(whole).all()
    assert predict_properties(model, smiles, batch_size=1)["x"].values == pytest.approx(whole, abs=1e-3)
