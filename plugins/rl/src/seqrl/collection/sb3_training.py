"""Training a behaviour policy with Stable-Baselines3, in stages that a resumed run takes up again.

Every stage starts from files alone: parameters, optimizers and, for SAC, the replay buffer of the stage before,
a seed of its own, and an environment that is made anew. A run that was interrupted and goes on therefore ends
with the same policies as one that was not. The policies after each of `checkpoints` equal shares of the run
make mixtures like D4RL's medium-replay.
"""

from __future__ import annotations

import contextlib
import inspect
import math
import os
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from seqrl.collection.policies import Policy
from seqrl.collection.sb3 import network_policy, require_sb3
from seqsuite.data.order import item_seed
from seqsuite.errors import UserError, unknown_name
from seqsuite.training.run_folder import told

_STAGE = 10_000  # steps after which the state is saved, at the latest
_TRAINING = 4
_BUFFER = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")
_OURS = ("policy", "env", "seed", "device", "verbose", "_init_setup_model")


def train_policies(
    algorithm: str,
    make: Callable[[], Any],
    folder: Path,
    *,
    steps: int,
    checkpoints: int,
    seed: int,
    options: Mapping[str, Any],
    deterministic: bool,
    tell: Callable[[str], None],
) -> list[Policy]:
    """Train, or go on training, and return the policies along the run.

    Args:
        algorithm: ppo or sac.
        make: Makes the environment.
        folder: Where states are kept, and each checkpoint as a .zip that Stable-Baselines3 reads.
        steps: Of the whole run.
        checkpoints: How many policies to keep, the last one at its end.
        seed: Of the run.
        options: Arguments of the algorithm's class.
        deterministic: Whether the policies take their most likely action.
        tell: Is given a line after every stage.

    Returns:
        The policies, in the order of training.

    Raises:
        UserError: The algorithm does not fit the environment or does not take the options.
    """
    require_sb3()
    _check(algorithm, make, options)
    folder.mkdir(parents=True, exist_ok=True)
    policies, stage, target = [], 0, 0
    with _own_generators():
        for checkpoint in range(checkpoints):
            before, end = target, steps * (checkpoint + 1) // checkpoints
            pieces = max(1, math.ceil((end - before) / _STAGE))
            for piece in range(pieces):
                stage, target = stage + 1, before + (end - before) * (piece + 1) // pieces
                if not (folder / f"stage-{stage:03d}.pt").exists():
                    model = _build(algorithm, make, item_seed(seed, _TRAINING, stage) >> 33, options, steps)
                    _train_stage(model, folder, stage, target)
                    tell(f"{algorithm}: trained for {target} of {steps} steps")
            model = _build(algorithm, make, 0, options, steps)
            _restore(model, folder / f"stage-{stage:03d}.pt", buffer=False)
            _export(model, folder / f"policy-{checkpoint + 1}.zip")
            name = algorithm if checkpoints == 1 else f"{algorithm} {checkpoint + 1}/{checkpoints}"
            policies.append(network_policy(name, model.policy, deterministic=deterministic))
            model.get_env().close()
    return policies


def _train_stage(model: Any, folder: Path, stage: int, target: int) -> None:
    """Train until `target` steps of the whole run are done and keep the state."""
    if stage > 1:
        _restore(model, folder / f"stage-{stage - 1:03d}.pt", buffer=True)
    # PPO plays whole rollouts, so that an earlier stage may have gone beyond its own target.
    model.learn(max(0, target - model.num_timesteps), reset_num_timesteps=False)
    _save(model, folder / f"stage-{stage:03d}.pt")
    model.get_env().close()
    # The replay buffers of earlier stages are of no use to anyone.
    (folder / f"stage-{stage - 1:03d}.npz").unlink(missing_ok=True)


def _export(model: Any, path: Path) -> None:
    """Write a policy as Stable-Baselines3 does, for use elsewhere."""
    aside = path.with_name(f".{path.stem}.tmp.zip")
    with told(path):
        model.save(aside)
        os.replace(aside, path)


def _build(algorithm: str, make: Callable[[], Any], seed: int, options: Mapping[str, Any], steps: int) -> Any:
    """Build an untrained model of PPO or SAC on a fresh environment."""
    from seqrl.spaces import is_pixels

    environment = make()
    network = "CnnPolicy" if is_pixels(environment.observation_space) else "MlpPolicy"
    arguments: dict[str, Any] = {"seed": seed, "device": "cpu", "verbose": 0}
    if algorithm == "sac":
        arguments["buffer_size"] = min(1_000_000, steps)
    try:
        return _class(algorithm)(network, environment, **{**arguments, **options})
    except (AssertionError, TypeError, ValueError) as problem:
        why = " ".join(str(problem).split())
        raise UserError(f"--policy {algorithm} cannot be trained on {environment.spec.id}: {why}") from problem


def _class(algorithm: str) -> Any:
    import stable_baselines3

    return getattr(stable_baselines3, algorithm.upper())


def _check(algorithm: str, make: Callable[[], Any], options: Mapping[str, Any]) -> None:
    """Refuse options and actions that the algorithm does not know."""
    known = [name for name in inspect.signature(_class(algorithm)).parameters if name not in _OURS]
    for name in options:
        if name not in known:
            raise unknown_name("--train_options", name, known)
    with contextlib.closing(make()) as environment:
        if algorithm == "sac" and type(environment.action_space).__name__ != "Box":
            raise UserError(
                f"--policy sac needs continuous actions; those of {environment.spec.id} are in "
                f"{environment.action_space}: use ppo"
            )


def _save(model: Any, path: Path) -> None:
    """Write all that the next stage starts from; the file that marks the stage as done goes last."""
    import torch

    variables = {name: getattr(model, name) for name in _variables(model)}
    state = {"parameters": model.get_parameters(), "variables": variables, "steps": model.num_timesteps}
    buffer = getattr(model, "replay_buffer", None)
    with told(path):
        if buffer is not None:
            filled = buffer.buffer_size if buffer.full else buffer.pos
            arrays = {name: getattr(buffer, name)[:filled] for name in _BUFFER}
            aside = path.with_name(f".{path.stem}.tmp.npz")
            np.savez(aside, pos=buffer.pos, full=buffer.full, **arrays)
            os.replace(aside, path.with_suffix(".npz"))
        aside = path.with_name(f".{path.name}.tmp")
        torch.save(state, aside)
        os.replace(aside, path)


def _restore(model: Any, path: Path, *, buffer: bool) -> None:
    """Give a model the state that `_save` wrote."""
    import torch

    state = torch.load(path, map_location="cpu", weights_only=True)
    model.set_parameters(state["parameters"], exact_match=True)
    for name, value in state["variables"].items():
        getattr(model, name).data.copy_(value.data)
    model.num_timesteps = state["steps"]
    kept = getattr(model, "replay_buffer", None)
    if buffer and kept is not None:
        with np.load(path.with_suffix(".npz"), allow_pickle=False) as arrays:
            kept.pos, kept.full = int(arrays["pos"]), bool(arrays["full"])
            for name in _BUFFER:
                rows = arrays[name]
                getattr(kept, name)[: len(rows)] = rows


def _variables(model: Any) -> list[str]:
    """Return the names of tensors that a model learns besides its networks (SAC's temperature)."""
    return list(model._get_torch_save_params()[1] or [])


@contextlib.contextmanager
def _own_generators() -> Iterator[None]:
    """Put back the global generators, which Stable-Baselines3 seeds."""
    import torch

    state = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002  (it seeds these)
    try:
        yield
    finally:
        random.setstate(state[0])
        np.random.set_state(state[1])  # noqa: NPY002
        torch.set_rng_state(state[2])
