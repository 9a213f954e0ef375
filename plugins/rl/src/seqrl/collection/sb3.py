"""Policies of Stable-Baselines3: acting, and loading the parameters of a .zip without running anything in it.

Such a .zip holds parameters (plain tensors) beside pickled Python objects. Only the former are loaded: the
network is built anew from the readable part of the file and the spaces of the environment, and every tensor
must fit. A policy of a class of its own cannot be rebuilt that way and is refused.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from seqrl.collection.policies import Actor, Policy
from seqsuite.errors import UserError

# Where a family's policy class lives, by the module that its file names.
_FAMILIES = {
    "stable_baselines3.common.policies": ("stable_baselines3.common.policies", "ActorCriticPolicy"),
    "stable_baselines3.sac.policies": ("stable_baselines3.sac.policies", "SACPolicy"),
    "stable_baselines3.td3.policies": ("stable_baselines3.td3.policies", "TD3Policy"),
    "stable_baselines3.dqn.policies": ("stable_baselines3.dqn.policies", "DQNPolicy"),
}
_CNN = {"ActorCriticPolicy": "ActorCriticCnnPolicy", "SACPolicy": "CnnPolicy", "TD3Policy": "CnnPolicy"}
_NOT_FOR_ACTING = {"optimizer_class", "optimizer_kwargs", "device", "use_sde"}


def require_sb3() -> None:
    """Check that Stable-Baselines3 is there.

    Raises:
        UserError: It is not installed.
    """
    try:
        import stable_baselines3  # noqa: F401
    except ImportError as problem:
        raise UserError(
            "--policy ppo, sac and sb3:FILE need a package that is not installed: pip install 'seqrl[sb3]'"
        ) from problem


def network_policy(name: str, network: Any, *, deterministic: bool) -> Policy:
    """Return the policy that a network of Stable-Baselines3 is.

    Args:
        name: As results show it.
        network: A `stable_baselines3.common.policies.BasePolicy`.
        deterministic: Take its most likely action instead of drawing one.
    """
    import torch

    generator = torch.random.default_generator
    network.set_training_mode(False)

    def begin(rng: np.random.Generator) -> Actor:
        def act(observation: Any) -> Any:
            # One observation at a time: in a batch, the last bits of an output depend on the size of the batch.
            if deterministic:
                return network.predict(observation, deterministic=True)[0]
            # Its distributions draw from PyTorch's own generator, which is lent the episode's numbers for one draw.
            state = generator.get_state()
            try:
                generator.manual_seed(int(rng.integers(2**63)))
                return network.predict(observation, deterministic=False)[0]
            finally:
                generator.set_state(state)

        return act

    return Policy(name, begin)


def file_digest(path: str) -> str:
    """Return the SHA-256 of a file, or an empty text where it cannot be read."""
    try:
        return hashlib.sha256(Path(path).expanduser().read_bytes()).hexdigest()
    except OSError:
        return ""


def load_policy(path: str, observation_space: Any, action_space: Any, *, deterministic: bool) -> Policy:
    """Load the parameters of a policy of PPO, A2C, SAC, TD3, DDPG or DQN.

    Args:
        path: The .zip that `model.save` of Stable-Baselines3 wrote.
        observation_space: Of the environment.
        action_space: Of the environment.
        deterministic: Take its most likely action instead of drawing one.

    Raises:
        UserError: There is no such file, it is of other spaces, or its policy cannot be rebuilt.
    """
    require_sb3()
    data, tensors = _read(Path(path).expanduser())
    for what, space in {"observation": observation_space, "action": action_space}.items():
        _check_space(path, what, data.get(f"{what}_space"), space)
    network = _build(path, data, tensors, observation_space, action_space)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as problem:
        why = " ".join(str(problem).split())[:200]
        raise UserError(f"{path}: its parameters do not fit a network for this environment: {why}") from problem
    return network_policy(f"sb3:{Path(path).name}", network, deterministic=deterministic)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    import torch

    try:
        with zipfile.ZipFile(path) as archive:
            data = json.loads(archive.read("data"))
            tensors = torch.load(io.BytesIO(archive.read("policy.pth")), map_location="cpu", weights_only=True)
    except OSError as problem:
        raise UserError(f"--policy sb3:{path}: cannot read it: {problem.strerror or problem}") from problem
    except Exception as problem:  # a stranger's file can fail in any way
        raise UserError(f"--policy sb3:{path}: no .zip of Stable-Baselines3: {problem}") from problem
    return data, tensors


def _check_space(path: str, what: str, written: Any, space: Any) -> None:
    """Compare what the file tells of a space with that of the environment."""
    if not isinstance(written, dict) or ":type:" not in written:
        return  # then the shapes of the parameters decide
    kind = str(written[":type:"]).rpartition(".")[2].rstrip("'>")
    shape = re.findall(r"\d+", str(written.get("_shape") or ""))
    count = re.findall(r"\d+", str(written.get("n") or ""))
    there = f"{kind}({', '.join(count or shape)})"
    here = f"{type(space).__name__}({', '.join(map(str, [space.n] if hasattr(space, 'n') else space.shape))})"
    for side in ("low", "high"):
        limit = written.get(side)
        if what == "action" and isinstance(limit, str) and limit != str(getattr(space, side, limit)):
            there, here = f"{there}, {side} {limit}", f"{here}, {side} {getattr(space, side)}"
    if there != here:
        raise UserError(f"{path} is a policy for {what}s in {there}, the environment's are in {here}")


def _build(path: str, data: dict[str, Any], tensors: dict[str, Any], observation_space: Any, action_space: Any) -> Any:
    """Build the network that a file describes, with any parameters."""
    from importlib import import_module

    described = data.get("policy_class")
    module = described.get("__module__") if isinstance(described, dict) else None
    if module not in _FAMILIES:
        known = "PPO, A2C, SAC, TD3, DDPG and DQN"
        raise UserError(
            f"{path}: its policy is of {module or 'an unknown class'}; only those of {known} can be rebuilt"
        )
    home, name = _FAMILIES[module]
    if any("features_extractor.cnn" in key for key in tensors):
        name = _CNN.get(name, "CnnPolicy")
    options = _options(path, data.get("policy_kwargs"))
    if "log_std" in tensors and data.get("use_sde"):
        options["use_sde"] = True
    try:
        return getattr(import_module(home), name)(observation_space, action_space, lambda _: 0.0, **options)
    except Exception as problem:
        raise UserError(f"{path}: its policy cannot be rebuilt for this environment: {problem}") from problem


def _options(path: str, written: Any) -> dict[str, Any]:
    """Return the arguments of a policy from the readable part of a file."""
    import torch

    options: dict[str, Any] = {}
    for name, value in (written or {}).items():
        if name.startswith(":") or name in _NOT_FOR_ACTING:
            continue
        known = re.fullmatch(r"<class 'torch\.nn\.modules\.activation\.(\w+)'>", str(value))
        if known:
            options[name] = getattr(torch.nn, known[1])
        elif isinstance(value, str) and value.startswith("<"):
            raise UserError(f"{path}: its policy was built with {name}={value}, which cannot be rebuilt")
        else:
            options[name] = value
    return options
