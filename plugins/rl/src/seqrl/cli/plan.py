"""`seqrl plan`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from seqrl.configs.plan import PlanConfig

if TYPE_CHECKING:
    from seqrl.agents.planned import PlannedAgent
    from seqrl.models.trajectory_transformer import TrajectoryTransformer
    from seqrl.planning.decisions import Decisions

_TIMED = 4


def plan(config: PlanConfig) -> int:
    """Plan one decision, or play some steps, with a Trajectory Transformer; tells the latency per action."""
    import torch

    from seqsuite.cli.output import print_json, print_rows

    if config.threads:
        torch.set_num_threads(config.threads)
    model = _model(config)
    with _environment(config, model) as environment:
        found = _decisions(config, _agent(config, model, environment), environment)
    if config.json:
        print_json({"engine": config.engine, "plan": config.search(), **found.to_dict()})
        return 0
    rows = found.table()
    print_rows(rows)
    first = found.decisions[0]
    if len(found.decisions) == 1:
        print(f"value {first.value:.5g}, {first.seconds:.3f} s per action ({first.cpu_seconds:.3f} s of CPU)")
    else:
        ended = "; the episode is over" if found.ended else ""
        print(f"{len(rows)} actions, median {found.median_seconds:.3f} s per action{ended}")
    return 0


def _model(config: PlanConfig) -> TrajectoryTransformer:
    import os
    from pathlib import Path

    from seqrl.models.trajectory_transformer import TrajectoryTransformer
    from seqsuite.errors import UserError
    from seqsuite.models import load_model
    from seqsuite.models.create import to_device
    from seqsuite.models.published import own_folder

    path = Path(os.path.expanduser(config.checkpoint))
    model = load_model((own_folder(path) if path.is_dir() else None) or str(path))
    if not isinstance(model, TrajectoryTransformer):
        raise UserError(f"{config.checkpoint}: holds a {type(model).__name__}; plans take a TrajectoryTransformer")
    to_device(model, config.device)
    return model


@contextlib.contextmanager
def _environment(config: PlanConfig, model: TrajectoryTransformer) -> Iterator[Any]:
    """Give the environment to play; None where an observation was given."""
    from seqrl.environments import make_environment
    from seqrl.evaluation.run import options_of
    from seqsuite.errors import UserError

    if config.observation:
        yield None
        return
    env_id = config.env or model.config.env_id
    if not env_id:
        raise UserError(f"{config.checkpoint}: does not say its environment; give --env or --observation")
    environment = make_environment(env_id, **options_of(model.config, env_id, None))
    try:
        yield environment
    finally:
        environment.close()


def _agent(config: PlanConfig, model: TrajectoryTransformer, environment: Any) -> PlannedAgent:
    """Return the agent; a checkpoint that does not say its spaces takes the environment's, or plain numbers."""
    from gymnasium.spaces import Box

    from seqrl.agents.planned import PlannedAgent
    from seqrl.spaces import space_from_json
    from seqsuite.errors import UserError

    spaces: dict[str, Any] = {}
    for name, size in (("observation_space", model.config.observation_dim), ("action_space", model.config.action_dim)):
        written = getattr(model.config, name)
        if environment is None:
            spaces[name] = space_from_json(written) if written else Box(-float("inf"), float("inf"), (size,))
            continue
        spaces[name] = getattr(environment, name)
        if written and space_from_json(written) != spaces[name]:
            told = f"{config.checkpoint}: its {name.replace('_', ' ')} is {space_from_json(written)}"
            raise UserError(f"{told}, that of the environment {spaces[name]}; give another --env")
    return PlannedAgent(model, **spaces, plan=config.search(), engine=config.engine, clip=config.clip)


def _decisions(config: PlanConfig, agent: PlannedAgent, environment: Any) -> Decisions:
    import numpy as np

    from seqrl.planning.decisions import decide, play
    from seqsuite.errors import UserError

    repeats = _TIMED if config.time else 1
    if environment is not None and config.steps > 1:
        return play(agent, environment, config.steps, seed=config.seed)
    if environment is not None:
        return decide(agent, environment.reset(seed=config.seed)[0], seed=config.seed, repeats=repeats)
    given, size = config.numbers(), agent.model.config.observation_dim
    if len(given) != size:
        raise UserError(f"--observation has {len(given)} numbers, the model sees {size}")
    # An observation by its numbers is one that is encoded already, whatever the space's shape.
    return decide(agent, np.asarray(given, dtype=np.float32), seed=config.seed, repeats=repeats)
