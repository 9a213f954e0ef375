"""Data, network and task of a run, for each family of policies."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch.utils.data import Dataset

import seqsuite
from seqrl.configs.models import PolicyConfig, RATEConfig
from seqrl.configs.train import PolicyTrainConfig
from seqrl.configs.trajectory import TrajectoryTransformerConfig
from seqrl.data.discretizers import fit_discretizer
from seqrl.data.episodes import Episodes
from seqrl.data.trajectories import TokenWindows, trajectory_rows
from seqrl.data.windows import FIELDS, EpisodeWindows
from seqrl.data.windows_steps import objective_rewards, prepare_steps, state_statistics
from seqrl.data.windows_tokens import TokenBatches
from seqrl.models.trajectory_transformer import TrajectoryTransformer
from seqrl.spaces import is_pixels
from seqrl.training.building import Family, check_observations, check_options, make_window_policy, policy_facts
from seqrl.training.task import RLTask, TokenTask, WindowTask
from seqsuite.errors import UserError
from seqsuite.models import Model, model_config

_FOLLOWING = ("next_states", "next_returns", "next_mask")


@dataclass(frozen=True)
class Prepared:
    """What `fit` wants.

    Attributes:
        config: The options with none left open.
        model: The network.
        task: What it learns.
        train: Batches without end.
        valid: Batches to score; None where no episodes were kept for it.
        notes: Lines that say what was decided.
    """

    config: PolicyTrainConfig
    model: Model
    task: RLTask
    train: Dataset[Any]
    valid: Dataset[Any] | None
    notes: list[str] = field(default_factory=list)


def prepare(
    config: PolicyTrainConfig, family: Family, episodes: Episodes, train: np.ndarray, valid: np.ndarray
) -> Prepared:
    """Make everything of a run; the generators were seeded before.

    Args:
        config: The options.
        family: Of the model.
        episodes: The data.
        train: Which episodes are trained on.
        valid: Which are scored.

    Raises:
        UserError: An option, or data and model do not fit.
    """
    check_options(config)
    known = model_config(config.model)
    assert isinstance(known, PolicyConfig)
    check_observations(config, known, episodes)
    make = prepare_windows if family == "windows" else prepare_tokens
    return make(config, episodes, train, valid)


def prepare_windows(config: PolicyTrainConfig, episodes: Episodes, train: np.ndarray, valid: np.ndarray) -> Prepared:
    """As `prepare`, for Decision Transformer, behaviour cloning and RATE."""
    pixels = is_pixels(episodes.observation_space)
    config = config.filled("pixels" if pixels else "windows", passes=1)
    statistics = None if pixels else state_statistics(episodes)
    objectives = objective_rewards(episodes, config.objectives).shape[1]
    model, notes = make_window_policy(config, episodes, statistics, objectives)
    mean, std = (None, None) if statistics is None else statistics
    steps = prepare_steps(
        episodes,
        state_mean=mean,
        state_std=std,
        return_scale=model.config.return_scale,
        max_ep_len=model.config.max_ep_len,
        discount=model.config.discount,
        delayed=config.delayed,
        objectives=config.objectives,
        following=config.state_loss > 0,
    )
    segmented = isinstance(model.config, RATEConfig)
    length = model.config.context * (config.segments if segmented else 1)
    fields = FIELDS + (_FOLLOWING if config.state_loss else _FOLLOWING[1:] if config.return_loss else ())
    inside = config.windows == "inside" or (config.windows == "auto" and (pixels or segmented))
    windows = EpisodeWindows(
        steps, length, seed=config.seed, keep=train, inside=inside, pad="right" if segmented else "left", fields=fields
    )
    scored = None
    if len(valid):
        scored = EpisodeWindows(steps, length, seed=None, keep=valid, pad=windows.pad, fields=fields)
    return Prepared(
        config, model, WindowTask(model, config, decays="matrices" if pixels else "all"), windows, scored, notes
    )


def prepare_tokens(config: PolicyTrainConfig, episodes: Episodes, train: np.ndarray, valid: np.ndarray) -> Prepared:
    """As `prepare`, for the Trajectory Transformer: one row a step, one token a number of it."""
    for name in ("delayed", "objectives", "state_loss", "return_loss"):
        if getattr(config, name):
            raise UserError(f"--{name} is for policies over windows; {config.model} reads rows of plain rewards")
    known = model_config(config.model, **config.model_options)
    assert isinstance(known, TrajectoryTransformerConfig)
    discount = known.discount if config.discount is None else config.discount
    penalty = known.termination_penalty
    rows = trajectory_rows(episodes.select(train), discount=discount, termination_penalty=penalty)
    discretizer = fit_discretizer(rows.rows, known.vocab_size, strategy=config.discretizer)
    windows = TokenWindows(rows, discretizer, known.transitions)
    batch: int = config.filled("trajectory", passes=1).batch_size  # type: ignore[assignment]
    config = config.filled("trajectory", passes=-(-len(windows) // batch))
    facts = policy_facts(config, episodes) | {"discretizer": discretizer.to_dict()}
    facts |= {"observation_dim": rows.observation_dim, "action_dim": rows.action_dim}
    model = seqsuite.create_model(config.model, **{**config.model_options, **facts})
    assert isinstance(model, TrajectoryTransformer)
    scored = None
    if len(valid) and int(episodes.lengths[valid].max()) > 1:
        rows = trajectory_rows(episodes.select(valid), discount=discount, termination_penalty=penalty)
        scored = TokenBatches(TokenWindows(rows, discretizer, known.transitions), None)
    notes = [f"{len(windows):,} windows of {known.transitions} rows, {model.config.transition_dim} tokens each"]
    return Prepared(config, model, TokenTask(model, config), TokenBatches(windows, config.seed), scored, notes)
