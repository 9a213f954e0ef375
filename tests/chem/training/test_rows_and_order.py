"""Texts as ids, and which row stands where: laws that hold for every seed."""

from __future__ import annotations

import numpy as np
import pytest

from seqchem.configs.finetune import RTFinetuneConfig
from seqchem.tokenizers import NumberFormat, Tokenizer, build_vocabulary
from seqchem.training.inputs import open_inputs
from seqchem.training.order import LengthOrder, Schedule
from seqchem.training.rows import TokenRows
from seqchem.training.run import rows_of

VALUES = {"y": np.array([0.5, np.nan, -2.25, 7.0]), "label": np.array([1.0, 0.0, np.nan, 1.0])}
TEXTS = ["CCO", "c1ccccc1Br", "N", "C[C@H](N)C"]


@pytest.fixture
def rows():
    formats = {name: NumberFormat.from_values(values[~np.isnan(values)]) for name, values in VALUES.items()}
    tokenizer = Tokenizer(build_vocabulary(TEXTS, "smiles", formats), "smiles", number_formats=formats)
    return TokenRows.of(tokenizer, TEXTS, VALUES), tokenizer


def test_rows_are_what_the_tokenizer_says(rows):
    rows, tokenizer = rows
    for number, text in enumerate(TEXTS):
        for names in ([], ["y"], ["label"], ["y", "label"]):
            shown = [name for name in names if not np.isnan(VALUES[name][number])]
            written = tokenizer.expression({name: VALUES[name][number] for name in names}, text)
            assert rows.ids(number, shown) == tokenizer.encode(written)
        assert rows.names(number) == [name for name in VALUES if not np.isnan(VALUES[name][number])]
    longest = [len(rows.ids(number, rows.names(number))) for number in range(4)]
    assert all(0 <= most - length <= 1 for most, length in zip(rows.longest_text(), longest, strict=True))
    assert rows.length_counts() == {"1": 1, "3": 1, "6": 1, "9": 1}


def test_some_rows_are_those_rows(rows):
    rows, _ = rows
    some = rows_of(rows, np.array([2, 0]))
    assert len(some) == 2
    for new, old in enumerate([2, 0]):
        assert some.ids(new, some.names(new)) == rows.ids(old, rows.names(old))
    assert len(rows_of(rows, np.array([], dtype=np.int64))) == 0


def test_values_outside_the_trained_range_stand_at_its_border(rows):
    _, tokenizer = rows
    far = TokenRows.of(tokenizer, ["CCO", "CCO"], {"y": np.array([-100.0, 100.0])})
    assert tokenizer.properties_of(far.ids(0, ["y"]))["y"] == -2.25
    assert tokenizer.properties_of(far.ids(1, ["y"]))["y"] == 7.0


def test_steps_alternate_and_each_kind_counts_its_own():
    schedule = Schedule("both", alternate=3)
    modes = [schedule.mode(step) for step in range(14)]
    assert modes[:7] == ["property"] * 3 + ["conditional"] * 3 + ["property"]
    for step, mode in enumerate(modes):
        assert schedule.done(step) == modes[:step].count(mode)
    assert {Schedule("generation").mode(step) for step in range(200)} == {"conditional"}
    assert Schedule("plm").done(17) == 17


@pytest.mark.parametrize("bucket", [1, 4])
@pytest.mark.parametrize("count", [3, 37, 64])
def test_every_row_comes_once_in_an_epoch(count, bucket):
    lengths = np.random.default_rng(0).integers(5, 40, count)
    order = LengthOrder(lengths, 8, seed=5, bucket=bucket)
    size = 8 * bucket
    chunks = -(-3 * count // size)
    seen = [order.index(place) for place in range(chunks * size)]
    assert sorted(set(seen)) == list(range(count))
    counts = np.bincount(seen, minlength=count)
    assert counts.max() - counts.min() <= 1 + (len(seen) % count != 0)
    again = LengthOrder(lengths, 8, seed=5, bucket=bucket)
    for place in np.random.default_rng(1).permutation(len(seen))[:50]:
        assert again.index(int(place)) == seen[place]
    other = LengthOrder(lengths, 8, seed=6, bucket=bucket)
    assert count < 5 or [other.index(place) for place in range(len(seen))] != seen


def test_batches_of_like_length_pad_less():
    lengths = np.random.default_rng(0).integers(5, 60, 5000)

    def padding(bucket: int) -> float:
        order = LengthOrder(lengths, 16, seed=0, bucket=bucket)
        drawn = lengths[[order.index(place) for place in range(3200)]].reshape(-1, 16)
        return float(1 - drawn.sum() / (drawn.max(1) * 16).sum())

    assert padding(50) < 0.1 < padding(1)


def test_a_split_file_keeps_equal_sequences_apart_too(write_table, tmp_path):
    path = write_table(("smiles", "y"), [("CCO", 1), ("OCC", 2), ("CC", 3), ("CCC", 4)])
    (tmp_path / "parts.csv").write_text("row,part\n2,train\n3,test\n4,train\n5,left out\n")
    config = RTFinetuneConfig(str(path), properties=("y",), split_file=str(tmp_path / "parts.csv"))
    inputs = open_inputs(config)
    assert {part: rows.tolist() for part, rows in inputs.parts.items()} == {
        "train": [2], "valid": [], "test": [1], "left out": [0, 3],
    }  # fmt: skip
    assert any("1 rows left out of a part" in note for note in inputs.notes)
