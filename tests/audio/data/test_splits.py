"""Splits: nothing in two parts, every part that is wanted, whatever the number of files."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest

from seqaudio.data import AudioFile, split_files
from seqsuite.errors import UserError


def files(*seconds: float) -> list[AudioFile]:
    return [AudioFile(Path(f"f{number}.wav"), 100, 1, int(100 * length)) for number, length in enumerate(seconds)]


@pytest.mark.parametrize("count", [3, 4, 5, 10, 37])
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("shares", [(0.1, 0.1), (0.4, 0.5), (0.0, 0.2), (0.3, 0.0), (0.0, 0.0)])
def test_every_file_has_one_place_and_every_wanted_part_a_file(count, seed, shares):
    given = files(*(3 + number % 5 for number in range(count)))
    parts = split_files(given, *shares, seed)
    dealt = [*parts.train, *parts.valid, *parts.test]
    assert sorted(dealt, key=given.index) == given
    assert parts.train
    assert bool(parts.valid) == (shares[0] > 0)
    assert bool(parts.test) == (shares[1] > 0)
    for part in (parts.train, parts.valid, parts.test):
        assert list(part) == sorted(part, key=given.index)


def test_the_order_of_the_files_does_not_matter_and_the_seed_does():
    given = files(3, 4, 5, 6, 7)
    first = split_files(given, 0.2, 0.2, seed=4)
    for order in permutations(given):
        parts = split_files(order, 0.2, 0.2, seed=4)
        assert all(set(getattr(parts, part)) == set(getattr(first, part)) for part in ("train", "valid", "test"))
    assert len({split_files(given, 0.2, 0.2, seed).test for seed in range(30)}) >= 4


def test_parts_have_their_share_of_the_seconds():
    given = files(*(1 + (number * 37 % 11) / 10 for number in range(200)))
    total = sum(file.seconds for file in given)
    parts = split_files(given, 0.1, 0.2, seed=1)
    assert sum(file.seconds for file in parts.valid) == pytest.approx(0.1 * total, abs=2.1)
    assert sum(file.seconds for file in parts.test) == pytest.approx(0.2 * total, abs=2.1)


@pytest.mark.parametrize("seed", range(8))
def test_one_long_recording_is_not_spent_on_a_small_part(seed):
    given = files(3600, *[5] * 20)
    parts = split_files(given, 0.1, 0.1, seed)
    assert given[0] in parts.train


@pytest.mark.parametrize("offset", [0, 77])
def test_one_file_is_cut_by_time_with_gaps(offset):
    file = AudioFile(Path("a.wav"), 100, 1, 10_000, first=offset, label="x")
    parts = split_files([file], 0.1, 0.2, gap_seconds=2.0)
    (train,), (valid,), (test,) = parts.train, parts.valid, parts.test
    assert train.first == offset
    assert valid.first == train.first + train.frames + 200
    assert test.first == valid.first + valid.frames + 200
    assert 10_000 + offset - 2 <= test.first + test.frames <= 10_000 + offset
    for part, share in ((train, 0.7), (valid, 0.1), (test, 0.2)):
        assert part.frames == pytest.approx(9600 * share, abs=1)
        assert (part.path, part.rate, part.channels, part.label) == (file.path, 100, 1, "x")
    no_test = split_files([file], 0.1, 0.0, gap_seconds=2.0)
    assert no_test.test == ()
    assert no_test.valid[0].first == no_test.train[0].first + no_test.train[0].frames + 200


def test_of_two_files_one_is_trained_on_and_the_other_cut():
    given = files(60, 20)
    parts = split_files(given, 0.1, 0.1)
    assert parts.train == (given[0],)
    (valid,), (test,) = parts.valid, parts.test
    assert valid.path == test.path == given[1].path
    assert valid.first == 0
    assert test.first >= valid.frames + 100
    whole = split_files(given, 0.1, 0.0)
    assert (whole.train, whole.valid, whole.test) == ((given[0],), (given[1],), ())


def test_what_cannot_be_split_is_told():
    with pytest.raises(UserError, match="there is no sound file"):
        split_files([])
    with pytest.raises(UserError, match="below 1 together"):
        split_files(files(1, 2, 3), 0.5, 0.5)
    with pytest.raises(UserError, match="at least 0"):
        split_files(files(1, 2, 3), -0.1, 0.1)
    with pytest.raises(UserError, match=r"f0\.wav: its 2\.00 s are too short to be cut into 3 parts"):
        split_files(files(2))
    with pytest.raises(UserError, match=r"f0\.wav is given twice"):
        split_files([*files(1, 2, 3), *files(1)])
