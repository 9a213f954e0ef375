"""Options of `seqrl convert-data` (torch-free); the docstring is the help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from seqsuite.errors import UserError


@dataclass(frozen=True)
class ConvertDataConfig:
    """Options of `seqrl convert-data`.

    Args:
        data: A D4RL file, the folder or id of a Minari set, or an npz log.
        out: The file to write (d4rl), a folder, or minari:ID for a set in Minari's own folder.
        format: d4rl, minari-hdf5 or minari-arrow; left out: d4rl where `out` ends in .hdf5 or .h5, else minari-hdf5.
        env: The environment of the data, where the file does not say it; its spaces are taken and checked against.
        max_episode_steps: Where D4RL files without timeouts are cut.
        overwrite: Replace what is there.
        json: Print JSON instead of a line.
    """

    data: str
    out: str
    format: Literal["d4rl", "minari-hdf5", "minari-arrow"] | None = None
    env: str = ""
    max_episode_steps: int = 1000
    overwrite: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        if self.max_episode_steps < 1:
            raise UserError(f"--max_episode_steps is {self.max_episode_steps}; it must be at least 1")
        file = self.out.endswith((".hdf5", ".h5"))
        if self.format is None:
            object.__setattr__(self, "format", "d4rl" if file else "minari-hdf5")
        elif file and self.format != "d4rl":
            raise UserError(f"{self.out}: a Minari set is a folder; give a name without .hdf5, or --format d4rl")
