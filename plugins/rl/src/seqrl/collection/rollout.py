"""Playing numbered episodes in a vector of environments.

All that is drawn in an episode comes from (seed, number): the environment's reset, the actions at random and
the policy's own draws. What an episode holds therefore does not depend on how many are played at once, on
which row plays it, or on whether the run was interrupted before.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from seqrl.collection.journal import Trajectory
from seqrl.collection.policies import Actor, Policy
from seqsuite.data.order import item_rng, item_seed

_RESET, _ACTIONS, _DRAWS = 1, 2, 3


class Player:
    """What acts in one episode: a policy that takes a random action with probability epsilon.

    Args:
        policy: Whose actions are taken otherwise.
        epsilon: The probability.
        space: Of actions.
        seed: Of the run.
        number: Of the episode.
    """

    def __init__(self, policy: Policy, epsilon: float, space: Any, seed: int, number: int) -> None:
        self.number, self.reset_seed = number, self.reset_seed_of(seed, number)
        self._space = copy.deepcopy(space)
        self._space.seed(item_seed(seed, number, _ACTIONS) >> 33)
        self._epsilon = epsilon
        self._rng = item_rng(seed, number, _DRAWS)
        self._actor: Actor = policy.begin(self._rng) if policy.begin else lambda _: self._space.sample()
        self.observations: list[Any] = []
        self.actions: list[Any] = []
        self.rewards: list[float] = []

    @staticmethod
    def reset_seed_of(seed: int, number: int) -> int:
        """Return the seed that an episode's environment is reset with."""
        return item_seed(seed, number, _RESET) >> 1  # files hold it as int64

    def act(self, observation: Any) -> Any:
        """Return the action for an observation and keep both."""
        # The actor sees every observation, also where its action is not taken: it may have to remember it.
        action = self._actor(observation)
        if self._epsilon > 0 and self._rng.random() < self._epsilon:
            action = self._space.sample()
        action = np.asarray(action, dtype=self._space.dtype).reshape(self._space.shape)
        self.observations.append(observation)
        self.actions.append(action)
        return action

    def trajectory(self, last: Any, terminated: bool) -> Trajectory:
        """Return the finished episode."""
        return Trajectory(
            number=self.number,
            observations=np.stack([*self.observations, last]),
            actions=np.stack(self.actions),
            rewards=np.asarray(self.rewards, np.float64),
            terminated=terminated,
        )


def play(vector: Any, begin: Callable[[], Player | None]) -> Iterator[Trajectory]:
    """Play episodes until there is none left.

    Args:
        vector: Of `make_vector`: environments that do not reset themselves.
        begin: Gives the player of the next episode, or None where no further one is wanted for now.

    Yields:
        Each episode as it ends.
    """
    rows: list[Player | None] = [begin() for _ in range(vector.num_envs)]
    idle = copy.deepcopy(vector.single_action_space)  # of rows without a player, whose steps count for nothing
    idle.seed(0)
    observations = _reset(vector, rows, np.ones(vector.num_envs, np.bool_))
    while any(row is not None for row in rows):
        actions = [row.act(observations[index]) if row else idle.sample() for index, row in enumerate(rows)]
        observations, rewards, terminated, truncated, _ = vector.step(_batch(vector, actions))
        ended = terminated | truncated
        for index, row in enumerate(rows):
            if row is None:
                continue
            row.rewards.append(float(rewards[index]))
            if ended[index]:
                yield row.trajectory(observations[index], bool(terminated[index]))
                rows[index] = None
        for index in range(len(rows)):
            # A row without a player looks again: the end of an episode may have made another one wanted.
            if rows[index] is None and (player := begin()) is not None:
                rows[index], ended[index] = player, True
        if ended.any():
            observations = _reset(vector, rows, ended)


def _reset(vector: Any, rows: Sequence[Player | None], mask: Any) -> Any:
    seeds = [0 if row is None else row.reset_seed for row in rows]
    return vector.reset(seed=seeds, options={"reset_mask": mask})[0]


def _batch(vector: Any, actions: Sequence[Any]) -> Any:
    from gymnasium.vector.utils import concatenate, create_empty_array

    space = vector.single_action_space
    empty: Any = create_empty_array(space, len(actions))
    return concatenate(space, actions, empty)
