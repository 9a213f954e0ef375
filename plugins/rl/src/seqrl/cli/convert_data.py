"""`seqrl convert-data`."""

from __future__ import annotations

import sys

from seqrl.configs.convert_data import ConvertDataConfig


def convert_data(config: ConvertDataConfig) -> int:
    """Write logged episodes in another format: D4RL's HDF5, Minari's HDF5 or Arrow."""
    from seqrl.data.converting import write_episodes
    from seqrl.data.opening import open_episodes
    from seqsuite.cli.output import print_json

    assert config.format is not None
    episodes = open_episodes(config.data, env_id=config.env, max_episode_steps=config.max_episode_steps)
    path = write_episodes(episodes, config.out, config.format, overwrite=config.overwrite)
    for note in episodes.notes:
        print(f"note: {note}", file=sys.stderr)
    told = {"path": str(path), "format": config.format, "episodes": len(episodes), "steps": episodes.steps}
    print_json(told) if config.json else print(f"wrote {path}: {len(episodes)} episodes, {episodes.steps} steps")
    return 0
