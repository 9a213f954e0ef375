"""Options of `seqrl inspect` (torch-free); the docstring is the help."""

from __future__ import annotations

from dataclasses import dataclass

from seqsuite.errors import UserError


@dataclass(frozen=True)
class InspectConfig:
    """Options of `seqrl inspect`.

    Args:
        data: A D4RL file, the folder or id of a Minari set, or an npz log.
        env: The environment of the data, where the file does not say it; its spaces are taken and checked against.
        report: An HTML page with the table and the histogram of returns; empty: none.
        max_episode_steps: Where D4RL files without timeouts are cut.
        bins: Of the histogram, at most.
        overwrite: Replace the report.
        json: Print JSON instead of a table.
    """

    data: str
    env: str = ""
    report: str = ""
    max_episode_steps: int = 1000
    bins: int = 40
    overwrite: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        for name in ("max_episode_steps", "bins"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name} is {getattr(self, name)}; it must be at least 1")
