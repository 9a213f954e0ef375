"""The Decision Transformer's data pipeline and evaluation loop against the published code's.

`pipeline(case)` gives what the two kzl_pipeline_* cases expect; the adapter of `decision_transformer` calls it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from torch import Tensor

from seqrl.agents import make_agent
from seqrl.data.episodes import Episodes
from seqrl.data.windows import FIELDS, EpisodeWindows
from seqrl.data.windows_steps import prepare_steps, state_statistics, top_episodes
from seqrl.evaluation import play
from seqsuite.models.base import Model
from seqsuite.testing.parity import Case


class Linear(gymnasium.Env[np.ndarray, np.ndarray]):
    """The case's environment: s' = A s + B a, reward c.s + d.a + 1, over where |s'| passes 6; keeps what it saw."""

    def __init__(self, case: Case) -> None:
        names = ("env_A", "env_B", "env_c", "env_d", "env_s0")
        self.a, self.b, self.c, self.d, self.start = (case.take(name).numpy() for name in names)
        self.observation_space = Box(-np.inf, np.inf, self.start.shape, np.float64)
        self.action_space = Box(-1, 1, self.d.shape, np.float64)
        self.actions: list[np.ndarray] = []
        self.observations: list[np.ndarray] = []
        self.rewards: list[float] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.state = self.start.copy()
        return self.state.copy(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        reward = float(self.c @ self.state + self.d @ action + 1)
        self.state = self.a @ self.state + self.b @ action
        self.actions.append(np.array(action, np.float64))
        self.observations.append(self.state.copy())
        self.rewards.append(reward)
        return self.state.copy(), reward, bool(np.abs(self.state).max() > 6), False, {}


def pipeline(case: Case, model_of: Callable[..., Model]) -> dict[str, Tensor]:
    """Return the tensors of a case.

    Args:
        case: One of kzl_pipeline_*.
        model_of: From fields of its config to the case's network with its weights.
    """
    given = case.hyperparameters
    episodes, delayed = logged(case), given["mode"] == "delayed"
    mean, std = state_statistics(episodes)
    kept = top_episodes(episodes, given["pct_traj"])
    lengths = episodes.lengths[kept]
    steps = prepare_steps(
        episodes,
        state_mean=mean,
        state_std=std,
        return_scale=given["scale"],
        max_ep_len=given["max_ep_len"],
        delayed=delayed,
    )
    windows = EpisodeWindows(
        steps, given["max_length"], seed=0, keep=kept, fields=(*FIELDS, "rewards", "dones", "next_returns")
    )
    first = episodes.offsets[case.take("batch_traj").numpy()] + case.take("batch_start").numpy()
    batch = windows.gather(first)
    found = {f"batch_{name}": batch[name] for name in ("states", "actions", "rewards", "dones", "timesteps")}
    found["batch_rtg"] = torch.cat((batch["returns_to_go"], batch["next_returns"][:, -1:]), 1)
    found["batch_mask"] = batch["mask"].float()
    found |= {"state_mean": torch.from_numpy(mean), "state_std": torch.from_numpy(std)}
    found |= {"sorted_inds": torch.from_numpy(kept), "p_sample": torch.from_numpy(lengths / lengths.sum())}
    facts = {"state_mean": tuple(mean.tolist()), "state_std": tuple(std.tolist()), "return_scale": given["scale"]}
    model = model_of(context=given["max_length"], **facts)
    return found | rollout(case, model, delayed=delayed)


def logged(case: Case) -> Episodes:
    """Return the case's trajectories as episodes."""
    count = sum(name.endswith(".observations") for name in case.inputs)
    parts = {
        name: [case.take(f"traj.{number}.{name}").numpy() for number in range(count)]
        for name in ("observations", "actions", "rewards", "terminals")
    }
    offsets = np.cumsum([0, *map(len, parts["rewards"])]).astype(np.int64)
    flat = {name: np.concatenate(pieces) for name, pieces in parts.items()}
    ends = flat["terminals"].astype(bool)
    last = np.zeros_like(ends)
    last[offsets[1:] - 1] = True
    return Episodes(
        observations=flat["observations"],
        actions=flat["actions"],
        rewards=flat["rewards"].astype(np.float64),
        terminations=ends,
        truncations=last & ~ends,
        offsets=offsets,
        final_observations=None,
        infos={},
        observation_space=Box(-np.inf, np.inf, flat["observations"].shape[1:], np.float32),
        action_space=Box(-1, 1, flat["actions"].shape[1:], np.float32),
        env_id="",
        env_spec="",
        reference=None,
        metadata={},
        source=case.folder.name,
    )


def rollout(case: Case, model: Model, *, delayed: bool) -> dict[str, Tensor]:
    """Return what the agent did in the case's environment."""
    given = case.hyperparameters
    environment = Linear(case)
    vector = SyncVectorEnv([lambda: environment], autoreset_mode=AutoresetMode.DISABLED)
    spaces = {"observation_space": environment.observation_space, "action_space": environment.action_space}
    agent = make_agent(model, **spaces, delayed=delayed)
    done = play(agent, vector, episodes=1, target=given["target_return"], max_steps=given["eval_max_ep_len"])
    count = int(done.lengths[0])
    return {
        "rollout_actions": torch.from_numpy(np.stack(environment.actions[:count])),
        "rollout_observations": torch.from_numpy(np.stack(environment.observations[:count])),
        "rollout_rewards": torch.tensor(environment.rewards[:count], dtype=torch.float64),
        "rollout_return": torch.tensor(done.returns[0], dtype=torch.float64),
        "rollout_length": torch.tensor(count),
    }
