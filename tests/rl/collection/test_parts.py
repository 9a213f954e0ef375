"""The journal survives a kill at any byte; the schedule depends on the episodes alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seqrl.collection.journal import Journal, Trajectory
from seqrl.collection.schedule import Schedule


def trajectory(number: int) -> Trajectory:
    rng = np.random.default_rng(number)
    steps = int(rng.integers(1, 6))
    return Trajectory(
        number, rng.normal(size=(steps + 1, 3)), rng.integers(4, size=steps), rng.normal(size=steps), number % 2 == 0
    )


def test_a_journal_cut_at_any_byte_keeps_all_whole_records(tmp_path: Path) -> None:
    whole = Journal(tmp_path / "whole")
    ends = []
    for number in range(3):
        whole.append(trajectory(number))
        ends.append((tmp_path / "whole").stat().st_size)
    whole.close()
    contents = (tmp_path / "whole").read_bytes()
    for cut in [*range(0, len(contents), 97), *ends, *(end - 1 for end in ends), *(end + 5 for end in ends[:-1])]:
        path = tmp_path / "cut"
        path.write_bytes(contents[:cut])
        journal = Journal(path)
        kept = sum(end <= cut for end in ends)
        assert sorted(journal.lengths) == list(range(kept))
        journal.append(trajectory(7))
        journal.close()
        again = Journal(path)
        for number in [*range(kept), 7]:
            found, expected = again.read(number), trajectory(number)
            assert found.terminated == expected.terminated
            for name in ("observations", "actions", "rewards"):
                np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
        again.close()


def test_a_damaged_record_ends_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal(path)
    for number in range(3):
        journal.append(trajectory(number))
    journal.close()
    contents = bytearray(path.read_bytes())
    contents[len(contents) // 2] ^= 1
    path.write_bytes(contents)
    assert sorted(Journal(path).lengths) == [0]


@pytest.mark.parametrize("asked", [{"episodes": 17, "steps": 0}, {"episodes": 0, "steps": 200}])
@pytest.mark.parametrize("parts", [1, 3])
def test_the_choice_does_not_depend_on_who_finishes_first(asked: dict[str, int], parts: int) -> None:
    def length(number: int) -> int:
        return 1 + number * 7919 % 23

    chosen = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        # Some were finished before, with gaps, as after an interruption.
        lengths = {n: length(n) for n in range(12) if rng.random() < seed / 20}
        schedule = Schedule(parts, lengths=lengths, **asked)
        running: list[int] = []
        while True:
            while len(running) < 1 + seed % 5 and (number := schedule.begin()) is not None:
                assert number not in lengths
                assert number not in running
                running.append(number)
            if not running:
                break
            number = running.pop(int(rng.integers(len(running))))
            lengths[number] = length(number)
            schedule.finish(number, length(number))
        assert schedule.complete()
        assert schedule.settled()
        chosen.append(schedule.chosen())
    assert all(choice == chosen[0] for choice in chosen)
    for part in range(parts):
        numbers = [number for number in chosen[0] if number % parts == part]
        if asked["steps"]:
            share = asked["steps"] // parts + (part < asked["steps"] % parts)
            total = sum(map(length, numbers))
            assert total - length(numbers[-1]) < share <= total
        else:
            assert len(numbers) == len(range(part, asked["episodes"], parts))
