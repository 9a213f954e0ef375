"""What collects data: a policy begins an episode with a generator and gives the actor that plays it.

An actor sees one observation at a time and may remember what it saw. All that it draws comes from the
episode's generator, so that an episode does not depend on what else is played at the same time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Actor = Callable[[Any], Any]
"""One observation in, one action out, for one episode."""


@dataclass(frozen=True)
class Policy:
    """A policy.

    Args:
        name: As results show it.
        begin: Gives an episode's actor from its generator; None: actions are drawn from the action space.
        expert: Whether its mean return may serve as the upper reference of the normalised score.
        value: The expected return of an episode where it is known exactly.
    """

    name: str
    begin: Callable[[np.random.Generator], Actor] | None
    expert: bool = False
    value: float | None = None


RANDOM = Policy("random", None)


@dataclass(frozen=True)
class Part:
    """One part of a mixture: a policy that acts at random with probability `epsilon` at every step."""

    policy: int
    name: str
    epsilon: float

    @property
    def label(self) -> str:
        """Return its name in tables."""
        return f"{self.name}, epsilon {self.epsilon:g}" if self.epsilon else self.name
