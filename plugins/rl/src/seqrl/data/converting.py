"""From one format of logged episodes to another."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from seqrl.data.episodes import Episodes
from seqsuite.errors import UserError

Format = Literal["d4rl", "minari-hdf5", "minari-arrow"]


def write_episodes(
    episodes: Episodes, target: str | os.PathLike[str], kind: Format, *, overwrite: bool = False
) -> Path:
    """Write episodes in one of the formats.

    Args:
        episodes: What to write.
        target: A file (d4rl) or a folder, or "minari:ID" (Minari).
        kind: The format.
        overwrite: Replace what is there.

    Returns:
        What was written.

    Raises:
        UserError: It exists, the format cannot hold the episodes, or it is none of the three.
    """
    from seqrl.data.d4rl import write_d4rl
    from seqrl.data.minari_sets import write_minari

    if kind == "d4rl":
        if os.fspath(target).startswith("minari:"):
            raise UserError(f"{target}: a D4RL file has a path; --format minari-hdf5 or minari-arrow writes an id")
        return write_d4rl(episodes, target, overwrite=overwrite)
    if kind == "minari-hdf5":
        return write_minari(episodes, target, data_format="hdf5", overwrite=overwrite)
    if kind == "minari-arrow":
        return write_minari(episodes, target, data_format="arrow", overwrite=overwrite)
    raise UserError(f"format {kind!r}: must be d4rl, minari-hdf5 or minari-arrow")
