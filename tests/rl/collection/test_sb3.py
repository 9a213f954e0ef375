"""Policies of Stable-Baselines3: trained here, or loaded without running what a file holds."""

from __future__ import annotations

import base64
import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stable_baselines3
import torch

from seqrl.collection.sb3 import load_policy
from seqrl.environments import make_environment
from seqsuite.errors import UserError
from seqsuite.training.configs import Interrupted

SMALL_PPO = {"policy": "ppo", "train_options": {"n_steps": 32, "batch_size": 16, "n_epochs": 2}}
SMALL_SAC = {
    "policy": "sac",
    "train_options": {"policy_kwargs": {"net_arch": [8]}, "learning_starts": 10, "batch_size": 8},
    "max_episode_steps": 20,
}
CASES = [("CartPole-v1", SMALL_PPO), ("Pendulum-v1", SMALL_SAC)]
FAMILIES = [
    ("PPO", "CartPole-v1", {}),
    ("PPO", "Pendulum-v1", {"policy_kwargs": {"net_arch": [16], "activation_fn": torch.nn.ReLU}}),
    ("A2C", "FrozenLake-v1", {}),
    ("SAC", "Pendulum-v1", {"policy_kwargs": {"net_arch": [8, 8]}, "buffer_size": 10}),
    ("TD3", "Pendulum-v1", {"buffer_size": 10}),
    ("DQN", "CartPole-v1", {"buffer_size": 10}),
]


def saved(path: Path, family: str, env_id: str, options: dict[str, Any]) -> Any:
    model = getattr(stable_baselines3, family)("MlpPolicy", env_id, seed=1, device="cpu", **options)
    model.save(path)
    return model


def load(path: Path, env_id: str, *, deterministic: bool = True) -> Any:
    environment = make_environment(env_id)
    spaces = environment.observation_space, environment.action_space
    return load_policy(str(path), *spaces, deterministic=deterministic)


@pytest.mark.parametrize(("family", "env_id", "options"), FAMILIES)
def test_a_loaded_policy_acts_as_the_library_has_it(
    tmp_path: Path, family: str, env_id: str, options: dict[str, Any]
) -> None:
    saved(tmp_path / "model.zip", family, env_id, options)
    model = getattr(stable_baselines3, family).load(tmp_path / "model.zip", device="cpu")
    act = load(tmp_path / "model.zip", env_id).begin(np.random.default_rng(0))
    space = make_environment(env_id).observation_space
    space.seed(0)
    for _ in range(20):
        observation = space.sample()
        expected, _ = model.predict(observation, deterministic=True)
        np.testing.assert_array_equal(act(observation), expected)


def test_drawn_actions_are_the_episodes_own(tmp_path: Path) -> None:
    saved(tmp_path / "model.zip", "PPO", "Pendulum-v1", {})
    policy = load(tmp_path / "model.zip", "Pendulum-v1", deterministic=False)
    observation = np.array([1, 0, 0], np.float32)

    def draws(seed: int) -> list[float]:
        act = policy.begin(np.random.default_rng(seed))
        return [float(act(observation)[0]) for _ in range(4)]

    state = torch.get_rng_state()
    first = draws(1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    assert draws(1) == first
    assert len(set(first)) == 4
    assert draws(2) != first


def tampered(source: Path, target: Path, change: Any) -> None:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "data":
                data = json.loads(content)
                change(data)
                content = json.dumps(data).encode()
            new.writestr(name, content)


def test_nothing_in_a_file_is_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "exploded",)

    charge = base64.b64encode(pickle.dumps(Bomb())).decode()
    saved(tmp_path / "model.zip", "PPO", "CartPole-v1", {})

    def arm(data: dict[str, Any]) -> None:
        for value in data.values():
            if isinstance(value, dict) and ":serialized:" in value:
                value[":serialized:"] = charge

    tampered(tmp_path / "model.zip", tmp_path / "armed.zip", arm)
    load(tmp_path / "armed.zip", "CartPole-v1")
    assert not (tmp_path / "exploded").exists()
    pickle.loads(base64.b64decode(charge))
    assert (tmp_path / "exploded").exists()  # it would have gone off


def test_parameters_that_are_no_tensors_are_refused(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "exploded",)

    saved(tmp_path / "model.zip", "PPO", "CartPole-v1", {})
    buffer = io.BytesIO()
    torch.save({"a": Bomb()}, buffer)
    with zipfile.ZipFile(tmp_path / "model.zip") as old, zipfile.ZipFile(tmp_path / "armed.zip", "w") as new:
        new.writestr("data", old.read("data"))
        new.writestr("policy.pth", buffer.getvalue())
    with pytest.raises(UserError, match="no \\.zip of Stable-Baselines3"):
        load(tmp_path / "armed.zip", "CartPole-v1")
    assert not (tmp_path / "exploded").exists()


def test_files_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "model.zip"
    saved(path, "PPO", "CartPole-v1", {})
    for env_id, told in [
        ("Pendulum-v1", r"observations in Box\(4\), the environment's are in Box\(3\)"),
        ("FrozenLake-v1", r"observations in Box\(4\), .*Discrete\(16\)"),
    ]:
        with pytest.raises(UserError, match=told):
            load(path, env_id)
    saved(path, "PPO", "Pendulum-v1", {})
    pendulum, cartpole, car = map(make_environment, ("Pendulum-v1", "CartPole-v1", "MountainCarContinuous-v0"))
    with pytest.raises(UserError, match=r"actions in Box\(1\), low \[-2.\], high \[2.\], .* low \[-1.\]"):
        load_policy(str(path), pendulum.observation_space, car.action_space, deterministic=True)

    def blank(data: dict[str, Any]) -> None:
        del data["observation_space"]

    tampered(path, tmp_path / "blank.zip", blank)
    with pytest.raises(UserError, match="do not fit a network for this environment"):
        load_policy(str(tmp_path / "blank.zip"), cartpole.observation_space, pendulum.action_space, deterministic=True)

    def strange(data: dict[str, Any]) -> None:
        data["policy_class"]["__module__"] = "mine.policies"

    tampered(path, tmp_path / "strange.zip", strange)
    with pytest.raises(UserError, match=r"mine\.policies; only those of PPO"):
        load(tmp_path / "strange.zip", "Pendulum-v1")
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(UserError, match="no \\.zip of"):
        load(tmp_path / "text.zip", "Pendulum-v1")
    with pytest.raises(UserError, match="cannot read it"):
        load(tmp_path / "missing.zip", "Pendulum-v1")


@pytest.mark.parametrize(("env_id", "options"), CASES)
def test_training_goes_on_where_it_was_stopped(
    small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, env_id: str, options: dict[str, Any]
) -> None:
    monkeypatch.setattr("seqrl.collection.sb3_training._STAGE", 40)
    options = {**options, "train_steps": 160, "checkpoints": 2, "episodes": 4, "reference_min": -2000.0}
    result, expected = small(env_id, "whole", num_envs=1, **options)
    assert [part.part.name for part in result.parts] == [f"{options['policy']} 1/2", f"{options['policy']} 2/2"]

    def stop(line: str) -> None:
        if "steps" in line:
            raise KeyboardInterrupt

    for start in range(3):
        with pytest.raises(Interrupted):
            small(env_id, "parts", stop, resume=start > 0, **options)
        assert (tmp_path / "parts.parts" / "training" / f"stage-{start + 1:03d}.pt").exists()
    _, found = small(env_id, "parts", num_envs=3, resume=True, **options)
    assert found.fingerprint == expected.fingerprint
    first, second = (found.select(found.infos["policy"][found.offsets[:-1]] == i) for i in range(2))
    assert first.fingerprint != second.fingerprint
    # The policy that is kept is the one that played.
    other = {"episodes": 4, "reference_min": 0.0, "max_episode_steps": options.get("max_episode_steps", 0)}
    _, again = small(env_id, "again", policy=f"sb3:{tmp_path}/parts.policies/policy-1.zip", **other)
    np.testing.assert_array_equal(again.episode(0).actions, found.episode(0).actions)


def test_training_learns(small: Any) -> None:
    """From the return of a random policy, about 22, in three thousand steps."""
    quick = {"n_steps": 512, "learning_rate": 1e-3}
    result, _ = small(
        "CartPole-v1",
        policy="ppo",
        train_steps=3072,
        train_options=quick,
        episodes=6,
        deterministic=True,
        reference_episodes=20,
    )
    assert result.parts[0].returns.mean() > 3 * result.reference_min


@pytest.mark.parametrize(
    ("env_id", "options", "told"),
    [
        ("CartPole-v1", {"policy": "sac"}, "sac needs continuous actions"),
        ("CartPole-v1", {"policy": "ppo", "train_options": {"learning_rat": 1}}, "Did you mean 'learning_rate'"),
        ("CartPole-v1", {"policy": "ppo", "train_options": {"n_steps": 1}}, "cannot be trained on CartPole-v1"),
    ],
)
def test_what_cannot_be_trained(small: Any, tmp_path: Path, env_id: str, options: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        small(env_id, **options)
    assert not list(tmp_path.iterdir())  # nothing is left behind
