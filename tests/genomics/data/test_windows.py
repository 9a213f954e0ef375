"""Splits share nothing; windows are pure functions of (seed, position) that stay inside their interval."""

from __future__ import annotations

import pickle
import random

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from seqdna.data import Genome, Interval, Splits, TiledWindows, TrainWindows, eval_sites, held_out_blocks
from seqsuite.errors import UserError

LETTERS = "ACGT"


def random_genome(lengths: list[int], seed: int = 0, unknown: float = 0.0) -> Genome:
    draws = random.Random(seed)
    return Genome.from_sequences(
        {
            f"r{i}": "".join("N" if draws.random() < unknown else draws.choice(LETTERS) for _ in range(length))
            for i, length in enumerate(lengths)
        }
    )


lengths = st.lists(st.integers(1, 120), min_size=1, max_size=5)
shares = st.floats(0, 0.45)


def inside(genome: Genome, intervals, start: int, length: int) -> bool:
    name, first = genome.locate(start)
    return any(i.record == name and i.start <= first and first + length <= i.end for i in intervals)


@given(lengths, shares, shares)
def test_held_out_blocks_divide_the_genome(sizes, valid, test):
    genome = random_genome(sizes)
    n_test, n_valid = round(genome.length * test), round(genome.length * valid)
    assume(n_test + n_valid < genome.length)
    splits = held_out_blocks(genome, valid=valid, test=test)
    covered = [
        [genome.coordinate(i.record, p) for i in part for p in range(i.start, i.end)]
        for part in (splits.train, splits.valid, splits.test)
    ]
    assert covered[0] + covered[1] + covered[2] == list(range(genome.length))
    assert [len(part) for part in covered[1:]] == [n_valid, n_test]


@pytest.mark.parametrize(("valid", "test"), [(0.5, 0.5), (-0.1, 0.1), (0.1, 1.0), (0.96, 0.0)])
def test_shares_that_leave_nothing_to_train_on(valid, test):
    with pytest.raises(UserError, match="Held-out shares"):
        held_out_blocks(random_genome([10]), valid=valid, test=test)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 20), st.integers(0, 6)), min_size=1, max_size=6))
def test_overlapping_splits_are_refused(raw):
    parts: list[list[Interval]] = [[], [], []]
    seen: list[tuple[str, int]] = []
    for i, (record, start, size) in enumerate(raw):
        parts[i % 3].append(Interval(record, start, start + size))
        seen += [(record, start + k) for k in range(size)]
    if len(set(seen)) == len(seen):
        Splits(*(tuple(part) for part in parts))
    else:
        with pytest.raises(UserError, match="share bases"):
            Splits(*(tuple(part) for part in parts))


@given(lengths, st.integers(1, 40), st.integers(0, 2**70), st.lists(st.integers(0, 2**40), min_size=1, max_size=5))
def test_train_windows_are_pure_and_stay_inside(sizes, length, seed, positions):
    genome = random_genome(sizes)
    intervals = [Interval(r.name, r.length // 4, r.length) for r in genome.records]
    assume(max(map(len, intervals)) >= length)
    windows = TrainWindows(genome, intervals, length, seed=seed)
    forward = [windows.ids(p) for p in positions]
    again = TrainWindows(pickle.loads(pickle.dumps(genome)), intervals, length, seed=seed)
    backward = [again.ids(p) for p in reversed(positions)][::-1]
    for p, x, y in zip(positions, forward, backward, strict=True):
        assert x.dtype == np.uint8
        assert x.shape == (length,)
        assert np.array_equal(x, y)
        assert inside(genome, intervals, windows.start(p), length)


def test_train_windows_are_uniform_over_all_starts():
    genome = random_genome([12, 3, 30])
    intervals = [Interval("r0", 2, 12), Interval("r1", 0, 3), Interval("r2", 5, 14), Interval("r2", 20, 28)]
    windows = TrainWindows(genome, intervals, 8, seed=3)
    starts = [windows.start(p) for p in range(3000)]
    valid = [genome.coordinate(i.record, s) for i in intervals for s in range(i.start, i.end - 8 + 1)]
    values, counts = np.unique(starts, return_counts=True)
    assert values.tolist() == sorted(valid)
    expected = len(starts) / len(valid)
    # 5 degrees of freedom: a fair draw exceeds 25 once in seven thousand; the seed is fixed.
    assert ((counts - expected) ** 2 / expected).sum() < 25


def test_other_seed_other_windows():
    genome = random_genome([5000])
    whole = [Interval("r0", 0, 5000)]
    a, b = (TrainWindows(genome, whole, 50, seed=seed) for seed in (0, 1))
    assert sum(a.start(p) == b.start(p) for p in range(200)) < 10
    assert len({a.start(p) for p in range(200)}) > 150


def test_windows_of_unknown_bases_are_avoided():
    genome = Genome.from_sequences({"a": "N" * 4000 + "ACGT" * 100})
    whole = [Interval("a", 0, 4400)]
    windows = TrainWindows(genome, whole, 50, max_unknown=0.1)
    n_id = genome.tokenizer.n_id
    assert all((windows.ids(p) == n_id).mean() <= 0.1 for p in range(50))
    tiles = TiledWindows(genome, whole, 50, max_unknown=0.1)
    assert len(tiles) == 8
    assert tiles.skipped == 80
    least_bad = TrainWindows(Genome.from_sequences({"a": "NNNA" * 100}), [Interval("a", 0, 400)], 50, max_unknown=0.1)
    assert (least_bad.ids(0) != n_id).sum() >= 12
    with pytest.raises(UserError, match="nothing but N"):
        TrainWindows(Genome.from_sequences({"a": "NNNN"}), [Interval("a", 0, 4)], 2)
    with pytest.raises(UserError, match="unknown bases"):
        TiledWindows(Genome.from_sequences({"a": "NNNN"}), [Interval("a", 0, 4)], 2)


@given(lengths, st.integers(1, 30), st.integers(0, 1000), st.booleans())
def test_tiles_cover_each_epoch_once(sizes, length, seed, shuffle):
    genome = random_genome(sizes)
    intervals = [Interval(r.name, 0, r.length) for r in genome.records]
    assume(max(sizes) >= length)
    tiles = TiledWindows(genome, intervals, length, seed=seed, shuffle=shuffle)
    expected = [genome.coordinate(i.record, s) for i in intervals for s in range(0, len(i) - length + 1, length)]
    n = len(tiles)
    assert tiles.uncovered == genome.length - n * length
    for epoch in (2, 0, 1):
        positions = range(epoch * n, (epoch + 1) * n)
        assert {tiles.place(p)[0] for p in positions} == {epoch}
        starts = [tiles.start(p) for p in positions]
        assert sorted(starts) == expected
        if not shuffle:
            assert starts == expected
        assert [
            TiledWindows(genome, intervals, length, seed=seed, shuffle=shuffle).start(p) for p in positions
        ] == starts


def test_epochs_differ_in_order():
    genome = random_genome([500])
    tiles = TiledWindows(genome, [Interval("r0", 0, 500)], 10)
    assert [tiles.start(p) for p in range(50)] != [tiles.start(p) for p in range(50, 100)]


@pytest.mark.parametrize("kind", [TrainWindows, TiledWindows])
def test_window_longer_than_every_stretch(kind):
    genome = random_genome([30, 80])
    with pytest.raises(UserError, match=r"window of 81 bases.*has 80 \(record 'r1'\).*--length"):
        kind(genome, [Interval("r0", 0, 30), Interval("r1", 0, 80)], 81)
    with pytest.raises(UserError, match=r"there is none.*--length"):
        kind(genome, [], 10)
    with pytest.raises(UserError, match="at least 1"):
        kind(genome, [Interval("r0", 0, 30)], 0)
    with pytest.raises(UserError, match="reaches beyond"):
        kind(genome, [Interval("r0", 0, 31)], 5)


@given(lengths, st.integers(1, 40), st.integers(1, 60), st.integers(0, 99))
def test_eval_sites(sizes, length, n, seed):
    genome = random_genome(sizes, unknown=0.2)
    intervals = [Interval(r.name, 0, r.length) for r in genome.records][::-1]
    eligible = [
        genome.coordinate(i.record, p)
        for i in intervals
        if len(i) >= length
        for p in np.flatnonzero(genome.codes(i.record, i.start, i.end) < 4)
    ]
    assume(eligible)
    sites = eval_sites(intervals, genome, n, length, seed=seed)
    assert len(sites) == min(n, len(eligible))
    assert len(set(sites.coordinate.tolist())) == len(sites)
    assert set(sites.coordinate.tolist()) <= set(eligible)
    assert np.array_equal(sites.coordinate, eval_sites(intervals, genome, n, length, seed=seed).coordinate)
    windows = sites.windows(slice(None))
    assert windows.shape == (len(sites), length)
    for i in range(len(sites)):
        assert windows[i, sites.offset[i]] == sites.target[i] == genome.tokens[sites.coordinate[i]]
        assert inside(genome, intervals, int(sites.start[i]), length)
        record, position = genome.locate(int(sites.coordinate[i]))
        room = length // 2 <= position <= genome.record(record).length - (length - length // 2)
        assert sites.offset[i] == length // 2 or not room


def test_eval_sites_bad_input():
    genome = Genome.from_sequences({"a": "N" * 20, "b": "ACGT" * 5})
    with pytest.raises(UserError, match="no known base"):
        eval_sites([Interval("a", 0, 20)], genome, 5, 10)
    with pytest.raises(UserError, match="--length"):
        eval_sites([Interval("b", 0, 20)], genome, 5, 21)
    with pytest.raises(UserError, match="at least 1"):
        eval_sites([Interval("b", 0, 20)], genome, 0, 10)
    with pytest.raises(UserError, match="share bases"):
        eval_sites([Interval("b", 0, 12), Interval("b", 10, 20)], genome, 3, 5)
