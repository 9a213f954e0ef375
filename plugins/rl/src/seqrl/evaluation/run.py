"""From a trained policy to what it achieves in its environment: what `seqrl evaluate` does, as a function.

result = evaluate(seqrl.load("runs/hopper"), targets="3600,1800", episodes=10)
result[3600].mean, result.table()
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from seqrl.evaluation.results import Evaluation, TargetResult
from seqrl.evaluation.rollouts import play
from seqrl.evaluation.targets import Targets, targets_of
from seqsuite.errors import UserError

if TYPE_CHECKING:
    from gymnasium import Space

    from seqrl.agents import Agent
    from seqrl.api import TrainedPolicy
    from seqrl.configs.models import PolicyConfig

Progress = Callable[[float | None, int], None]


def evaluate(
    policy: TrainedPolicy,
    env: str = "auto",
    *,
    targets: Targets = "auto",
    episodes: int = 10,
    num_envs: int = 10,
    seed: int = 0,
    max_steps: int = 0,
    env_options: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    **agent_options: Any,
) -> Evaluation:
    """Play episodes for every target and measure them.

    Every episode's seed is a function of (seed, its number), the same for all targets; how many run at once changes
    nothing but the rounding of matrix products, to which a chaotic environment may answer.

    Args:
        policy: A trained policy.
        env: The environment's id; auto: that of the checkpoint.
        targets: Raw returns to ask for: "3600,1800", a number, several, or "auto"; see `targets_of`.
        episodes: For each target.
        num_envs: How many run at once.
        seed: Of the episodes, at least 0.
        max_steps: Steps after which an episode is cut; 0: the environment's own limit, or the policy's `max_ep_len`
            where it has none.
        env_options: Arguments of the environment, over those of the checkpoint's own.
        progress: Called with the target and the number of its finished episodes.
        agent_options: Those of the policy's agent: temperature, delayed, ...

    Raises:
        UserError: An option, an unknown environment, or one of other spaces than the checkpoint's.
    """
    for name, value, least in (("episodes", episodes, 1), ("num_envs", num_envs, 1), ("seed", seed, 0)):
        if value < least:
            raise UserError(f"--{name} is {value}; it must be at least {least}")
    env_id = environment_of(policy.config, env)
    begun = time.perf_counter()
    env_options = options_of(policy.config, env_id, env_options)
    vector, agent = prepare(policy, env_id, min(num_envs, episodes), env_options, agent_options)
    try:
        limit = max_steps or (0 if limited(vector) else policy.config.max_ep_len)
        entries = []
        for aim in targets_of(policy, targets, env_id):
            told = None if progress is None else lambda count, aim=aim: progress(aim, count)
            options: dict[str, Any] = {"episodes": episodes, "seed": seed, "target": aim, "max_steps": limit}
            entries.append(TargetResult(aim, play(agent, vector, **options, progress=told)))
    finally:
        vector.close()
    reference, comparable, note = reference_of(policy.config, env_id)
    return Evaluation(
        policy=policy.name,
        weights=policy.weights,
        env_id=env_id,
        targets=tuple(entries),
        reference=reference,
        comparable=comparable,
        note=note,
        seed=seed,
        seconds=time.perf_counter() - begun,
        options=agent_options,
    )


def environment_of(config: PolicyConfig, env: str) -> str:
    """Return the id of the environment to play in.

    Raises:
        UserError: It is to be that of the checkpoint, which names none.
    """
    if env not in ("auto", ""):
        return env
    if not config.env_id:
        raise UserError("the checkpoint does not say its environment; give --env, as in --env Hopper-v5")
    return config.env_id


def options_of(config: PolicyConfig, env_id: str, given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the arguments to make an environment with: those of the checkpoint's own, and what is given over them.

    Args:
        config: The checkpoint's.
        env_id: The environment; another than the checkpoint's gets what is given alone.
        given: Arguments.
    """
    return {**(config.env_options if env_id == config.env_id else {}), **(given or {})}


def prepare(
    policy: TrainedPolicy,
    env_id: str,
    num: int,
    env_options: Mapping[str, Any] | None,
    agent_options: Mapping[str, Any],
) -> tuple[Any, Agent]:
    """Return environments and the agent that plays in them; the caller closes the environments.

    Raises:
        UserError: An environment, an option, or spaces that do not fit.
    """
    from seqrl.environments import make_vector

    # The checkpoint's own agent first: a wrong option is told before any environment is made.
    options = dict(agent_options)
    if not policy.config.observation_space:
        probe = make_vector(env_id, 1, options=env_options, flatten=True)
        options |= {"observation_space": probe.single_observation_space, "action_space": probe.single_action_space}
        probe.close()
    agent = policy.agent(**options)
    vector = make_vector(env_id, num, options=env_options, flatten=True)
    try:
        check_spaces(env_id, "observation", agent.observation_space, vector.single_observation_space)
        check_spaces(env_id, "action", agent.action_space, vector.single_action_space)
    except UserError:
        vector.close()
        raise
    return vector, agent


def check_spaces(env_id: str, kind: str, ours: Space[Any], theirs: Space[Any]) -> None:
    """Refuse an environment of another space than the checkpoint's.

    Bounds and the precision of numbers may differ, as between the versions of one environment.

    Args:
        env_id: The environment.
        kind: observation or action.
        ours: The checkpoint's.
        theirs: The environment's.

    Raises:
        UserError: Kind, shape or number of choices differ.
    """
    from gymnasium.spaces import Box, flatten_space
    from gymnasium.spaces import Dict as DictSpace
    from gymnasium.spaces import Tuple as TupleSpace

    if isinstance(ours, DictSpace | TupleSpace) and isinstance(theirs, Box):
        ours = flatten_space(ours)  # as the environment gives it here
    fits = type(ours) is type(theirs) and ours.shape == theirs.shape
    for name in ("n", "start", "nvec"):
        mine, its = getattr(ours, name, None), getattr(theirs, name, None)
        fits = fits and (mine is None or bool((mine == its).all() if hasattr(mine, "all") else mine == its))
    if not fits:
        raise UserError(f"{env_id} has {kind}s {theirs}, and those of the checkpoint are {ours}; give another --env")


def limited(environment: Any) -> bool:
    """Return whether an environment, or a vector of it, ends every episode at a limit of its own.

    Args:
        environment: It says its limit by its spec's `max_episode_steps`, or by an attribute `episode_length`.
    """
    one = environment.envs[0] if hasattr(environment, "num_envs") else environment
    spec = getattr(one, "spec", None)
    return bool(getattr(one.unwrapped, "episode_length", None) or (spec is not None and spec.max_episode_steps))


def reference_of(config: PolicyConfig, env_id: str) -> tuple[dict[str, Any], bool, str]:
    """Return the reference of the normalised score, whether scores here compare with published ones, and why not.

    That of the checkpoint comes first, then that of the environment.
    """
    import dataclasses

    from seqrl.scores import Reference, comparable, reference_for

    known = Reference(**config.reference) if config.reference else reference_for(env_id)
    if known is None:
        return {}, False, ""
    holds, why = comparable(env_id, known)
    return dataclasses.asdict(known), holds, why
