"""Runs without training: folders as `seqrl train` leaves them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import pytest
import torch
import yaml

import seqsuite
from seqrl.spaces import action_kind, action_width, observation_width, space_to_json

MakeRun = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Return what makes a run folder of an untrained policy for an environment."""

    def make(
        env_id: str, name: str = "decision_transformer_debug", *, seed: int = 0, told: bool = True, **fields: Any
    ) -> Path:
        import seqrl.environments  # noqa: F401  (registers T-Maze)

        environment = gymnasium.make(env_id)
        seen, done = environment.observation_space, environment.action_space
        torch.manual_seed(seed)
        facts = {
            "env_id": env_id, "observation_space": space_to_json(seen), "action_space": space_to_json(done),
            "observation_shape": (observation_width(seen),), "action_dim": action_width(done),
            "discrete": action_kind(done) == "discrete", "max_ep_len": 20, "return_scale": 10.0,
        }  # fmt: skip
        if not told:
            facts |= dict.fromkeys(("env_id", "observation_space", "action_space"), "")
        folder = tmp_path / f"{name}{seed}{len(list(tmp_path.iterdir()))}"
        seqsuite.create_model(name, **(facts | fields)).save_pretrained(folder / "model")
        (folder / "checkpoints").mkdir()
        (folder / "config.yaml").write_text(yaml.safe_dump({"source": "data", "delayed": False, "targets": []}))
        summary = {"data": {"return_max": 40.0, "return_mean": 22.5}, "last": [], "best": None}
        (folder / "summary.json").write_text(json.dumps(summary))
        return folder

    return make
