"""What a plan starts from: the tokens of the rows before, and of the present observation.

context = PlanContext(discretizer, observation_dim=11, action_dim=3, rows=5)
prefix = context.prefix(observation)        # (P,) tokens
context.add(observation, action, reward)    # after the step
"""

from __future__ import annotations

import numpy as np

from seqrl.data.discretizers import Discretizer


class PlanContext:
    """The last rows of one episode.

    Args:
        discretizer: Makes tokens.
        observation_dim: Numbers of an observation.
        action_dim: Numbers of an action.
        rows: How many rows are kept.
    """

    def __init__(self, discretizer: Discretizer, *, observation_dim: int, action_dim: int, rows: int) -> None:
        self.discretizer, self.rows = discretizer, rows
        self.observation_dim, self.action_dim = observation_dim, action_dim
        self.kept: list[np.ndarray] = []

    def clear(self) -> None:
        """Forget everything: an episode begins."""
        self.kept.clear()

    def add(self, observation: np.ndarray, action: np.ndarray, reward: float) -> None:
        """Take in a step.

        The row's value is not known: its token is the last bin, which no model looks at.

        Args:
            observation: (S,) what was seen.
            action: (A,) what was done.
            reward: What it brought.
        """
        numbers = np.concatenate((np.ravel(observation), np.ravel(action), [reward])).astype(np.float64)
        row = self.discretizer.encode(numbers)
        self.kept.append(np.append(row, self.discretizer.bins - 1))
        del self.kept[: -self.rows]

    def prefix(self, observation: np.ndarray, *, context: bool = True) -> np.ndarray:
        """Return the tokens (P,) of the kept rows and an observation.

        Args:
            observation: (S,) what is seen.
            context: Put the rows in front.
        """
        present = self.discretizer.encode(np.ravel(observation))
        return np.concatenate((*self.kept, present)) if context else present
