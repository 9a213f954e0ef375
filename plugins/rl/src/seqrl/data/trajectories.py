"""Episodes as rows [observation, action, reward, value], and windows of their tokens to train on.

    rows = trajectory_rows(episodes, discount=0.99, termination_penalty=-100.0)
    discretizer = fit_discretizer(rows.rows, bins=100)
    windows = TokenWindows(rows, discretizer, transitions=10)
    windows[0]                       # {"tokens": (10 T - 1,), "targets": the next of each, "mask": ...}

As published (https://arxiv.org/abs/2106.02039): a value sums the rewards that come after its own row; the reward of
a step that ends its episode is replaced by the penalty; a window may run past the end, where every token is the stop
token, and these are learned as well.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seqrl.data.discretizers import Discretizer
from seqsuite.errors import UserError

if TYPE_CHECKING:
    from seqrl.data.episodes import Episodes


@dataclass(frozen=True)
class TrajectoryRows:
    """Rows of episodes, one episode after the other.

    Attributes:
        rows: (n, T) float64: observation, action, reward, value.
        offsets: (E + 1,) int64: where each episode starts.
        observation_dim: Numbers of an observation.
        action_dim: Numbers of an action.
    """

    rows: np.ndarray
    offsets: np.ndarray
    observation_dim: int
    action_dim: int

    @property
    def lengths(self) -> np.ndarray:
        """(E,) rows of each episode."""
        return np.diff(self.offsets)


def discounted_values(rewards: np.ndarray, discount: float) -> np.ndarray:
    """Return at each step of one episode the discounted sum of the rewards after it: r[t + 1] + discount r[t + 2] ...

    Args:
        rewards: (L,).
        discount: Of one step.
    """
    values = np.zeros(len(rewards), dtype=np.float64)
    for step in range(len(rewards) - 2, -1, -1):
        values[step] = rewards[step + 1] + discount * values[step + 1]
    return values


def join_rows(
    observations: np.ndarray,
    actions: np.ndarray,
    rewards: np.ndarray,
    terminations: np.ndarray,
    offsets: np.ndarray,
    *,
    discount: float = 0.99,
    termination_penalty: float | None = -100.0,
) -> TrajectoryRows:
    """Join arrays of steps to rows.

    Args:
        observations: (n, S).
        actions: (n, A).
        rewards: (n,).
        terminations: (n,) bool: the step ends its episode, and not merely by a time limit.
        offsets: (E + 1,) where each episode starts.
        discount: Of the values.
        termination_penalty: Replaces the reward of a step that ends its episode; None: nothing does.

    Raises:
        UserError: The arrays do not fit each other.
    """
    count = len(rewards)
    if not len(observations) == len(actions) == len(terminations) == count or offsets[-1] != count:
        sizes = f"{len(observations)} observations, {len(actions)} actions, {count} rewards, up to {offsets[-1]}"
        raise UserError(f"trajectories: the arrays do not fit: {sizes}")
    rewards = np.asarray(rewards, dtype=np.float64)
    if termination_penalty is not None:
        rewards = np.where(np.asarray(terminations, dtype=bool), termination_penalty, rewards)
    pieces = [rewards[start:end] for start, end in itertools.pairwise(offsets)]
    values = np.concatenate([discounted_values(piece, discount) for piece in pieces])
    parts = (observations.reshape(count, -1), actions.reshape(count, -1), rewards[:, None], values[:, None])
    rows = np.concatenate([np.asarray(part, dtype=np.float64) for part in parts], axis=1)
    return TrajectoryRows(rows, np.asarray(offsets, dtype=np.int64), parts[0].shape[1], parts[1].shape[1])


def flat_rows(
    observations: np.ndarray,
    actions: np.ndarray,
    rewards: np.ndarray,
    terminals: np.ndarray,
    timeouts: np.ndarray,
    *,
    discount: float = 0.99,
    termination_penalty: float | None = -100.0,
) -> TrajectoryRows:
    """Join the flat arrays of a D4RL file as published: without its last step, split after terminals and timeouts.

    Args:
        observations: (n, S).
        actions: (n, A).
        rewards: (n,).
        terminals: (n,) the environment ended the episode.
        timeouts: (n,) a time limit did.
        discount: See `join_rows`.
        termination_penalty: See `join_rows`.
    """
    count = len(rewards) - 1
    ends = np.flatnonzero(np.asarray(terminals[:count], dtype=bool) | np.asarray(timeouts[:count], dtype=bool)) + 1
    offsets = np.unique(np.concatenate(([0], ends, [count])))
    arrays = (observations[:count], actions[:count], rewards[:count], terminals[:count])
    return join_rows(*arrays, offsets, discount=discount, termination_penalty=termination_penalty)


def trajectory_rows(
    episodes: Episodes, *, discount: float = 0.99, termination_penalty: float | None = -100.0
) -> TrajectoryRows:
    """Join episodes to rows; observations and actions as `seqrl.spaces` encodes them, a discrete action as its number.

    Args:
        episodes: Of vector observations.
        discount: See `join_rows`.
        termination_penalty: See `join_rows`.
    """
    from seqrl.spaces import encode_actions, encode_observations

    observations = encode_observations(episodes.observation_space, episodes.observations)
    actions = encode_actions(episodes.action_space, episodes.actions)
    arrays = (observations, actions, episodes.rewards, episodes.terminations, episodes.offsets)
    return join_rows(*arrays, discount=discount, termination_penalty=termination_penalty)


class TokenWindows:
    """Windows of tokens, one for every start but an episode's last step; a map-style dataset.

    Args:
        rows: The episodes' rows.
        discretizer: Makes them tokens.
        transitions: Rows of a window.
        step: A window takes every `step`-th row.
        max_path_length: No token counts in the loss that lies further than this behind its episode's start; None: the
            longest episode's length.

    Raises:
        UserError: The discretizer is for other rows, or no episode has two steps.
    """

    def __init__(
        self,
        rows: TrajectoryRows,
        discretizer: Discretizer,
        transitions: int = 10,
        *,
        step: int = 1,
        max_path_length: int | None = None,
    ) -> None:
        if discretizer.dims != rows.rows.shape[1]:
            raise UserError(f"the discretizer is for rows of {discretizer.dims} numbers, not {rows.rows.shape[1]}")
        self.discretizer, self.transitions, self.step = discretizer, transitions, step
        self.max_path_length = int(rows.lengths.max()) if max_path_length is None else max_path_length
        self.tokens = discretizer.encode(rows.rows)
        # One entry a window: where its episode starts and ends, and which step of it is the first.
        starts, lengths = rows.offsets[:-1], rows.lengths
        counts = lengths - 1
        if counts.max() < 1:
            raise UserError("trajectories: no episode has two steps; there is no window to train on")
        self.episode = np.repeat(np.arange(len(counts)), counts)
        self.first = np.arange(len(self.episode)) - np.repeat(np.cumsum(counts) - counts, counts)
        self.start, self.length = starts[self.episode], lengths[self.episode]

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.episode)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        """Return a window.

        Returns:
            "tokens" (L,) int64, "targets" (L,) int64: the token after each, and "mask" (L,) uint8: 1 where a token
            counts; L is one less than the tokens of the window's rows.
        """
        if not 0 <= index < len(self):
            raise IndexError(index)
        steps = self.first[index] + self.step * np.arange(self.transitions)
        inside = steps < self.length[index]
        found = np.full((self.transitions, self.tokens.shape[1]), self.discretizer.bins, dtype=np.int64)
        found[inside] = self.tokens[self.start[index] + steps[inside]]
        mask = np.repeat(steps <= self.max_path_length - self.step, found.shape[1]).astype(np.uint8)
        flat = found.reshape(-1)
        return {"tokens": flat[:-1], "targets": flat[1:], "mask": mask[:-1]}
