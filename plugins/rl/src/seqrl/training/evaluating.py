"""What an evaluation during training plays: which environment, which targets, by whom."""

from __future__ import annotations

from typing import Any

from seqrl.agents import make_agent
from seqrl.configs.train import PolicyTrainConfig
from seqrl.data.episodes import Episodes
from seqrl.environments import make_vector
from seqrl.evaluation.rollouts import play
from seqrl.evaluation.run import check_spaces, limited
from seqrl.scores import Reference, normalized_score
from seqrl.training.building import environment_name, environment_options
from seqrl.training.playing import Play, Played
from seqsuite.errors import UserError
from seqsuite.models import Model

PUBLISHED_TARGETS = {
    "hopper": (3600.0, 1800.0),
    "halfcheetah": (12000.0, 6000.0),
    "walker2d": (5000.0, 2500.0),
    "reacher": (76.0, 40.0),
}
"""Returns that the published policies are asked for, by the environment's name."""
_AT_ONCE = 10


def default_targets(episodes: Episodes) -> tuple[float, ...]:
    """Return the published targets of the data's environment, else the best and the mean return of the data."""
    known = PUBLISHED_TARGETS.get(environment_name(episodes))
    if known is not None:
        return known
    found = (float(episodes.returns.max()), float(episodes.returns.mean()))
    return tuple(dict.fromkeys(found))


def environment_of(config: PolicyTrainConfig, episodes: Episodes) -> tuple[str, dict[str, Any]]:
    """Return the environment to play in, and the arguments that the data's was made with.

    Raises:
        UserError: It is to be that of the data, and the data does not name one.
    """
    if config.eval_env != "auto" and config.eval_env != episodes.env_id:
        return config.eval_env, {}
    if not episodes.env_id:
        raise UserError(f"{config.source} does not say its environment: give --eval_env, or leave out --eval_every")
    return episodes.env_id, environment_options(episodes)


def make_play(config: PolicyTrainConfig, model: Model, episodes: Episodes) -> tuple[Play, str]:
    """Return what plays an evaluation, and a line that says what it will be.

    Args:
        config: The options.
        model: The network before training; its agent is made once to find what does not fit.
        episodes: The data.

    Raises:
        UserError: The environment cannot be made, or its spaces are others than the data's.
    """
    if getattr(model.config, "return_dim", 1) > 1:
        raise UserError("--eval_every asks for plain returns; evaluate a policy of several objectives afterwards")
    env_id, options = environment_of(config, episodes)
    vector = make_vector(env_id, min(config.eval_episodes, _AT_ONCE), options=options, flatten=True)
    agent_options = ({"delayed": True} if config.delayed else {}) | config.agent_options
    training = model.training
    agent = make_agent(model, **agent_options)
    model.train(training)  # an agent puts its network in evaluation mode
    check_spaces(env_id, "observation", agent.observation_space, vector.single_observation_space)
    check_spaces(env_id, "action", agent.action_space, vector.single_action_space)
    limit = 0 if limited(vector) else model.config.max_ep_len
    aims = agent.needs_target
    targets: tuple[float | None, ...] = (config.targets or default_targets(episodes)) if aims else (None,)

    def evaluate(model: Model, step: int) -> list[Played]:
        agent = make_agent(model, **agent_options)
        return [_played(agent, target, step) for target in targets]

    def _played(agent: Any, target: float | None, step: int) -> Played:
        count = config.eval_episodes
        found = play(agent, vector, episodes=count, seed=config.seed, target=target, max_steps=limit)
        returns = found.returns if found.returns.ndim == 1 else found.returns.sum(1)
        return Played(
            step=step,
            target=target,
            return_mean=float(returns.mean()),
            return_std=float(returns.std()),
            length_mean=float(found.lengths.mean()),
            normalized=_normalized(float(returns.mean()), model.config.reference),
            episodes=count,
        )

    asked = f" for targets {', '.join(f'{target:g}' for target in targets)}" if aims else ""
    return evaluate, f"every {config.eval_every} steps: {config.eval_episodes} episodes of {env_id}{asked}"


def _normalized(mean: float, fields: dict[str, Any]) -> float | None:
    reference = Reference.from_dict(fields)
    return None if reference is None else float(normalized_score(mean, reference))
