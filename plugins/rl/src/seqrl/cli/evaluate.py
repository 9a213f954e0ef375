"""`seqrl evaluate`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from seqrl.configs.evaluate import EvaluateConfig


def evaluate(config: EvaluateConfig) -> int:
    """Play with a trained policy in its environment and measure what it achieves."""
    from seqrl.api import load
    from seqrl.evaluation.run import environment_of
    from seqrl.evaluation.run import evaluate as run
    from seqrl.evaluation.targets import targets_of
    from seqsuite.cli.output import print_json, print_rows
    from seqsuite.errors import UserError

    if config.threads:
        import torch

        torch.set_num_threads(config.threads)
    folder, video = _places(config)
    policy = load(config.run, checkpoint=config.checkpoint, device=config.device)
    if config.search and policy.kind != "TrajectoryTransformer":
        flags = ", ".join(f"--{name}" for name in config.search)
        raise UserError(f"{flags}: only a TrajectoryTransformer plans; {config.run} holds a {policy.kind}")
    shared: dict[str, Any] = {"seed": config.seed, "max_steps": config.max_steps, "env_options": config.env_options}
    shared |= config.agent_options
    written = []
    if video is not None:  # first: where nothing can be drawn, this is told before anything was measured
        target = targets_of(policy, config.targets, environment_of(policy.config, config.env))[0]
        film = policy.record(video, config.env, target=target, **shared)
        written.append(f"{film.path}: {film.frames} pictures, return {film.achieved:.5g}")
    result = run(
        policy,
        config.env,
        targets=config.targets,
        episodes=config.episodes,
        num_envs=config.num_envs,
        progress=_progress(config.episodes) if sys.stderr.isatty() else None,
        **shared,
    )
    if folder is not None:
        written.append(f"{result.save(folder)}: evaluation.json, episodes.csv, achieved.png, report.html")
    if config.json:
        print_json(result.to_dict())
        return 0
    print_rows([{name: _short(value) for name, value in row.items()} for row in result.table()])
    print("", *result.notes(), *(f"wrote {line}" for line in written), sep="\n")
    return 0


def _places(config: EvaluateConfig) -> tuple[Path | None, Path | None]:
    """Return the folder and the video to write, found free before anything is played."""
    from seqsuite.errors import UserError
    from seqsuite.models.transfer import free_folder

    place = config.out or (str(Path(config.run).expanduser() / "evaluation") if config.report else "")
    if config.report and not config.out and not Path(config.run).expanduser().is_dir():
        raise UserError(f"--report: {config.run} is no folder here; give --out")
    folder = free_folder(place, config.overwrite) if place else None
    if not config.video:
        return folder, None
    video = Path(config.video).expanduser()
    if not video.parent.is_dir():
        raise UserError(f"{video}: cannot write it, there is no folder {video.parent}")
    if video.exists() and not config.overwrite:
        raise UserError(f"{video} exists; add --overwrite or choose another name")
    return folder, video


def _progress(episodes: int) -> Callable[[float | None, int], None]:
    """Return what shows the number of finished episodes on a terminal."""

    def show(target: float | None, count: int) -> None:
        named = "" if target is None else f"target {target:g}: "
        print(f"\r{named}{count}/{episodes} episodes ", end="\n" if count == episodes else "", file=sys.stderr)

    return show


def _short(value: object) -> object:
    """Return a number as a terminal shows it: five digits; anything else as it is."""
    return f"{value:.5g}" if isinstance(value, float) else value
