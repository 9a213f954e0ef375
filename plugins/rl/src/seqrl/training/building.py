"""From data and options to the network: which family it is, what of its config the data says, and the rest by options.

The rules of "auto" are here: the scale of returns and the number of time steps.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from typing import Any, Literal

import numpy as np

import seqsuite
from seqrl.configs.models import BehaviorCloningConfig, PolicyConfig, RATEConfig, WindowPolicyConfig
from seqrl.configs.train import PolicyTrainConfig
from seqrl.configs.trajectory import TrajectoryTransformerConfig
from seqrl.data.episodes import Episodes
from seqrl.data.windows_steps import objective_rewards, scaled_returns
from seqrl.scores import bare_name, reference_for
from seqrl.spaces import action_kind, action_width, is_pixels, observation_width, space_to_json
from seqsuite.errors import UserError, unknown_name
from seqsuite.models import Model, list_models, model_config

Family = Literal["windows", "trajectory"]
PUBLISHED_SCALES = {"hopper": 1000.0, "halfcheetah": 1000.0, "walker2d": 1000.0, "ant": 1000.0, "reacher": 10.0}
"""What the published policies divide returns by, by the environment's name."""
_BY_FLAG = {"return_scale": "--return_scale", "max_ep_len": "--max_ep_len", "discount": "--discount"}
_BY_DATA = (
    *("env_id", "env_options", "observation_space", "action_space", "state_mean", "state_std", "reference"),
    *("observation_shape", "observation_dim", "action_dim", "discrete", "return_dim", "discretizer"),
)


def family_of(name: str) -> Family:
    """Return what a named model learns from: windows of steps, or trajectories as tokens.

    Raises:
        UserError: There is no such model, or it is no policy.
    """
    config = model_config(name)
    if isinstance(config, TrajectoryTransformerConfig):
        return "trajectory"
    if isinstance(config, WindowPolicyConfig):
        return "windows"
    policies = [known for known in list_models() if isinstance(model_config(known), PolicyConfig)]
    raise UserError(f"--model {name} is no policy; give one of {', '.join(policies)}")


def environment_name(episodes: Episodes) -> str:
    """Return the bare name of the data's environment, see `seqrl.scores.bare_name`."""
    return bare_name(episodes.env_id or str(episodes.metadata.get("dataset_id", "")))


def return_scale(config: PolicyTrainConfig, episodes: Episodes) -> float:
    """Return what returns are divided by, see `--return_scale`."""
    if config.return_scale != "auto":
        return float(config.return_scale)
    known = PUBLISHED_SCALES.get(environment_name(episodes))
    if known is not None or is_pixels(episodes.observation_space):
        return known or 1.0
    assert config.discount is not None
    rewards = objective_rewards(episodes, config.objectives)
    returns = scaled_returns(rewards, np.asarray(episodes.offsets), discount=config.discount)
    return float(np.abs(returns).max()) or 1.0


def time_limit(episodes: Episodes) -> int:
    """Return the steps that an episode of the data's environment can have; 0 where that is not known."""
    with contextlib.suppress(ValueError, AttributeError):
        limit = json.loads(episodes.env_spec).get("max_episode_steps")
        if limit:
            return int(limit)
    if episodes.env_id:
        import gymnasium

        import seqrl.environments  # noqa: F401  (registers ours)

        spec = gymnasium.registry.get(episodes.env_id)
        if spec is not None and spec.max_episode_steps:
            return int(spec.max_episode_steps)
    return 0


def environment_options(episodes: Episodes) -> dict[str, Any]:
    """Return the arguments that the data's environment was made with; nothing where the data does not say it."""
    try:
        spec = json.loads(episodes.env_spec)
    except ValueError:
        return {}
    options = dict(spec.get("kwargs") or {}) if isinstance(spec, dict) else {}
    return {name: value for name, value in options.items() if name != "render_mode"}


def policy_facts(config: PolicyTrainConfig, episodes: Episodes) -> dict[str, Any]:
    """Return what every policy's config carries of the data; the statistics of states are not among it."""
    reference = episodes.reference or (reference_for(episodes.env_id) if episodes.env_id else None)
    return {
        "env_id": episodes.env_id,
        "env_options": environment_options(episodes),
        "observation_space": space_to_json(episodes.observation_space),
        "action_space": space_to_json(episodes.action_space),
        "discount": config.discount,
        "max_ep_len": config.max_ep_len or max(int(episodes.lengths.max()), time_limit(episodes)),
        "reference": {} if reference is None else reference.to_dict(),
    }


def check_options(config: PolicyTrainConfig) -> None:
    """Refuse model options that the data or another flag decides, or that the model does not have.

    Raises:
        UserError: There is one.
    """
    fields = [item.name for item in dataclasses.fields(model_config(config.model)) if item.name not in _BY_DATA]
    for name in config.model_options:
        if name in _BY_FLAG:
            raise UserError(f"--model_options.{name}: use {_BY_FLAG[name]}")
        if name in _BY_DATA:
            raise UserError(f"--model_options.{name}: is taken from the data")
        if name not in fields:
            raise unknown_name(f"option of model {config.model!r}", name, fields)


def check_observations(config: PolicyTrainConfig, known: PolicyConfig, episodes: Episodes) -> None:
    """Refuse pixels for a model of vectors, and the other way round.

    Raises:
        UserError: They do not fit.
    """
    pixels = is_pixels(episodes.observation_space)
    takes = isinstance(known, WindowPolicyConfig) and known.pixels
    either = isinstance(known, BehaviorCloningConfig | RATEConfig)
    if pixels and not takes and not either:
        shape = "x".join(map(str, episodes.observation_space.shape or ()))
        way = "use decision_transformer_atari, behavior_cloning or rate"
        raise UserError(f"--model {config.model} takes vectors; {config.source} holds pixels, {shape}: {way}")
    if takes and not pixels:
        raise UserError(
            f"--model {config.model} takes pixels; {config.source} holds {episodes.observation_space}: use "
            "decision_transformer"
        )


def make_window_policy(
    config: PolicyTrainConfig, episodes: Episodes, statistics: tuple[np.ndarray, np.ndarray] | None, objectives: int
) -> tuple[Model, list[str]]:
    """Build a policy over windows for the data.

    Args:
        config: The options, with none left open.
        episodes: The data.
        statistics: Mean and deviation of states; None of pixels.
        objectives: R, numbers of a return-to-go.

    Returns:
        The network, and lines that say what was decided.

    Raises:
        UserError: An option is unknown or out of its range, or does not fit the data.
    """
    known = model_config(config.model)
    assert isinstance(known, WindowPolicyConfig)
    space = episodes.observation_space
    discrete = action_kind(episodes.action_space) == "discrete"
    facts = policy_facts(config, episodes) | {"return_scale": return_scale(config, episodes), "discrete": discrete}
    facts |= {"action_dim": action_width(episodes.action_space)}
    facts["observation_shape"] = tuple(space.shape or ()) if is_pixels(space) else (observation_width(space),)
    if statistics is not None:
        facts |= {"state_mean": tuple(statistics[0].tolist()), "state_std": tuple(statistics[1].tolist())}
    names = {item.name for item in dataclasses.fields(known)}
    if "return_dim" in names:
        facts["return_dim"] = objectives
    defaults: dict[str, Any] = {}
    notes = [f"returns are divided by {facts['return_scale']:g}; time steps count up to {facts['max_ep_len']}"]
    if "state_head" in names and is_pixels(space):
        defaults["state_head"] = False
    if not discrete and known.action_tanh and not _within_one(episodes.action_space):
        defaults["action_tanh"] = False
        notes.append("actions reach beyond -1 .. 1: the action head has no tanh")
    if known.context > facts["max_ep_len"] and "context" not in config.model_options:
        defaults["context"] = facts["max_ep_len"]
        notes.append(f"the context is {facts['max_ep_len']} steps: no episode can have more")
    made = model_config(config.model, **{**defaults, **config.model_options, **facts})
    assert isinstance(made, WindowPolicyConfig)
    _check_context(config, made)
    _check_heads(config, made)
    return seqsuite.create_model(config.model, **{**defaults, **config.model_options, **facts}), notes


def _within_one(space: Any) -> bool:
    return bool(np.all(space.low >= -1) and np.all(space.high <= 1))


def _check_context(config: PolicyTrainConfig, made: WindowPolicyConfig) -> None:
    if made.context > made.max_ep_len:
        raise UserError(
            f"the context of {made.context} steps is longer than an episode can be, {made.max_ep_len} steps: give "
            f"--model_options.context {made.max_ep_len} or less, or --max_ep_len"
        )


def _check_heads(config: PolicyTrainConfig, made: WindowPolicyConfig) -> None:
    for name in ("state", "return"):
        if getattr(config, f"{name}_loss") and not getattr(made, f"{name}_head", False):
            raise UserError(f"--{name}_loss: {config.model} has no head for next {name}s")
