"""Logged episodes: reading, writing, inspecting and fetching them.

from seqrl.data import open_episodes
episodes = open_episodes("hopper_medium-v2.hdf5")       # a D4RL file, a Minari set, an npz log
episodes.returns, episodes.lengths, episodes.episode(0)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqrl.data.d4rl import read_d4rl, write_d4rl
    from seqrl.data.episodes import Episode, Episodes, join_episodes, returns_to_go
    from seqrl.data.fetching import fetch
    from seqrl.data.inspecting import inspect_episodes
    from seqrl.data.minari_sets import read_minari, write_minari
    from seqrl.data.npz_logs import read_npz
    from seqrl.data.opening import open_episodes

__all__ = [
    "Episode",
    "Episodes",
    "fetch",
    "inspect_episodes",
    "join_episodes",
    "open_episodes",
    "read_d4rl",
    "read_minari",
    "read_npz",
    "returns_to_go",
    "write_d4rl",
    "write_minari",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "d4rl": ["read_d4rl", "write_d4rl"],
        "episodes": ["Episode", "Episodes", "join_episodes", "returns_to_go"],
        "fetching": ["fetch"],
        "inspecting": ["inspect_episodes"],
        "minari_sets": ["read_minari", "write_minari"],
        "npz_logs": ["read_npz"],
        "opening": ["open_episodes"],
    },
)
