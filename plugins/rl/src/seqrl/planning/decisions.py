"""Decisions of a planning agent, one by one: what was planned, what it is worth, how long it took.

found = decide(agent, observation)                       # one decision, from an observation
found = play(agent, environment, steps=10, seed=0)       # ten, each acted on
found.table()
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from seqsuite.errors import UserError
from seqsuite.reports import TableView

if TYPE_CHECKING:
    import gymnasium

    from seqrl.agents.planned import PlannedAgent


@dataclass(frozen=True)
class Decision:
    """One plan.

    Attributes:
        plan: (H, T) float64: observation, action, reward and value of each step.
        action: What the environment was or would be given.
        value: Discounted rewards of the plan and the value behind it.
        seconds: Wall-clock time of planning.
        cpu_seconds: CPU time of the same.
        reward: What the environment gave; None: it was not asked.
    """

    plan: np.ndarray
    action: Any
    value: float
    seconds: float
    cpu_seconds: float
    reward: float | None = None


@dataclass(frozen=True)
class Decisions(TableView):
    """Decisions of one episode; of a single one the table shows the whole plan.

    Attributes:
        decisions: In order.
        observation_dim: Numbers of an observation.
        ended: The episode was over after the last one.
    """

    decisions: tuple[Decision, ...]
    observation_dim: int
    ended: bool = False

    @property
    def median_seconds(self) -> float:
        """Median wall-clock time of a decision."""
        return float(np.median([decision.seconds for decision in self.decisions]))

    def table(self) -> list[dict[str, object]]:
        """Return a row a decision, or a row a planned step where there is one decision."""
        if len(self.decisions) == 1:
            return [self._step(number, row) for number, row in enumerate(self.decisions[0].plan)]
        return [
            {
                "step": number,
                "action": _numbers(np.atleast_1d(found.action)),
                "reward": None if found.reward is None else round(found.reward, 5),
                "plan value": round(found.value, 5),
                "seconds": round(found.seconds, 4),
                "CPU seconds": round(found.cpu_seconds, 4),
            }
            for number, found in enumerate(self.decisions)
        ]

    def _step(self, number: int, row: np.ndarray) -> dict[str, object]:
        split = self.observation_dim
        return {
            "step": number,
            "observation": _numbers(row[:split]),
            "action": _numbers(row[split:-2]),
            "reward": round(float(row[-2]), 5),
            "value": round(float(row[-1]), 5),
        }

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON can hold it."""
        split = self.observation_dim
        decisions = [
            {
                "action": np.asarray(found.action).tolist(),
                "value": found.value,
                "reward": found.reward,
                "seconds": found.seconds,
                "cpu_seconds": found.cpu_seconds,
                "plan": {
                    "observations": found.plan[:, :split].tolist(),
                    "actions": found.plan[:, split:-2].tolist(),
                    "rewards": found.plan[:, -2].tolist(),
                    "values": found.plan[:, -1].tolist(),
                },
            }
            for found in self.decisions
        ]
        return {"decisions": decisions, "median_seconds": self.median_seconds, "ended": self.ended}


def decide(agent: PlannedAgent, observation: Any, *, seed: int = 0, repeats: int = 1) -> Decisions:
    """Plan one decision at the beginning of an episode.

    Args:
        agent: The agent; it is reset.
        observation: What it sees.
        seed: Of the draws.
        repeats: Plan so often, and give the median of the times.
    """
    times, cpu = [], []
    for _ in range(repeats):
        agent.reset(seed=seed)
        started = time.process_time()
        action = agent.act(observation)
        cpu.append(time.process_time() - started)
        times.append(agent.seconds)
    value = float(agent.plan_values[0])
    found = Decision(agent.plans[0].copy(), action, value, float(np.median(times)), float(np.median(cpu)))
    return Decisions((found,), agent.model.config.observation_dim)


def play(agent: PlannedAgent, environment: gymnasium.Env, steps: int, *, seed: int = 0) -> Decisions:
    """Play the first steps of an episode.

    Args:
        agent: The agent; it is reset.
        environment: Where it plays.
        steps: At most so many.
        seed: Of the environment and of the draws.

    Raises:
        UserError: `steps` is below 1.
    """
    if steps < 1:
        raise UserError(f"steps is {steps}; it must be at least 1")
    agent.reset(seed=seed)
    observation, _ = environment.reset(seed=seed)
    decisions: list[Decision] = []
    ended = False
    while len(decisions) < steps and not ended:
        started = time.process_time()
        action = agent.act(observation)
        cpu = time.process_time() - started
        observation, reward, terminated, truncated, _ = environment.step(action)
        agent.observe(float(reward))
        plan, value = agent.plans[0].copy(), float(agent.plan_values[0])
        decisions.append(Decision(plan, action, value, agent.seconds, cpu, float(reward)))
        ended = terminated or truncated
    return Decisions(tuple(decisions), agent.model.config.observation_dim, ended)


def _numbers(values: np.ndarray) -> str:
    return ", ".join(f"{value:.4g}" for value in np.asarray(values, dtype=np.float64))
