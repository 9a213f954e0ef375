"""Trained policies that play: what a notebook, an evaluation or a robot holds in its hand.

agent = seqrl.load("runs/cartpole").agent()
agent.reset(target_return=500)
action = agent.act(observation)
agent.observe(reward)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqrl.agents.base import Agent, make_agent
    from seqrl.agents.planned import PlannedAgent
    from seqrl.agents.windowed import MemoryAgent, WindowedAgent

__all__ = ["Agent", "MemoryAgent", "PlannedAgent", "WindowedAgent", "make_agent"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "base": ["Agent", "make_agent"],
        "planned": ["PlannedAgent"],
        "windowed": ["MemoryAgent", "WindowedAgent"],
    },
)
