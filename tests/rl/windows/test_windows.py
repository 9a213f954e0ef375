"""Windows against a plain restatement with loops, and the laws of their draws."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from seqrl.data.windows import FIELDS, EpisodeWindows, draw_uniform
from seqrl.data.windows_steps import Steps, delay_rewards, prepare_steps, state_statistics, top_episodes
from seqsuite.data.order import item_seed
from seqsuite.errors import UserError

MORE = (*FIELDS, "rewards", "dones", "next_states", "next_returns", "next_mask")


def prepared(episodes: Any, **options: Any) -> Steps:
    mean, std = state_statistics(episodes)
    return prepare_steps(episodes, state_mean=mean, state_std=std, following=True, **options)


def window_by_loop(episodes: Any, episode: int, start: int, length: int, scale: float, limit: int) -> dict[str, Any]:
    """One padded window, number by number: what the published sampler's description says."""
    obs = np.asarray(episodes.observations, np.float64)
    mean, std = obs.mean(0), obs.std(0) + 1e-6
    first, stop = episodes.offsets[episode : episode + 2]
    rewards = episodes.rewards[first:stop]
    here = range(first + start, min(first + start + length, stop))
    gap = length - len(here)
    rows: dict[str, list[Any]] = {name: [] for name in MORE}
    for _ in range(gap):
        rows["states"].append((np.zeros(4) - mean) / std)
        rows["next_states"].append((np.zeros(4) - mean) / std)
        rows["actions"].append(np.full(2, -10.0))
        rows["returns_to_go"].append([0.0])
        rows["next_returns"].append([0.0])
        rows["rewards"].append([0.0])
        rows["dones"].append(2)
        rows["timesteps"].append(0)
        rows["mask"].append(False)
        rows["next_mask"].append(False)
    for row in here:
        t = row - first
        last = row == stop - 1
        rows["states"].append((obs[row] - mean) / std)
        rows["next_states"].append(((episodes.final_observations[episode] if last else obs[row + 1]) - mean) / std)
        rows["actions"].append(episodes.actions[row])
        rows["returns_to_go"].append([sum(rewards[t:]) / scale])
        rows["next_returns"].append([sum(rewards[t + 1 :]) / scale])
        rows["rewards"].append([rewards[t]])
        rows["dones"].append(int(episodes.terminations[row]))
        rows["timesteps"].append(min(t, limit - 1))
        rows["mask"].append(True)
        rows["next_mask"].append(True)
    return {name: np.asarray(values) for name, values in rows.items()}


@pytest.mark.parametrize("length", [1, 3, 5, 20])
def test_windows_are_those_of_the_published_sampler(make_episodes, length):
    episodes = make_episodes([7, 1, 4])
    windows = EpisodeWindows(prepared(episodes, return_scale=10.0, max_ep_len=6), length, seed=0, fields=MORE)
    found = windows.gather(np.arange(12))
    for row in range(12):
        episode = int(np.searchsorted(episodes.offsets, row, side="right") - 1)
        start = row - int(episodes.offsets[episode])
        expected = window_by_loop(episodes, episode, start, length, 10.0, 6)
        for name, values in expected.items():
            np.testing.assert_allclose(found[name][row].numpy(), values, rtol=1e-5, atol=1e-5, err_msg=name)
            assert found[name].shape == (12, *values.shape)


def test_types_are_those_of_models(make_episodes):
    batch = EpisodeWindows(prepared(make_episodes([5, 6])), 4, seed=0)[3]
    kinds = {"states": torch.float32, "actions": torch.float32, "returns_to_go": torch.float32}
    kinds |= {"timesteps": torch.int64, "mask": torch.bool}
    assert {name: part.dtype for name, part in batch.items()} == kinds
    discrete = EpisodeWindows(prepared(make_episodes([2], discrete=True)), 4, seed=0).gather(np.array([0]))
    assert discrete["actions"].dtype == torch.int64
    assert discrete["actions"][0, :2].tolist() == [0, 0]
    assert discrete["mask"][0].tolist() == [False, False, True, True]


def test_what_follows_the_last_step_is_masked_where_it_is_not_known(make_episodes):
    found = EpisodeWindows(prepared(make_episodes([3], final=False)), 3, seed=0, fields=MORE).gather(np.array([0]))
    assert found["next_mask"].tolist() == [[True, True, False]]
    assert found["mask"].all()


def test_an_item_is_a_function_of_seed_and_position(make_episodes):
    steps = prepared(make_episodes([9, 14, 3]))
    whole = EpisodeWindows(steps, 5, seed=4).__getitems__(range(40, 72))
    for position in (40, 55, 71):
        item = EpisodeWindows(steps, 5, seed=4)[position]
        assert all(torch.equal(part, whole[name][position - 40]) for name, part in item.items())
    other = EpisodeWindows(steps, 5, seed=5).__getitems__(range(40, 72))
    assert not torch.equal(other["states"], whole["states"])


def test_draws_are_those_of_the_core(make_episodes):
    positions = np.array([0, 1, 63, 2**40])
    expected = [(item_seed(11, 7, int(position)) >> 11) * 2.0**-53 for position in positions]
    assert draw_uniform(11, 7, positions).tolist() == expected


def test_episodes_are_drawn_by_length_and_starts_evenly(make_episodes):
    lengths = np.array([10, 1, 25, 4])
    windows = EpisodeWindows(prepared(make_episodes(lengths)), 6, seed=1)
    first = windows.locate(np.arange(20_000))
    counts = np.bincount(first, minlength=40)
    assert stats.chisquare(counts).pvalue > 1e-3  # every step, an episode's last one as well, begins as many windows
    episode = np.repeat(np.arange(4), lengths)
    drawn = np.bincount(episode[first], minlength=4)
    assert stats.chisquare(drawn, 20_000 * lengths / lengths.sum()).pvalue > 1e-3


def test_only_kept_episodes_are_drawn(make_episodes):
    windows = EpisodeWindows(prepared(make_episodes([5, 6, 7, 8])), 4, seed=2, keep=np.array([3, 1]))
    assert len(windows) == 14
    first = windows.locate(np.arange(2000))
    assert set(first) == set(range(5, 11)) | set(range(18, 26))


@pytest.mark.parametrize("keep", [None, np.array([2, 0])])
def test_a_measurement_sees_every_step_once(make_episodes, keep):
    episodes = make_episodes([7, 3, 9])
    steps = prepared(episodes)
    windows = EpisodeWindows(steps, 4, seed=None, keep=keep)
    batch = windows.__getitems__(range(len(windows)))
    found = batch["states"][batch["mask"]].numpy()
    chosen = range(3) if keep is None else keep
    expected = np.concatenate([steps.states[episodes.offsets[e] : episodes.offsets[e + 1]] for e in chosen])
    np.testing.assert_array_equal(found, expected)


def test_windows_inside_an_episode_are_full(make_episodes):
    episodes = make_episodes([12, 3, 8])
    windows = EpisodeWindows(prepared(episodes), 5, seed=0, inside=True)
    first = windows.locate(np.arange(3000))
    batch = windows.gather(first)
    short = (first >= 12) & (first < 15)
    assert set(first[short]) == {12}
    assert batch["mask"][torch.from_numpy(~short)].all()
    assert batch["mask"][torch.from_numpy(short)].sum(1).eq(3).all()
    # The last window of an episode stands for every start that would reach beyond its end.
    counts = np.bincount(first, minlength=23)
    assert set(np.flatnonzero(counts)) == {*range(8), 12, *range(15, 19)}
    assert counts[7] == pytest.approx(3000 * 5 / 23, rel=0.2)


def test_right_padding_starts_at_the_episode(make_episodes):
    windows = EpisodeWindows(prepared(make_episodes([3, 9])), 8, seed=0, inside=True, pad="right")
    batch = windows.gather(np.array([0, 4]))
    assert batch["mask"][0].tolist() == [True] * 3 + [False] * 5
    assert batch["timesteps"][0].tolist() == [0, 1, 2, 0, 0, 0, 0, 0]
    assert batch["timesteps"][1].tolist() == list(range(1, 9))
    assert batch["actions"][0, 3:].eq(-10).all()


@pytest.mark.parametrize("fraction", [0.1, 0.35, 0.5, 0.8, 1.0])
def test_the_best_episodes_hold_their_share_of_steps(make_episodes, fraction):
    episodes = make_episodes([7, 12, 4, 9, 5, 10], seed=3)
    kept = top_episodes(episodes, fraction)
    returns, lengths = episodes.returns, episodes.lengths
    assert np.all(np.diff(returns[kept]) >= 0)
    rest = np.setdiff1d(np.arange(6), kept)
    assert not len(rest) or returns[rest].max() <= returns[kept].min()
    assert len(kept) == 1 or lengths[kept].sum() <= int(fraction * 47)
    if len(rest):
        following = rest[np.argmax(returns[rest])]
        assert lengths[kept].sum() + lengths[following] > int(fraction * 47)
    assert (len(kept) == 6) == (fraction == 1.0)
    for wrong in (0.0, 1.1, float("nan")):
        with pytest.raises(UserError, match="--top_fraction"):
            top_episodes(episodes, wrong)


def test_statistics_are_over_all_steps(make_episodes):
    episodes = make_episodes([50, 70])
    mean, std = state_statistics(episodes)
    observations = np.asarray(episodes.observations, np.float64)
    np.testing.assert_allclose(mean, observations.mean(0), rtol=1e-9)
    np.testing.assert_allclose(std, observations.std(0) + 1e-6, rtol=1e-9)
    far = make_episodes([4], observations=np.full((4, 4), 1e6, np.float32))
    np.testing.assert_allclose(state_statistics(far)[1], 1e-6)


def test_delayed_rewards_keep_the_return(make_episodes):
    episodes = make_episodes([4, 1, 6])
    delayed = delay_rewards(episodes.rewards, episodes.offsets)
    assert np.flatnonzero(delayed).tolist() == [3, 4, 10]
    np.testing.assert_allclose(delayed[[3, 4, 10]], episodes.returns, rtol=1e-12)
    steps = prepared(episodes, delayed=True, return_scale=2.0)
    np.testing.assert_allclose(steps.returns[:, 0], np.repeat(episodes.returns, [4, 1, 6]) / 2, rtol=1e-6)


def test_returns_to_go_of_several_objectives(make_episodes):
    parts = np.random.default_rng(0).normal(size=(9, 2))
    episodes = make_episodes([4, 5], infos={"parts": parts})
    steps = prepared(episodes, objectives="parts", discount=0.5, return_scale=4.0)
    assert steps.returns.shape == (9, 2)
    for t in range(9):
        stop = 4 if t < 4 else 9
        expected = sum(0.5**k * parts[t + k] for k in range(stop - t)) / 4
        np.testing.assert_allclose(steps.returns[t], expected, rtol=1e-5)
    with pytest.raises(UserError, match="has no info 'part' for --objectives; its infos: parts"):
        prepared(episodes, objectives="part")
    with pytest.raises(UserError, match="no finite number"):
        prepared(make_episodes([4, 5], infos={"parts": parts * np.nan}), objectives="parts")


def test_pixels_stay_bytes(make_episodes):
    from gymnasium.spaces import Box

    pictures = np.random.default_rng(0).integers(0, 255, (6, 8, 8, 3), np.uint8)
    space = Box(0, 255, (8, 8, 3), np.uint8)
    episodes = make_episodes([6], observations=pictures, final=False, observation_space=space)
    found = EpisodeWindows(prepare_steps(episodes), 4, seed=0).gather(np.array([4]))["states"]
    assert found.dtype == torch.uint8
    np.testing.assert_array_equal(found[0, 2:].numpy(), pictures[4:])
    assert not found[0, :2].any()


def test_a_window_of_nothing_is_refused(make_episodes):
    steps = prepared(make_episodes([3]))
    with pytest.raises(ValueError, match="no window"):
        EpisodeWindows(steps, 4, seed=0, keep=np.array([], np.int64))
    with pytest.raises(ValueError, match="following"):
        EpisodeWindows(prepare_steps(make_episodes([3])), 4, seed=0, fields=("next_states",))


def test_a_batch_costs_far_less_than_an_update(make_episodes):
    windows = EpisodeWindows(prepared(make_episodes([200] * 50)), 20, seed=0)
    best = min(_seconds(windows, batch) for batch in range(20))
    assert best < 5e-3  # an update of the published model on such a batch takes about 400 ms


def _seconds(windows: EpisodeWindows, batch: int) -> float:
    began = time.perf_counter()
    windows.__getitems__(range(64 * batch, 64 * batch + 64))
    return time.perf_counter() - began
