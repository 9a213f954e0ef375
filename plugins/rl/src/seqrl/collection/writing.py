"""From finished episodes to a data set on disk, with what it tells of how it was made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from seqrl.collection.folder import PartsFolder
from seqrl.collection.journal import Journal
from seqrl.collection.policies import Part
from seqrl.collection.results import CollectionResult
from seqrl.collection.rollout import Player
from seqrl.configs.collect import CollectConfig

if TYPE_CHECKING:
    from seqrl.data.episodes import Episodes


def assemble(
    config: CollectConfig,
    environment: Any,
    parts: list[Part],
    chosen: list[int],
    journal: Journal,
    result: CollectionResult,
) -> Episodes:
    """Return the data set of the chosen episodes.

    Args:
        config: The options.
        environment: One of those that were played.
        parts: Of the mixture.
        chosen: Numbers of the episodes.
        journal: Where they are.
        result: With the references.
    """
    from gymnasium.wrappers import FlattenObservation

    from seqrl.data.episodes import Episode, Episodes
    from seqrl.scores import Reference

    if isinstance(environment, FlattenObservation):
        environment = environment.env  # the set names the space before flattening, as its reader would
    episodes, seeds = [], []
    finals: dict[str, list[Any]] = {"policy": [], "epsilon": []}
    for number in chosen:
        played, part = journal.read(number), parts[number % len(parts)]
        ends = np.zeros(len(played), np.bool_)
        ends[-1] = True
        behaviour = {"policy": np.int64(part.policy), "epsilon": np.float64(part.epsilon)}
        episodes.append(
            Episode(
                observations=played.observations[:-1],
                actions=played.actions,
                rewards=played.rewards,
                terminations=ends & played.terminated,
                truncations=ends & (not played.terminated),
                final_observation=played.observations[-1],
                infos={name: np.full(len(played), value) for name, value in behaviour.items()},
            )
        )
        for name, value in behaviour.items():
            finals[name].append(value)
        seeds.append(Player.reset_seed_of(config.seed, number))
    least, most = result.reference_min, result.reference_max
    known = least is not None and most is not None and most > least
    return Episodes.from_list(
        episodes,
        environment.observation_space,
        environment.action_space,
        final_infos={name: np.array(values) for name, values in finals.items()},
        env_id=environment.spec.id,
        env_spec=environment.spec.to_json(),
        reference=Reference(least, most, result.reference_source) if known else None,  # type: ignore[arg-type]
        metadata=_metadata(config, result),
        source=str(result.out),
        seeds=tuple(seeds),
    )


def _metadata(config: CollectConfig, result: CollectionResult) -> Mapping[str, Any]:
    """Return what the data set tells of how it was made."""
    policy = "sb3" if config.policy.startswith("sb3:") else config.policy  # a path is nobody's business
    told: dict[str, Any] = {
        "algorithm_name": f"seqrl collect, {policy}",
        "policy": policy,
        "epsilon": list(config.epsilon),
        "seed": config.seed,
        "parts": json.dumps([part.to_dict() for part in result.parts]),
        "reference_source": result.reference_source,
        "gymnasium_version": version("gymnasium"),
        "seqrl_version": version("seqrl"),
    }
    # The pair is written as the set's references; alone, either of them would be lost there.
    for name in ("reference_min", "reference_max"):
        if getattr(result, name) is not None:
            told[name] = getattr(result, name)
    if config.reference_min is None and config.reference_episodes:
        told["reference_episodes"] = config.reference_episodes
    if config.policy in ("ppo", "sac"):
        told["train_steps"], told["checkpoints"] = config.train_steps, config.checkpoints
    return told


def write(episodes: Episodes, folder: PartsFolder) -> None:
    """Write the data set whole or not at all."""
    from seqrl.data import write_d4rl, write_minari

    config = folder.config
    if config.format == "d4rl":
        write_d4rl(episodes, folder.out, overwrite=True)
    else:
        data_format: Literal["hdf5", "arrow"] = "arrow" if config.format == "minari-arrow" else "hdf5"
        write_minari(episodes, folder.out, data_format=data_format, overwrite=True)
