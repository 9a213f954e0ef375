"""`seqrl inspect`."""

from __future__ import annotations

from pathlib import Path

from seqrl.configs.inspect import InspectConfig


def inspect(config: InspectConfig) -> int:
    """Say what logged episodes hold: counts, returns, lengths, spaces, scores, targets to try."""
    from seqrl.data.inspecting import inspect_episodes
    from seqrl.data.opening import open_episodes
    from seqsuite.cli.output import print_json, print_table
    from seqsuite.errors import UserError

    if config.report and Path(config.report).exists() and not config.overwrite:
        raise UserError(f"{config.report} exists; give --overwrite to replace it")
    episodes = open_episodes(config.data, env_id=config.env, max_episode_steps=config.max_episode_steps)
    summary = inspect_episodes(episodes, bins=config.bins)
    if config.report:
        summary.report().write(config.report)
    if config.json:
        print_json(summary.to_dict())
        return 0
    print_table(("what", "value"), summary.table().items())
    if config.report:
        print(f"\nwrote {config.report}")
    return 0
