"""Reading labelled sequences, deciding what labels mean, dividing rows, and making batches."""

from __future__ import annotations

import csv
import dataclasses
import gzip
from itertools import pairwise

import numpy as np
import pytest

from seqdna.configs.finetune import FinetuneConfig
from seqdna.finetuning.batches import POOL, LengthOrder, ScoringSequences, TrainingSequences
from seqdna.finetuning.labelled import LabelledSet, Rows, cropped, decide, reverse_complement
from seqdna.finetuning.readers import read_all, read_labelled
from seqdna.finetuning.splits import draw, plan_runs, shared_sequences
from seqdna.finetuning.tables import read_table
from seqdna.tokenizers import NucleotideTokenizer
from seqsuite.data.order import ShuffledOrder
from seqsuite.errors import UserError

from .conftest import motif_rows, random_sequence


def rows_of(labels: list[tuple[str, ...]], columns: tuple[str, ...] = ("label",)) -> Rows:
    places = tuple(f"line {number + 2}" for number in range(len(labels)))
    return Rows("x.csv", places, ("ACGT",) * len(labels), tuple(labels), columns)


@pytest.mark.parametrize(
    ("labels", "problem", "classes"),
    [
        (["0", "1", "1"], "classification", ("0", "1")),
        (["10", "9", "9"], "classification", ("9", "10")),
        (["yes", "no", "no"], "classification", ("no", "yes")),
        (["1", "b", "2"], "classification", ("1", "2", "b")),
        (["0.5", "1", "2"], "regression", ("label",)),
        (["1.0", "2.0", "3.0"], "regression", ("label",)),
        (["-1e-3", "2", "7"], "regression", ("label",)),
    ],
)
def test_one_column(labels, problem, classes) -> None:
    data = decide(rows_of([(label,) for label in labels]))
    assert (data.problem, data.classes) == (problem, classes)
    if problem == "classification":
        assert [data.classes[k] for k in data.targets] == labels
    else:
        np.testing.assert_allclose(data.targets[:, 0], [float(label) for label in labels])


def test_words_among_fractions_are_the_users_choice() -> None:
    rows = rows_of([("1",), ("b",), ("0.5",)])
    with pytest.raises(UserError, match=r"x.csv, line 3: the label 'label' is 'b', not a number as '0.5' is"):
        decide(rows)
    assert decide(rows, "classification").classes == ("0.5", "1", "b")


def test_several_columns() -> None:
    both = ("a", "b")
    assert decide(rows_of([("0", "1"), ("1", "0")], both)).problem == "multi_label"
    assert decide(rows_of([("0", "1.5"), ("1", "0")], both)).problem == "regression"
    np.testing.assert_array_equal(decide(rows_of([("0", "1"), ("1", "0")], both)).targets, [[0, 1], [1, 0]])


def test_many_whole_numbers_are_the_users_choice() -> None:
    many = rows_of([(str(k),) for k in range(200)])
    with pytest.raises(UserError, match=r"200 different whole numbers; say --problem"):
        decide(many)
    assert decide(many, "regression").problem == "regression"
    assert decide(many, "classification").outputs == 200


def test_the_same_rows_from_every_kind_of_table(tmp_path) -> None:
    text = "id,Seq,label,split\n1,acgtN,x,train\n2, ACG ,y,val\n3,GG,x,TEST\n"
    (tmp_path / "a.csv").write_text(text)
    (tmp_path / "b.tsv").write_text("\n" + text.replace(",", "\t"))
    (tmp_path / "c.csv.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "d.csv").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    found = [read_table(tmp_path / name) for name in ("a.csv", "b.tsv", "c.csv.gz", "d.csv")]
    for rows in found:
        assert rows.sequences == ("acgtN", "ACG", "GG")
        assert rows.labels == (("x",), ("y",), ("x",))
        assert rows.splits == ("train", "valid", "test")
    assert found[0].places == ("line 2", "line 3", "line 4")
    assert found[1].places == ("line 3", "line 4", "line 5")


def test_named_columns_and_files_for_the_splits(tmp_path) -> None:
    (tmp_path / "a.csv").write_text("dna,score,extra\nACG,0.5,1.5\nTTT,1,2\n")
    (tmp_path / "t.csv").write_text("dna,score,extra\nGGG,2,3\n")
    config = FinetuneConfig(
        str(tmp_path / "a.csv"), sequence_column="dna", labels=("extra", "score"), test=str(tmp_path / "t.csv")
    )
    data = decide(read_all(config))
    assert data.classes == ("extra", "score")
    assert data.splits == ("train", "train", "test")
    np.testing.assert_allclose(data.targets, [[1.5, 0.5], [2, 1], [3, 2]])


def test_fasta_with_labels(tmp_path) -> None:
    (tmp_path / "x.fna").write_text(">a b|c|1\nACG\nTT\n>d|0\nGG\n")
    rows = read_labelled(tmp_path / "x.fna", FinetuneConfig("x"))
    assert rows.sequences == ("ACGTT", "GG")
    assert rows.labels == (("1",), ("0",))


def test_intervals_of_a_genome(tmp_path) -> None:
    (tmp_path / "g.fa").write_text(">chr1\nAACCGGTTAC\n>chr2\nTTTTTGGGGG\n")
    (tmp_path / "t.bed").write_text("chromosome\tstart\tend\tsplit\tlabel\nchr1\t0\t4\ttrain\t1\nchr2\t3\t7\ttest\t0\n")
    (tmp_path / "p.bed").write_text("chr1\t0\t4\tyes\t0\t-\t7.5\nchr2\t3\t7\tno\t1\t+\t2\n")
    config = FinetuneConfig("x", genome=str(tmp_path / "g.fa"))
    bend = read_labelled(tmp_path / "t.bed", config)
    assert (bend.sequences, bend.labels, bend.splits) == (("AACC", "TTGG"), (("1",), ("0",)), ("train", "test"))
    plain = read_labelled(tmp_path / "p.bed", config)
    assert (plain.sequences, plain.labels) == (("GGTT", "TTGG"), (("yes",), ("no",)))
    numbers = FinetuneConfig("x", genome=str(tmp_path / "g.fa"), labels=("7", "score"))
    assert read_labelled(tmp_path / "p.bed", numbers).labels == (("7.5", "0"), ("2", "1"))


def test_the_other_strand_agrees_with_the_tokenizer() -> None:
    tokenizer = NucleotideTokenizer()
    text = random_sequence(np.random.default_rng(0), 50) + "acgtN"
    np.testing.assert_array_equal(
        tokenizer.encode(reverse_complement(text)), tokenizer.reverse_complement(tokenizer.encode(text))
    )
    codes = "ACGTRYSWKMBDHVNacgtryswkmbdhvn"
    assert reverse_complement(reverse_complement(codes)) == codes


def test_the_crop_is_the_middle() -> None:
    assert cropped("ABCDEFG", 3) == "CDE"
    assert cropped("ABCDEF", 2) == "CD"
    assert cropped("ABC", 5) == cropped("ABC", 0) == "ABC"


def labelled(n: int, shares: tuple[float, ...] = (0.7, 0.3), splits: tuple[str, ...] | None = None) -> LabelledSet:
    counts = [round(n * share) for share in shares]
    targets = np.repeat(np.arange(len(shares)), counts)
    texts = [random_sequence(np.random.default_rng(k), 12) for k in range(len(targets))]
    classes = tuple(str(k) for k in range(len(shares)))
    places = tuple(map(str, range(len(targets))))
    return LabelledSet("x", "classification", places, tuple(texts), targets, classes, splits)


def test_drawn_splits_are_a_partition_with_the_shares_of_the_whole() -> None:
    data = labelled(200)
    (plan,) = plan_runs(data, valid_fraction=0.1, test_fraction=0.25)
    parts = (plan.train, plan.valid, plan.test)
    assert sorted(np.concatenate(parts)) == list(range(200))
    assert len(plan.test) == 50
    assert len(plan.valid) == 15
    for part in parts:
        assert np.mean(data.targets[part]) == pytest.approx(0.3, abs=0.04)


def test_seeds_change_the_validation_rows_and_not_the_test_rows() -> None:
    first, second = plan_runs(labelled(100), seeds=2)
    again, _ = plan_runs(labelled(100), seeds=2)
    np.testing.assert_array_equal(first.test, second.test)
    assert set(first.valid) != set(second.valid)
    for name in ("train", "valid", "test"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))


def test_given_splits_are_kept() -> None:
    splits = ("train",) * 60 + ("test",) * 20 + ("train",) * 20
    (plan,) = plan_runs(labelled(100, splits=splits))
    assert set(plan.test) == set(range(60, 80))
    assert not set(plan.test) & (set(plan.train) | set(plan.valid))


def test_every_row_is_held_out_once() -> None:
    plans = plan_runs(labelled(60), folds=4)
    assert sorted(np.concatenate([plan.test for plan in plans])) == list(range(60))
    for plan in plans:
        assert sorted(np.concatenate((plan.train, plan.valid, plan.test))) == list(range(60))
    given = plan_runs(labelled(60, splits=("train",) * 50 + ("test",) * 10), folds=4)
    assert sorted(np.concatenate([plan.valid for plan in given])) == list(range(50))
    assert all(set(plan.test) == set(range(50, 60)) for plan in given)


def test_too_few_rows_of_a_class() -> None:
    with pytest.raises(UserError, match=r"the class '1' has 3 rows, fewer than --folds 4"):
        plan_runs(labelled(30, (0.9, 0.1)), folds=4)
    with pytest.raises(UserError, match=r"the class '1' has one row only"):
        draw(labelled(10, (0.9, 0.1)), np.arange(10), 0.2, 0, "--test_fraction")
    with pytest.raises(UserError, match=r"--test_fraction 0.01 of 30 rows leaves 1"):
        plan_runs(labelled(30), test_fraction=0.01)


def test_limit_keeps_so_many_rows_of_each_part() -> None:
    (plan,) = plan_runs(labelled(200), limit=10)
    assert [len(part) for part in (plan.train, plan.valid, plan.test)] == [10, 10, 10]


def test_shared_sequences_are_found_on_either_strand() -> None:
    texts = ("AACC", "ACGT", "GGTT", "AAAA")
    data = LabelledSet("x", "classification", texts, texts, np.array([0, 1, 0, 1]), ("a", "b"))
    (plan,) = plan_runs(labelled(40))
    plan = type(plan)("p", 0, np.array([0]), np.array([1]), np.array([2, 3]))
    assert shared_sequences(data, plan) == 0.5
    texts = ("AACC", "ACGT", "gguu", "AAAA")
    assert shared_sequences(dataclasses.replace(data, sequences=texts), plan) == 0.5


def test_rows_of_like_length_meet_and_none_is_lost() -> None:
    lengths = np.random.default_rng(0).integers(10, 500, 300)
    order, plain = LengthOrder(lengths, 8, seed=1), ShuffledOrder(300, seed=1)
    rows = [order.row(position) for position in range(2 * 8 * POOL)]
    assert sorted(rows) == sorted(plain.locate(position)[1] for position in range(2 * 8 * POOL))
    assert [LengthOrder(lengths, 8, seed=1).row(position) for position in (700 - 200, 3, 77)] == [
        rows[500], rows[3], rows[77]
    ]  # fmt: skip
    spread = np.mean([np.ptp(lengths[rows[first : first + 8]]) for first in range(0, len(rows), 8)])
    assert spread < 0.2 * np.ptp(lengths)


def test_batches_are_padded_to_their_longest() -> None:
    data = decide(Rows("x", ("a", "b"), ("ACGT", "GG"), (("0",), ("1",)), ("label",)))
    batch = ScoringSequences(data, NucleotideTokenizer())
    collated = batch.collate([batch[0], batch[1]])
    assert collated["rows"].tolist() == [1, 0]
    assert collated["input_ids"].tolist() == [[4, 4, 9, 9], [7, 8, 9, 10]]
    assert collated["labels"].tolist() == [1, 0]


def test_augmentation_shows_both_strands_and_is_a_function_of_the_position() -> None:
    texts = tuple(text for text, _ in motif_rows(2))
    data = decide(Rows("x", ("a", "b"), texts, (("0",), ("1",)), ("label",)))
    make = [TrainingSequences(data, NucleotideTokenizer(), batch_size=2, seed=s, rc_augment=True) for s in (5, 5)]
    seen = [[dataset[position][1] for position in range(64)] for dataset in make]
    assert seen[0] == seen[1]
    other = {reverse_complement(text) for text in texts}
    assert set(seen[0]) == set(texts) | other
    assert 16 < sum(text in other for text in seen[0]) < 48


def test_epochs_are_whole() -> None:
    data = decide(Rows("x", tuple("abcde"), ("ACGT",) * 5, (("0",), ("1",), ("0",), ("1",), ("0",)), ("label",)))
    train = TrainingSequences(data, NucleotideTokenizer(), batch_size=2, seed=0)
    rows = [train[position][0] for position in range(15)]
    assert all(sorted(rows[first : first + 5]) == [0, 1, 2, 3, 4] for first in (0, 5, 10))
    assert any(a != b for a, b in pairwise([rows[0:5], rows[5:10], rows[10:15]]))


def test_cells_may_be_as_long_as_a_chromosome(tmp_path) -> None:
    limit = csv.field_size_limit()
    long = "ACGT" * 50_000
    (tmp_path / "d.csv").write_text(f"sequence,label\n{long},0\nAC,1\n")
    rows = read_table(tmp_path / "d.csv")
    assert rows.sequences == (long, "AC")
    assert csv.field_size_limit() == limit


def test_the_limit_draws_the_same_test_rows_for_every_seed() -> None:
    plans = plan_runs(labelled(60), seeds=3, limit=10)
    assert [len(plan.test) for plan in plans] == [10, 10, 10]
    assert len({plan.test.tobytes() for plan in plans}) == 1
    assert len({plan.train.tobytes() for plan in plans}) == 3
