"""Environments: how they are made, alone or in a vector, and T-Maze.

    environment = make_environment("Hopper-v5")
    vector = make_vector("seqrl/TMaze-v0", 8, options={"corridor_length": 90})

Importing this package registers `seqrl/TMaze-v0` with gymnasium.
"""

from __future__ import annotations

import gymnasium

from seqrl.environments.making import make_environment, make_vector

__all__ = ["TMAZE", "make_environment", "make_vector"]

TMAZE = "seqrl/TMaze-v0"

if TMAZE not in gymnasium.registry:
    gymnasium.register(id=TMAZE, entry_point="seqrl.environments.tmaze:TMaze")
