"""The exact optimum of toy text: value iteration over the public table of transitions.

An episode ends after a number of steps, so the best action depends on the steps that are left: the tables are
solved backwards from the last step, which gives the highest expected return there is within the limit. Among
equally good actions the one that ends sooner is taken.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqrl.collection.policies import Actor, Policy
from seqsuite.errors import UserError

_MOST = 100_000_000  # bytes of the table of actions


class Solution(NamedTuple):
    """The optimum within a number of steps.

    Args:
        actions: (horizon + 1, states): the best action with that many steps left; row 0 is not used.
        values: (states,): the expected return with all steps left.
    """

    actions: NDArray[np.int64]
    values: NDArray[np.float64]


def optimal_policy(environment: Any, horizon: int) -> Policy:
    """Return the policy of highest expected return.

    Args:
        environment: One whose `unwrapped.P` holds its transitions (FrozenLake, Taxi, CliffWalking).
        horizon: Steps of an episode.

    Raises:
        UserError: It has no such table, or one that does not tell all.
    """
    inner, name = environment.unwrapped, environment.spec.id
    table = getattr(inner, "P", None)
    if table is None:
        raise UserError(
            f"--policy optimal: {name} has no table of transitions (FrozenLake, Taxi and CliffWalking have one); "
            "take scripted, ppo, sac or random"
        )
    if getattr(inner, "fickle_passenger", False):
        raise UserError("--policy optimal: the table of Taxi does not tell of fickle passengers")
    solution = solve(table, horizon)
    start = np.asarray(inner.initial_state_distrib, np.float64)

    def begin(_: np.random.Generator) -> Actor:
        left = horizon + 1

        def act(state: Any) -> int:
            nonlocal left
            left = max(left - 1, 1)
            return int(solution.actions[left, int(state)])

        return act

    return Policy("optimal", begin, expert=True, value=float(start / start.sum() @ solution.values))


def solve(table: Any, horizon: int) -> Solution:
    """Solve a table of transitions backwards.

    Args:
        table: `table[state][action]` lists (probability, next state, reward, ended), as in gymnasium's toy text.
        horizon: Steps of an episode.

    Returns:
        Best actions and values.

    Raises:
        UserError: The table of actions would not fit into memory.
    """
    states, actions = len(table), len(table[0])
    if 8 * states * (horizon + 1) > _MOST:
        raise UserError(f"--policy optimal: {states} states over {horizon} steps are too many; lower the time limit")
    rewards, moves = np.zeros((states, actions)), np.zeros((states, actions, states))
    for state in range(states):
        for action in range(actions):
            for probability, following, reward, ended in table[state][action]:
                rewards[state, action] += probability * reward
                if not ended:
                    moves[state, action, following] += probability
    flat = moves.reshape(states * actions, states)
    best = np.zeros((horizon + 1, states), np.int64)
    values, lengths, rows = np.zeros(states), np.zeros(states), np.arange(states)
    for left in range(1, horizon + 1):
        returns = rewards + (flat @ values).reshape(states, actions)
        steps = 1 + (flat @ lengths).reshape(states, actions)
        top = returns.max(1, keepdims=True)
        equal = returns >= top - 1e-9 * np.maximum(1, np.abs(top))
        best[left] = np.where(equal, steps, np.inf).argmin(1)
        values, lengths = returns[rows, best[left]], steps[rows, best[left]]
    return Solution(best, values)
