"""Episodes: each with its own seeds, whatever runs beside it; statistics as rliable defines them; lists of targets."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import scipy.stats
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from seqrl.evaluation import bootstrap_interval, episode_seeds, interquartile_mean, play
from seqrl.evaluation.targets import parse_targets
from seqsuite.errors import UserError


class Walk(gymnasium.Env[np.ndarray, int]):
    """Lasts as long as its seed says; each step gives the action times a number of its own generator."""

    observation_space = Box(-np.inf, np.inf, (2,), np.float64)
    action_space = Discrete(2)  # type: ignore[assignment]

    def __init__(self, bad_at: int = -1) -> None:
        self.bad_at = bad_at

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.left = self.length = int(self.np_random.integers(1, 12))
        return np.array([self.left, 0.0]), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.left -= 1
        drawn = self.np_random.normal()
        reward = np.nan if self.length - self.left == self.bad_at else drawn * (1 + action)
        over = self.left == 0
        return np.array([self.left, drawn]), reward, over and self.length % 2 == 0, over and self.length % 2 == 1, {}


class Drawing:
    """An agent that draws from its rows' own generators and remembers how it was called."""

    needs_target = False

    def reset(self, target: Any, *, num_envs: int, seed: list[int]) -> None:
        self.generators = [np.random.default_rng(key) for key in seed]
        self.resting = np.zeros(num_envs, bool)
        self.idle = 0

    def restart(self, rows: np.ndarray, *, seed: list[int]) -> None:
        for row, key in zip(rows, seed, strict=True):
            self.generators[row] = np.random.default_rng(key)
        self.resting[rows] = False

    def rest(self, rows: np.ndarray) -> None:
        self.resting[np.asarray(rows)] = True
        self.idle = int(self.resting.sum())

    def act(self, observations: np.ndarray) -> np.ndarray:
        return np.array([generator.integers(2) for generator in self.generators])

    def observe(self, rewards: np.ndarray) -> None:
        pass


def vector(rows: int, **options: Any) -> SyncVectorEnv:
    return SyncVectorEnv([lambda: Walk(**options)] * rows, autoreset_mode=AutoresetMode.DISABLED)


def alone(seed: int, episode: int) -> tuple[float, int]:
    """One episode, played without a vector."""
    start, drawn = episode_seeds(seed, episode)
    environment, generator = Walk(), np.random.default_rng(drawn)
    environment.reset(seed=start)
    gained, steps, over = 0.0, 0, False
    while not over:
        _, reward, terminated, truncated, _ = environment.step(int(generator.integers(2)))
        gained, steps, over = gained + reward, steps + 1, terminated or truncated
    return gained, steps


@pytest.mark.parametrize("rows", [1, 2, 5, 9, 20])
def test_an_episode_does_not_depend_on_what_runs_beside_it(rows: int) -> None:
    found = play(Drawing(), vector(rows), episodes=9, seed=4)  # type: ignore[arg-type]
    wanted = [alone(4, episode) for episode in range(9)]
    assert found.returns.tolist() == [gained for gained, _ in wanted]
    assert found.lengths.tolist() == [steps for _, steps in wanted]
    assert found.terminated.tolist() == [steps % 2 == 0 for _, steps in wanted]
    assert found.seeds.tolist() == [episode_seeds(4, episode)[0] for episode in range(9)]


def test_seeds_differ_between_episodes_evaluations_and_the_two_that_draw() -> None:
    drawn = [value for seed in range(20) for episode in range(20) for value in episode_seeds(seed, episode)]
    assert len(set(drawn)) == len(drawn)
    assert all(0 <= value < 2**32 for value in drawn)


def test_rows_without_an_episode_rest() -> None:
    agent = Drawing()
    play(agent, vector(6), episodes=4)  # type: ignore[arg-type]
    assert agent.idle == 6


def test_an_episode_is_cut_at_the_limit() -> None:
    found = play(Drawing(), vector(3), episodes=9, seed=4, max_steps=4)  # type: ignore[arg-type]
    lengths = np.array([alone(4, episode)[1] for episode in range(9)])
    assert found.lengths.tolist() == np.minimum(lengths, 4).tolist()
    assert not found.terminated[lengths > 4].any()


def test_every_end_is_told() -> None:
    told: list[int] = []
    play(Drawing(), vector(1), episodes=3, progress=told.append)  # type: ignore[arg-type]
    assert told == [1, 2, 3]


def test_rewards_that_are_not_finite_and_no_episodes_are_refused() -> None:
    with pytest.raises(UserError, match=r"episode \d, step 1: the reward is nan"):
        play(Drawing(), vector(2, bad_at=2), episodes=4)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="0 episodes"):
        play(Drawing(), vector(1), episodes=0)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 11])
def test_the_interquartile_mean_is_the_trimmed_mean(count: int) -> None:
    values = np.random.default_rng(count).normal(size=count)
    assert interquartile_mean(values) == pytest.approx(scipy.stats.trim_mean(values, 0.25))


def test_the_mean_is_that_of_rliable() -> None:
    metrics = pytest.importorskip("rliable.metrics")
    scores = np.random.default_rng(0).gamma(2.0, size=(11, 3))
    assert interquartile_mean(scores) == pytest.approx(metrics.aggregate_iqm(scores))


def test_intervals_are_percentiles_of_the_bootstrap() -> None:
    scores = np.random.default_rng(0).gamma(2.0, size=25)
    wanted = scipy.stats.bootstrap(
        (scores,), lambda x, axis: scipy.stats.trim_mean(x, 0.25, axis=axis), n_resamples=9999, method="percentile",
        random_state=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    found = np.array(bootstrap_interval(scores, resamples=9999))
    assert np.abs(found - [wanted.low, wanted.high]).max() < 0.05 * (wanted.high - wanted.low)
    narrow = bootstrap_interval(scores, level=0.5)
    assert found[0] < narrow[0] < narrow[1] < found[1]


def test_draws_stay_within_their_task() -> None:
    scores = np.array([[0.0, 100.0], [0.0, 100.0]])
    assert bootstrap_interval(scores) == (50.0, 50.0)
    low, high = bootstrap_interval(scores.reshape(-1))
    assert low < 10 < 90 < high
    for wrong in (np.zeros((0, 2)), np.zeros((2, 2, 2))):
        with pytest.raises(ValueError, match="scores must be"):
            bootstrap_interval(wrong)
    with pytest.raises(ValueError, match="no scores"):
        interquartile_mean([])


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("3600,1800", (3600.0, 1800.0)), (" 5 ", (5.0,)), ("-200, -1e3,-200", (-200.0, -1000.0)), (7, (7.0,)),
        ([1, 2], (1.0, 2.0)),
    ],
)  # fmt: skip
def test_lists_of_targets(given: Any, found: tuple[float, ...]) -> None:
    assert parse_targets(given) == found


@pytest.mark.parametrize("given", ["", "3600,", "3600;1800", "a", "nan", "1,inf", []])
def test_malformed_targets_are_told(given: Any) -> None:
    with pytest.raises(UserError, match=r"--targets.*give returns, as in 3600,1800"):
        parse_targets(given)
