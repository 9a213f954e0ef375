"""Splits by chromosome and by interval file, and the published recipes: no base in two splits unless asked for."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset

from seqdna.data import (
    Genome,
    Interval,
    IntervalWindows,
    Splits,
    chromosome_splits,
    interval_splits,
    recipe_splits,
    total_length,
)
from seqdna.data.intervals import covered, without
from seqsuite.errors import UserError

EXTENT = 64


def genome_of(**lengths: int) -> Genome:
    draws = np.random.default_rng(0)
    return Genome.from_sequences({name: "".join(draws.choice(list("ACGT"), n)) for name, n in lengths.items()})


GENOME = genome_of(chr1=1000, chr2=400, chrX=50, chrM=30)

spans = st.builds(
    lambda record, start, size: Interval(record, start, min(start + size, GENOME.record(record).length)),
    st.sampled_from(["chr1", "chr2"]),
    st.integers(0, 390),
    st.integers(1, 90),
)
span_lists = st.lists(spans, max_size=6)


def bases(intervals) -> set[tuple[str, int]]:
    """All bases of the intervals, one by one."""
    return {(i.record, p) for i in intervals for p in range(i.start, i.end)}


@given(span_lists, st.integers(1, 3))
def test_covered_is_what_counting_says(intervals, depth):
    counts: dict[tuple[str, int], int] = {}
    for interval in intervals:
        for base in bases([interval]):
            counts[base] = counts.get(base, 0) + 1
    found = covered(intervals, depth)
    assert bases(found) == {base for base, count in counts.items() if count >= depth}
    assert found == sorted(found)
    assert total_length(found) == len(bases(found))
    assert all(a.record != b.record or a.end < b.start for a, b in pairwise(found))


@given(span_lists, span_lists)
def test_without_leaves_the_rest_of_each_interval_in_order(intervals, removed):
    left = without(intervals, removed)
    assert bases(left) == bases(intervals) - bases(removed)
    assert total_length(left) == sum(len(bases([i]) - bases(removed)) for i in intervals)
    assert without(intervals, []) == intervals
    owner = 0
    for piece in left:
        while not bases([piece]) <= bases([intervals[owner]]):
            owner += 1


def test_chromosome_splits():
    splits = chromosome_splits(GENOME, valid=["2"], test=["chrX"])
    assert splits.train == (Interval("chr1", 0, 1000), Interval("chrM", 0, 30))
    assert splits.valid == (Interval("chr2", 0, 400),)
    assert splits.test == (Interval("chrX", 0, 50),)
    assert chromosome_splits(GENOME, valid=["2"], test=[], train=["1"]).train == (Interval("chr1", 0, 1000),)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"valid": ["chr3"], "test": []}, r"record 'chr3'.*Did you mean"),
        ({"valid": ["chr2"], "test": ["2"]}, r"'chr2' is given to valid and test"),
        ({"valid": ["chr2"], "test": [], "train": ["chr1", "chr2"]}, r"'chr2' is given to train and valid"),
        ({"valid": ["1", "2"], "test": ["X", "M"]}, "no record to train on"),
        ({"valid": ["2"], "test": [], "train": []}, "no record to train on"),
    ],
)
def test_bad_chromosome_splits(options, message):
    with pytest.raises(UserError, match=message):
        chromosome_splits(GENOME, **options)


def write_bed(folder: Path, parts: dict[str, list[Interval]]) -> Path:
    path = folder / "splits.bed"
    rows = [f"{i.record}\t{i.start}\t{i.end}\t{split}\n" for split, part in parts.items() for i in part]
    path.write_text("".join(rows))
    return path


@given(span_lists, span_lists, span_lists)
def test_splits_by_an_interval_file_share_no_base(tmp_path_factory, train, valid, test):
    assume(train)
    path = write_bed(tmp_path_factory.mktemp("bed"), {"train": train, "valid": valid, "test": test})
    trimmed = interval_splits(path, GENOME, overlap="trim")
    assert bases(trimmed.test) == bases(test)
    assert bases(trimmed.valid) == bases(valid) - bases(test)
    assert bases(trimmed.train) == bases(train) - bases(valid) - bases(test)
    if bases(train) & bases(valid) or bases(train) & bases(test) or bases(valid) & bases(test):
        with pytest.raises(UserError, match="share bases"):
            interval_splits(path, GENOME)
    else:
        assert interval_splits(path, GENOME) == trimmed


def test_bad_interval_files(tmp_path):
    path = tmp_path / "splits.bed"
    path.write_text("chr1\t0\t10\ttrain\nchr1\t20\t30\tvaild\n")
    with pytest.raises(UserError, match=r"splits\.bed, line 2: column 4.*'vaild'.*'valid'"):
        interval_splits(path, GENOME)
    path.write_text("chr1\t0\t10\ttest\n")
    with pytest.raises(UserError, match="no interval is marked train"):
        interval_splits(path, GENOME)
    path.write_text("chr1\t990\t1001\ttrain\n")
    with pytest.raises(UserError, match=r"line 1: chr1:990-1001 reaches beyond"):
        recipe_splits(path, GENOME, 8)


@given(span_lists, span_lists, span_lists, st.sampled_from(["caduceus", "hyenadna"]), st.sampled_from([8, 32, 64]))
def test_recipes_share_no_base_unless_asked_to(train, valid, test, recipe, length):
    parts = {"train": train, "valid": valid, "test": test}
    options = {"recipe": recipe, "extent": EXTENT}
    published = recipe_splits(parts, GENOME, length, overlap="as_published", **options)
    found = [bases(published.train), bases(published.valid), bases(published.test)]
    shared = (found[0] & found[1]) | (found[0] & found[2]) | (found[1] & found[2])
    assert published.shared == len(shared)
    assert published.trimmed == {"train": 0, "valid": 0, "test": 0}
    trimmed = recipe_splits(parts, GENOME, length, **options)
    assert trimmed.shared == 0
    assert bases(trimmed.test) == found[2]
    assert bases(trimmed.valid) == found[1] - found[2]
    assert bases(trimmed.train) == found[0] - found[1] - found[2]
    Splits(*(tuple(covered(part)) for part in (trimmed.train, trimmed.valid, trimmed.test)))
    assert trimmed.trimmed["train"] == total_length(published.train) - total_length(trimmed.train)
    if shared:
        with pytest.raises(UserError, match=rf"overlap by {len(shared)} bases.*'trim'"):
            recipe_splits(parts, GENOME, length, overlap="error", **options)
    else:
        assert recipe_splits(parts, GENOME, length, overlap="error", **options).train == published.train


@given(spans)
def test_the_caduceus_recipe_extends_from_the_start(interval):
    (made,) = recipe_splits({"train": [interval]}, GENOME, 16, extent=EXTENT).train
    end = GENOME.record(interval.record).length
    assert len(made) == EXTENT
    assert made.start == min(interval.start, end - EXTENT)


@given(spans, st.integers(1, 200))
def test_the_hyenadna_recipe_recentres(interval, length):
    (made,) = recipe_splits({"train": [interval]}, GENOME, length, recipe="hyenadna").train
    end = GENOME.record(interval.record).length
    assert len(made) == length
    if length <= len(interval):
        assert made.start == min(interval.start, end - length)
    elif 0 < made.start and made.end < end:
        left, right = interval.start - made.start, made.end - interval.end
        assert left + right == length - len(interval)
        assert right - left in (0, 1)
    else:
        assert made.start <= interval.start < interval.end <= made.end


def test_short_records_are_counted():
    made = recipe_splits({"train": [Interval("chrX", 3, 20), Interval("chr1", 0, 5)]}, GENOME, 16, extent=EXTENT)
    assert made.train[0] == Interval("chrX", 0, 50)
    assert made.shortened == {"train": 1, "valid": 0, "test": 0}
    assert len(IntervalWindows(GENOME, made.train, 16)) == 3 + 4
    assert made.to_dict()["train"] == {"intervals": 2, "bases": 114}


def test_default_extent_is_the_published_one():
    genome = Genome.from_sequences({"a": b"ACGT" * (3 << 18)})
    (made,) = recipe_splits({"train": [Interval("a", 100, 131_172)]}, genome, 1024).train
    assert (made.start, made.end) == (100, 100 + 2**20)
    assert len(IntervalWindows(genome, [made], 1024)) == 1024


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 1000}, r"intervals of 1048576 bases.*1000 does not divide"),
        ({"length": 0}, "at least 1"),
        ({"length": 8, "recipe": "hyena"}, r"recipe 'hyena'.*'hyenadna'"),
        ({"length": 8, "overlap": "trimm"}, r"overlap policy 'trimm'.*'trim'"),
    ],
)
def test_bad_recipes(options, message):
    with pytest.raises(UserError, match=message):
        recipe_splits({"train": [Interval("chr1", 0, 5)]}, GENOME, **options)


@given(st.lists(spans, min_size=1, max_size=5), st.integers(1, 30), st.integers(0, 2**40), st.booleans())
def test_windows_are_the_intervals_cut_from_their_starts(intervals, length, seed, shuffle):
    expected = [GENOME.coordinate(i.record, i.start + k * length) for i in intervals for k in range(len(i) // length)]
    if not expected:
        with pytest.raises(UserError, match=r"No interval holds a window.*--length"):
            IntervalWindows(GENOME, intervals, length)
        return
    windows = IntervalWindows(GENOME, intervals, length, seed=seed, shuffle=shuffle)
    n = len(windows)
    assert windows.length == length
    assert windows.uncovered == total_length(intervals) - n * length
    for epoch in (2, 0):
        starts = [windows.start(p) for p in range(epoch * n, (epoch + 1) * n)]
        assert sorted(starts) == sorted(expected)
        assert shuffle or starts == expected
        fresh = IntervalWindows(GENOME, intervals, length, seed=seed, shuffle=shuffle)
        middle = epoch * n + n // 2
        assert fresh.start(middle) == starts[n // 2]  # a run that resumes here asks for nothing before
        assert np.array_equal(fresh.ids(middle), GENOME.tokens[starts[n // 2] : starts[n // 2] + length])


def test_epochs_and_seeds_differ_in_order():
    whole = [Interval("chr1", 0, 1000)]
    orders = [
        [IntervalWindows(GENOME, whole, 10, seed=seed).start(p) for p in range(first, first + 100)]
        for seed, first in ((0, 0), (0, 100), (1, 0))
    ]
    assert orders[0] != orders[1]
    assert orders[0] != orders[2]


class _Positions(Dataset):
    """Windows by position, as a loader of torch reads them."""

    def __init__(self, windows: IntervalWindows, first: int, count: int) -> None:
        self.windows, self.first, self.count = windows, first, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> np.ndarray:
        return self.windows.ids(self.first + index).astype(np.int64)


@pytest.mark.parametrize("mapped", [False, True])
def test_any_number_of_workers_gives_the_same_windows(tmp_path, formats, mapped):
    from seqdna.data import open_genome

    genome = GENOME
    if mapped:
        path = tmp_path / "g.fa"
        letters = {r.name: genome.tokenizer.decode(genome.fetch(r.name, 0, r.length)) for r in genome.records}
        path.write_bytes(formats.fasta(letters))
        genome = open_genome(path)
    parts = {"train": [Interval("chr1", s, s + 20) for s in (0, 300, 310, 900)]}
    windows = IntervalWindows(genome, recipe_splits(parts, genome, 8, extent=EXTENT).train, 8, seed=4)
    read = [
        np.concatenate([rows.numpy() for rows in DataLoader(_Positions(windows, 0, 80), 4, num_workers=workers)])
        for workers in (0, 2)
    ]
    assert np.array_equal(*read)
    resumed = DataLoader(_Positions(windows, 37, 43), 4, num_workers=2)
    assert np.array_equal(np.concatenate([rows.numpy() for rows in resumed]), read[0][37:])


def test_intervals_have_a_strand():
    assert Interval("a", 0, 5) == Interval("a", 0, 5, "+") != Interval("a", 0, 5, "-")
    assert str(Interval("a", 0, 5)) == "a:0-5"
    assert str(Interval("a", 0, 5, "-")) == "a:0-5(-)"
    with pytest.raises(ValueError, match="strand"):
        Interval("a", 0, 5, ".")
