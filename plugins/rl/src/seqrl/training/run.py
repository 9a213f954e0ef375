"""From logged episodes to a policy: what `seqrl train` does, as a function.

from seqrl.configs.train import PolicyTrainConfig
from seqrl.training import train
result = train(PolicyTrainConfig("cartpole.npz", model="decision_transformer_debug", steps=200, out="runs/cartpole"))
result.table()
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seqrl.configs.train import PolicyTrainConfig
from seqrl.data.episodes import Episodes
from seqrl.data.opening import open_episodes, with_environment
from seqrl.data.windows_steps import top_episodes
from seqrl.training.building import family_of
from seqrl.training.evaluating import make_play
from seqrl.training.playing import Playing, check_playable
from seqrl.training.preparing import Prepared, prepare
from seqrl.training.results import TrainResult, write_run
from seqsuite.data.order import item_rng
from seqsuite.errors import UserError
from seqsuite.training import RunFolder, fit, say, seed_everything
from seqsuite.training.run_folder import process_rank

_SPLIT = 3


@dataclass(frozen=True)
class Split:
    """Which episodes are trained on.

    Attributes:
        train: Their numbers.
        valid: Those that are only scored.
    """

    train: np.ndarray
    valid: np.ndarray


def train(config: PolicyTrainConfig) -> TrainResult:
    """Train a policy on logged episodes, play with it where asked to, write the run folder.

    Args:
        config: The options.

    Returns:
        The result; where `max_minutes` ended the run it is not `finished`.

    Raises:
        UserError: The data, an option, the environment or the run folder; one line says what to do.
        Interrupted: Ctrl-C; the state was saved.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    family = family_of(config.model)
    check_playable(config)
    check_place(config)
    config = with_warmup_of_run(config)
    episodes = open_episodes(config.source, env_id=config.env)
    fingerprint = episodes.fingerprint
    if not episodes.env_id and config.eval_env != "auto":
        episodes = with_environment(episodes, config.eval_env)
    split = split_episodes(episodes, config)
    seed_everything(config.seed)
    ready = prepare(config, family, episodes, split.train, split.valid)
    config = ready.config
    for line in (_describe(episodes, split), *episodes.notes, *ready.notes):
        say(line)
    play = None
    if config.eval_every:
        play, note = make_play(config, ready.model, episodes)
        say(note)
    playing = Playing(play, every=config.eval_every, steps=config.steps, folder=RunFolder(config.out).path)
    done = fit(
        ready.task,
        ready.train,
        ready.valid,
        config,
        inputs={"data": fingerprint},
        callbacks=[playing],
        report=False,
    )
    result = TrainResult(
        fit=done,
        model=config.model,
        parameters=ready.model.num_parameters(),
        data=_facts(episodes, split, ready),
        played=tuple(playing.rows),
        normalized_with=ready.model.config.reference.get("source", ""),
    )
    if process_rank() == 0 and result.finished:
        write_run(result)
    return result


def check_place(config: PolicyTrainConfig) -> None:
    """Refuse a run folder that is the folder of the data or lies in it: replacing the data would delete the run.

    Raises:
        UserError: It is.
    """
    source, out = Path(config.source).absolute(), Path(config.out).absolute()
    if source.is_dir() and (source == out or source in out.parents):
        raise UserError(f"--out {config.out} lies in the data's own folder, {config.source}; choose another --out")


def with_warmup_of_run(config: PolicyTrainConfig) -> PolicyTrainConfig:
    """Return the options of a resumed run with the warm-up that it began with, where none is given.

    Left out, the warm-up follows from the number of steps, and a run may be resumed to do more of them.
    """
    folder = RunFolder(config.out)
    if not config.resume or config.warmup is not None or not folder.holds_run:
        return config
    return replace(config, warmup=folder.config().get("warmup"))


def split_episodes(episodes: Episodes, config: PolicyTrainConfig) -> Split:
    """Choose the episodes: the best share of them, and out of these some that are only scored.

    Args:
        episodes: All of them.
        config: `top_fraction`, `valid_fraction` and `seed`.

    Raises:
        UserError: Nothing is left to train on.
    """
    kept = np.sort(top_episodes(episodes, config.top_fraction))
    count = int(config.valid_fraction * len(kept) + 0.5)
    if count >= len(kept):
        raise UserError(
            f"{config.source}: --top_fraction {config.top_fraction} leaves {len(kept)} episodes, and --valid_fraction "
            f"{config.valid_fraction} takes {count} of them: none is left to train on"
        )
    shuffled = item_rng(config.seed, _SPLIT).permutation(kept)
    return Split(np.sort(shuffled[count:]), np.sort(shuffled[:count]))


def _describe(episodes: Episodes, split: Split) -> str:
    lengths, returns = episodes.lengths, episodes.returns
    parts = f"{len(split.train):,} for training ({lengths[split.train].sum():,} steps)"
    if len(split.valid):
        parts += f", {len(split.valid):,} for validation"
    left = len(episodes) - len(split.train) - len(split.valid)
    parts += f", {left:,} left out" if left else ""
    env = f" of {episodes.env_id}" if episodes.env_id else ""
    return f"episodes{env}: {parts}; returns {returns.min():.4g} to {returns.max():.4g}, mean {returns.mean():.4g}"


def _facts(episodes: Episodes, split: Split, ready: Prepared) -> dict[str, Any]:
    policy = ready.model.config
    returns = episodes.returns
    return {
        "source": Path(episodes.source).name,
        "environment": episodes.env_id,
        "episodes": len(episodes),
        "steps": int(episodes.steps),
        "training_episodes": len(split.train),
        "training_steps": int(episodes.lengths[split.train].sum()),
        "validation_episodes": len(split.valid),
        "return_min": float(returns.min()),
        "return_mean": float(returns.mean()),
        "return_max": float(returns.max()),
        "training_return_mean": float(returns[split.train].mean()),
        "return_scale": policy.return_scale,
        "discount": policy.discount,
        "max_ep_len": policy.max_ep_len,
    }
