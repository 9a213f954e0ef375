"""Episodes of an agent in a vector of environments, each with seeds of its own.

    rollouts = play(agent, vector, episodes=10, seed=0, target=3600)
    rollouts.returns                                      # (10,)

What an episode starts from and what is drawn in it follow from (seed, number of the episode) alone: how many run at
once changes nothing but the rounding of matrix products.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from seqsuite.errors import UserError

if TYPE_CHECKING:
    from seqrl.agents import Agent


@dataclass(frozen=True)
class Rollouts:
    """What came of some episodes.

    Attributes:
        returns: (E,) float64: sums of rewards.
        lengths: (E,) int64: steps.
        terminated: (E,) bool: whether the environment ended the episode; else it was cut at a limit of time.
        seeds: (E,) int64: what the environment was reset with.
    """

    returns: np.ndarray
    lengths: np.ndarray
    terminated: np.ndarray
    seeds: np.ndarray


def episode_seeds(seed: int, episode: int) -> tuple[int, int]:
    """Return the seeds of the environment and of the agent in an episode.

    Args:
        seed: Of the evaluation, at least 0.
        episode: Its number, from 0.
    """
    drawn = np.random.SeedSequence([seed, episode]).generate_state(2)
    # Some environments take signed numbers of 32 bits only.
    return int(drawn[0] >> 1), int(drawn[1])


def play(
    agent: Agent,
    vector: Any,
    *,
    episodes: int,
    seed: int = 0,
    target: Any = None,
    max_steps: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Rollouts:
    """Play episodes.

    Args:
        agent: Who plays.
        vector: The environments, with autoreset disabled as `seqrl.environments.make_vector` makes them.
        episodes: How many.
        seed: Of the evaluation.
        target: The raw return to ask for; None for an agent that takes none.
        max_steps: Steps after which an episode is cut; 0: where the environment ends it.
        progress: Called with the number of finished episodes at each end.

    Raises:
        UserError: There is nothing to play, or a reward is not finite.
    """
    if episodes < 1:
        raise UserError(f"{episodes} episodes; at least 1 is needed")
    return _Play(agent, vector, episodes, seed, max_steps, progress).run(target)


class _Play:
    """Which row plays which episode, and what it has brought so far."""

    def __init__(
        self,
        agent: Agent,
        vector: Any,
        episodes: int,
        seed: int,
        max_steps: int,
        progress: Callable[[int], None] | None,
    ) -> None:
        self.agent, self.vector, self.max_steps, self.progress = agent, vector, max_steps, progress
        self.seeds = [episode_seeds(seed, episode) for episode in range(episodes)]
        self.rows = vector.num_envs
        # A row beyond the episodes plays the last one again, and what it does is not counted.
        self.playing = np.minimum(np.arange(self.rows), episodes - 1)
        self.counted = np.arange(self.rows) < episodes
        self.following = min(self.rows, episodes)
        self.returns = np.zeros(episodes)
        self.lengths = np.zeros(episodes, dtype=np.int64)
        self.terminated = np.zeros(episodes, dtype=bool)
        self.gained = np.zeros(self.rows)
        self.steps = np.zeros(self.rows, dtype=np.int64)
        self.finished = 0

    def run(self, target: Any) -> Rollouts:
        observations, _ = self.vector.reset(seed=[self.seeds[episode][0] for episode in self.playing])
        agent_seeds = [self.seeds[episode][1] for episode in self.playing]
        self.agent.reset(target, num_envs=self.rows, seed=agent_seeds)
        self.agent.rest(~self.counted)
        while self.finished < len(self.returns):
            observations, rewards, terminated, truncated, _ = self.vector.step(self.agent.act(observations))
            self._count(rewards)
            self.agent.observe(rewards)
            ended = terminated | truncated
            if self.max_steps:
                ended |= self.steps >= self.max_steps
            if ended.any():
                observations = self._end(np.flatnonzero(ended), terminated)
        environment = np.array([pair[0] for pair in self.seeds], dtype=np.int64)
        return Rollouts(self.returns, self.lengths, self.terminated, environment)

    def _count(self, rewards: np.ndarray) -> None:
        self.gained += rewards
        self.steps += 1
        wrong = ~np.isfinite(rewards) & self.counted
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise UserError(
                f"episode {self.playing[row]}, step {self.steps[row] - 1}: the reward is {rewards[row]}; "
                "an environment must give finite ones"
            )

    def _end(self, rows: np.ndarray, terminated: np.ndarray) -> Any:
        """Write down the rows' episodes and begin the next ones; return what all rows see."""
        for row in rows:
            if self.counted[row]:
                episode = self.playing[row]
                self.returns[episode] = self.gained[row]
                self.lengths[episode], self.terminated[episode] = self.steps[row], terminated[row]
                self.finished += 1
            self.counted[row] = self.following < len(self.returns)
            if self.counted[row]:
                self.playing[row] = self.following
                self.following += 1
        if self.progress is not None:
            self.progress(self.finished)
        self.gained[rows], self.steps[rows] = 0, 0
        begun = np.zeros(self.rows, dtype=bool)
        begun[rows] = True
        seeds = [self.seeds[episode] for episode in self.playing]
        # Of rows that go on, the seeds are not looked at.
        observations, _ = self.vector.reset(seed=[pair[0] for pair in seeds], options={"reset_mask": begun})
        self.agent.restart(rows, seed=[seeds[row][1] for row in rows])
        self.agent.rest(~self.counted)
        return observations
