"""`collect`: policies, their mixture, the episodes, the references and the data set that is written of them."""

from __future__ import annotations

import functools
import json
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from seqrl.collection.folder import PartsFolder
from seqrl.collection.journal import Journal
from seqrl.collection.policies import RANDOM, Part, Policy
from seqrl.collection.results import CollectionResult, PartResult
from seqrl.collection.rollout import Player, play
from seqrl.collection.schedule import Schedule
from seqrl.collection.writing import assemble, write
from seqrl.configs.collect import CollectConfig
from seqsuite.errors import UserError
from seqsuite.training.configs import Interrupted

_LIMIT = 1000  # steps of an episode where the environment has no time limit
_EVERY = 10.0  # seconds between lines of progress


@dataclass(frozen=True)
class _World:
    """The environment of a collection: how it is made, and one of it to look at."""

    env_id: str
    options: dict[str, Any]
    environment: Any

    @property
    def horizon(self) -> int:
        return int(self.environment.spec.max_episode_steps)

    def vector(self, num: int, processes: bool) -> Any:
        from seqrl.environments import make_vector

        return make_vector(self.env_id, num, options=self.options, processes=processes, flatten=True)


def collect(config: CollectConfig, *, tell: Callable[[str], None] = lambda _: None) -> CollectionResult:
    """Collect a data set, or go on with one that was interrupted, and write it.

    Args:
        config: What to collect and where to write it.
        tell: Is given lines of progress.

    Returns:
        Episodes, steps and returns of each part of the mixture.

    Raises:
        UserError: The environment, the policy or an option does not fit, or the output exists.
        Interrupted: Ctrl-C; what was finished is kept, `resume` goes on with it.
    """
    world, folder = _world(config, tell), PartsFolder(config)
    with (
        closing(world.environment),
        folder.claim(_identity(config, world)),
        closing(Journal(folder.journal)) as journal,
    ):
        with _interruptible(folder, journal):
            if journal.lengths:
                tell(f"{len(journal.lengths)} finished episodes are there")
            policies = _policies(config, world, folder, tell)
            parts = [Part(i, policy.name, eps) for i, policy in enumerate(policies) for eps in config.epsilon]
            schedule = Schedule(len(parts), episodes=config.asked_episodes, steps=config.steps, lengths=journal.lengths)
            _gather(config, world, policies, parts, schedule, journal, tell)
        result = _result(config, folder, policies, parts, schedule, journal)
        write(assemble(config, world.environment, parts, schedule.chosen(), journal, result), folder)
    trained = folder.finish()
    return CollectionResult(**{**vars(result), "policies": trained})


def _world(config: CollectConfig, tell: Callable[[str], None]) -> _World:
    """Make one environment and see whether its episodes can be stored."""
    from gymnasium import spaces

    from seqrl.environments import make_environment
    from seqrl.environments.making import is_composite, make_one

    options = dict(config.env_options)
    if config.max_episode_steps:
        options["max_episode_steps"] = config.max_episode_steps
    environment = make_environment(config.env, **options)
    if environment.spec is not None and environment.spec.max_episode_steps is None:
        limit = getattr(environment.unwrapped, "episode_length", None)
        options["max_episode_steps"] = limit if isinstance(limit, int) else _LIMIT
        if limit is None:
            tell(f"{config.env} has no time limit; its episodes end after {_LIMIT} steps (--max_episode_steps)")
    environment.close()
    environment = make_one(config.env, options, True)
    stored = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
    for what, space in {"observations": environment.observation_space, "actions": environment.action_space}.items():
        if is_composite(space) or not isinstance(space, stored):
            raise UserError(f"{config.env}: its {what} are of {type(space).__name__}, which cannot be collected")
    return _World(config.env, options, environment)


def _identity(config: CollectConfig, world: _World) -> dict[str, Any]:
    identity = {**config.identity(), "env_spec": world.environment.spec.to_json()}
    if config.policy.startswith("sb3:"):
        from seqrl.collection.sb3 import file_digest

        identity["policy_sha256"] = file_digest(config.policy.removeprefix("sb3:"))
    return json.loads(json.dumps(identity, default=str))


def _policies(config: CollectConfig, world: _World, folder: PartsFolder, tell: Callable[[str], None]) -> list[Policy]:
    """Return the policies of the mixture; ppo and sac are trained here."""
    environment = world.environment
    if config.policy == "random":
        return [RANDOM]
    if config.policy == "scripted":
        from seqrl.collection.scripted import scripted_policy

        return [scripted_policy(environment)]
    if config.policy == "optimal":
        from seqrl.collection.exact import optimal_policy

        return [optimal_policy(environment, world.horizon)]
    if config.policy.startswith("sb3:"):
        from seqrl.collection.sb3 import load_policy

        spaces = environment.observation_space, environment.action_space
        return [load_policy(config.policy.removeprefix("sb3:"), *spaces, deterministic=config.deterministic)]
    from seqrl.collection.sb3_training import train_policies
    from seqrl.environments.making import make_one

    return train_policies(
        config.policy,
        functools.partial(make_one, world.env_id, world.options, True),
        folder.training,
        steps=config.train_steps,
        checkpoints=config.checkpoints,
        seed=config.seed,
        options=config.train_options,
        deterministic=config.deterministic,
        tell=tell,
    )


def _gather(
    config: CollectConfig,
    world: _World,
    policies: list[Policy],
    parts: list[Part],
    schedule: Schedule,
    journal: Journal,
    tell: Callable[[str], None],
) -> None:
    """Play what is missing: the episodes of the data set, then those of the random policy that set the score 0."""
    space = world.environment.action_space
    measured = config.reference_episodes if config.reference_min is None else 0
    references = iter([-1 - k for k in range(measured) if -1 - k not in journal.lengths])

    def begin() -> Player | None:
        number = schedule.begin()
        if number is not None:
            part = parts[number % len(parts)]
            return Player(policies[part.policy], part.epsilon, space, config.seed, number)
        number = next(references, None) if schedule.settled() else None
        return None if number is None else Player(RANDOM, 0.0, space, config.seed, number)

    told = time.monotonic()
    if schedule.complete() and all(-1 - k in journal.lengths for k in range(measured)):
        return
    with closing(world.vector(config.num_envs, config.processes)) as vector:
        for trajectory in play(vector, begin):
            journal.append(trajectory)
            if trajectory.number >= 0:
                schedule.finish(trajectory.number, len(trajectory))
            if time.monotonic() - told > _EVERY:
                told = time.monotonic()
                tell(f"{sum(n >= 0 for n in journal.lengths)} episodes, {sum(journal.lengths.values())} steps")


def _result(
    config: CollectConfig,
    folder: PartsFolder,
    policies: list[Policy],
    parts: list[Part],
    schedule: Schedule,
    journal: Journal,
) -> CollectionResult:
    """Sum up the chosen episodes and find the references."""
    chosen = schedule.chosen()
    results = []
    for index, part in enumerate(parts):
        numbers = [number for number in chosen if number % len(parts) == index]
        returns = np.array([journal.returns[number] for number in numbers], np.float64)
        results.append(PartResult(part, returns, np.array([journal.lengths[number] for number in numbers], np.int64)))
    least, below = _lower(config, journal)
    most, above = _upper(config, policies, results)
    return CollectionResult(folder.shown, tuple(results), least, most, f"{below}; {above}")


def _lower(config: CollectConfig, journal: Journal) -> tuple[float | None, str]:
    if config.reference_min is not None:
        return config.reference_min, "lower one as given"
    returns = [journal.returns[-1 - k] for k in range(config.reference_episodes)]
    if not returns:
        return None, "no episodes of the random policy"
    return float(np.mean(returns)), f"mean of {len(returns)} episodes of the random policy"


def _upper(config: CollectConfig, policies: list[Policy], results: list[PartResult]) -> tuple[float | None, str]:
    if config.reference_max is not None:
        return config.reference_max, "upper one as given"
    for result in results:
        policy = policies[result.part.policy]
        if policy.value is not None:
            return policy.value, f"exact value of the {policy.name} policy"
        if policy.expert and result.part.epsilon == 0 and len(result.returns):
            return float(result.returns.mean()), f"mean of {len(result.returns)} episodes of the {policy.name} policy"
    return None, "no expert was run"


@contextmanager
def _interruptible(folder: PartsFolder, journal: Journal) -> Iterator[None]:
    """Let Ctrl-C end the work with a line that says what is kept."""
    try:
        with warnings.catch_warnings():
            # Stable-Baselines3 advises on speed and evaluation wrappers, which is of no use here.
            warnings.filterwarnings("ignore", module="stable_baselines3")
            yield
    except KeyboardInterrupt as stop:
        kept = sum(number >= 0 for number in journal.lengths)
        raise Interrupted(f"interrupted; {kept} finished episodes are kept, go on with --resume") from stop
