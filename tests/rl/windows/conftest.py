"""Made episodes of known numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from seqrl.data.episodes import Episodes


@pytest.fixture
def make_episodes() -> Callable[..., Episodes]:
    return made


def made(lengths: Sequence[int], *, discrete: bool = False, seed: int = 0, final: bool = True, **more: Any) -> Episodes:
    rng = np.random.default_rng(seed)
    steps, count = sum(lengths), len(lengths)
    offsets = np.cumsum([0, *lengths])
    ends = np.zeros(steps, bool)
    ends[offsets[1:] - 1] = True
    actions = rng.integers(0, 3, steps) if discrete else rng.uniform(-1, 1, (steps, 2)).astype(np.float32)
    values: dict[str, Any] = {
        "observations": rng.normal(2, 3, (steps, 4)).astype(np.float32),
        "actions": actions,
        "rewards": rng.normal(1, 1, steps),
        "terminations": ends,
        "truncations": np.zeros(steps, bool),
        "offsets": offsets.astype(np.int64),
        "final_observations": rng.normal(2, 3, (count, 4)).astype(np.float32) if final else None,
        "infos": {},
        "observation_space": Box(-np.inf, np.inf, (4,), np.float32),
        "action_space": Discrete(3) if discrete else Box(-1, 1, (2,), np.float32),
        "env_id": "",
        "env_spec": "",
        "reference": None,
        "metadata": {},
        "source": "made",
    }
    return Episodes(**{**values, **more})
