"""A small log of CartPole: episodes of a scripted policy with more and less noise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from seqrl.configs.train import PolicyTrainConfig


@pytest.fixture(scope="session")
def cartpole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An npz log of CartPole-v1 with 24 episodes of at most 120 steps, good and bad ones."""
    environment = gymnasium.make("CartPole-v1", max_episode_steps=120)
    rng = np.random.default_rng(0)
    log: dict[str, list[Any]] = {"obs": [], "actions": [], "rewards": [], "episode_starts": []}
    returns = []
    for episode in range(24):
        noise = (0.0, 0.2, 0.5, 1.0)[episode % 4]
        seen, _ = environment.reset(seed=episode)
        gained, over = 0.0, False
        while not over:
            action = int(seen[2] + 0.5 * seen[3] > 0) if rng.random() >= noise else int(rng.integers(2))
            log["obs"].append(seen)
            log["actions"].append(action)
            log["episode_starts"].append(gained == 0)
            seen, reward, ended, cut, _ = environment.step(action)
            log["rewards"].append(float(reward))
            gained, over = gained + float(reward), ended or cut
        returns.append(gained)
    path = tmp_path_factory.mktemp("logs") / "cartpole_log.npz"
    arrays = {name: np.asarray(values) for name, values in log.items()}
    np.savez(path, **arrays, episode_returns=np.asarray(returns))
    return path


@pytest.fixture
def options(cartpole: Path, tmp_path: Path) -> Callable[..., PolicyTrainConfig]:
    """Make the options of a run of a few steps on the log."""

    def made(name: str = "run", **more: Any) -> PolicyTrainConfig:
        plain: dict[str, Any] = {"source": str(cartpole), "model": "decision_transformer_debug", "steps": 6}
        plain |= {"batch_size": 8, "log_every": 1, "checkpoint_every": 2, "validate_every": 3, "threads": 1}
        plain |= {"eval_env": "CartPole-v1", "accelerator": "cpu", "out": str(tmp_path / name)}
        return PolicyTrainConfig(**{**plain, **more})

    return made
