"""Rows of episodes and windows of their tokens, against sums and slices written out."""

from __future__ import annotations

import numpy as np
import pytest

from seqrl.data.discretizers import fit_discretizer
from seqrl.data.trajectories import TokenWindows, discounted_values, flat_rows, join_rows
from seqsuite.errors import UserError

RNG = np.random.default_rng(1)


def make(lengths=(4, 1, 6), penalty=-100.0):
    count = sum(lengths)
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    ends = np.zeros(count, dtype=bool)
    ends[offsets[1] - 1] = True  # the first episode ends by itself, the others by a time limit
    arrays = (RNG.normal(size=(count, 2)), RNG.normal(size=(count, 1)), RNG.normal(size=count), ends, offsets)
    return arrays, join_rows(*arrays, discount=0.9, termination_penalty=penalty)


def test_a_value_sums_the_rewards_behind_its_row():
    rewards = RNG.normal(size=7)
    expected = [sum(0.8 ** (k - t - 1) * rewards[k] for k in range(t + 1, 7)) for t in range(7)]
    np.testing.assert_allclose(discounted_values(rewards, 0.8), expected)


def test_the_penalty_replaces_the_reward_of_an_end_and_goes_into_the_values():
    (_, _, rewards, _, _), rows = make()
    assert rows.rows[3, -2] == -100
    assert rows.rows[2, -1] == -100
    np.testing.assert_allclose(rows.rows[4:, -2], rewards[4:])
    _, plain = make(penalty=None)
    assert (plain.rows[:, -2] > -50).all()


def test_windows_are_slices_with_stop_tokens_behind_the_end():
    _, rows = make()
    discretizer = fit_discretizer(rows.rows, 6)
    windows = TokenWindows(rows, discretizer, transitions=3)
    tokens = discretizer.encode(rows.rows)
    assert len(windows) == 3 + 0 + 5
    last = windows[7]  # starts at the third episode's fifth step: two steps are left
    whole = np.concatenate((tokens[9:11].ravel(), np.full(5, 6)))
    assert last["tokens"].tolist() == whole[:-1].tolist()
    assert last["targets"].tolist() == whole[1:].tolist()
    assert windows[2]["tokens"].tolist() == np.concatenate((tokens[2:4].ravel(), np.full(4, 6))).tolist()


def test_the_mask_leaves_out_what_lies_behind_the_longest_path():
    _, rows = make()
    discretizer = fit_discretizer(rows.rows, 6)
    items = TokenWindows(rows, discretizer, transitions=3)
    assert items[7]["mask"].tolist() == [1] * 10 + [0] * 4  # steps 4, 5 and 6 of at most 6
    assert items[2]["mask"].all()  # stop tokens within the longest path are learned
    assert TokenWindows(rows, discretizer, transitions=3, max_path_length=9)[7]["mask"].all()


def test_a_stride_takes_every_other_row():
    _, rows = make()
    discretizer = fit_discretizer(rows.rows, 6)
    tokens = discretizer.encode(rows.rows)
    found = TokenWindows(rows, discretizer, transitions=2, step=2)[3]
    assert found["tokens"].tolist() == np.concatenate((tokens[5], tokens[7]))[:-1].tolist()


def test_flat_arrays_lose_their_last_step_and_are_split_at_ends():
    (observations, actions, rewards, ends, _), _ = make()
    timeouts = np.zeros(11, dtype=bool)
    timeouts[4] = True
    rows = flat_rows(observations, actions, rewards, ends, timeouts)
    assert rows.offsets.tolist() == [0, 4, 5, 10]
    assert len(rows.rows) == 10


def test_what_does_not_fit_is_one_line():
    arrays, rows = make()
    with pytest.raises(UserError, match="do not fit"):
        join_rows(arrays[0][:5], *arrays[1:])
    with pytest.raises(UserError, match="rows of 2 numbers, not 5"):
        TokenWindows(rows, fit_discretizer(rows.rows[:, :2], 4))
    _, short = make(lengths=(1, 1))
    with pytest.raises(UserError, match="no window"):
        TokenWindows(short, fit_discretizer(short.rows, 4))
    windows = TokenWindows(rows, fit_discretizer(rows.rows, 4))
    with pytest.raises(IndexError):
        windows[len(windows)]
