"""Options of `seqrl score` (torch-free); the docstring is the help."""

from __future__ import annotations

import math
from dataclasses import dataclass

from seqsuite.errors import UserError


@dataclass(frozen=True)
class ScoreConfig:
    """Options of `seqrl score`.

    Args:
        name: A data set of D4RL (hopper-medium-v2) or an environment (Hopper-v5).
        returns: Raw returns, as in 3000 or 3000,1500; --returns=-100 below zero.
        json: Print JSON instead of a table.
    """

    name: str
    returns: tuple[float, ...] = ()
    json: bool = False

    def __post_init__(self) -> None:
        if not self.returns:
            raise UserError("--returns: give raw returns, as in --returns 3000")
        if not all(map(math.isfinite, self.returns)):
            raise UserError(f"--returns {', '.join(map(str, self.returns))}: give finite numbers")
