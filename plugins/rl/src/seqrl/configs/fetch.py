"""Options of `seqrl fetch` (torch-free); the docstring is the help."""

from __future__ import annotations

import re
from dataclasses import dataclass

from seqsuite.errors import UserError


@dataclass(frozen=True)
class FetchConfig:
    """Options of `seqrl fetch`.

    Args:
        name: A D4RL data set (hopper-medium-v2) or a Minari id (minari:mujoco/hopper/medium-v0); with --list a part
            of names, or 'all'; with --url what to keep the file as.
        list: List the known names that hold NAME, and their addresses; fetch nothing.
        url: Another address of the file.
        cache: Folder to keep it in; empty: rl in $SEQSUITE_CACHE or the user's cache folder, Minari's own for Minari.
        sha256: What the file must hash to; D4RL's server states none.
        force: Fetch again what is there.
        json: Print JSON instead of a line.
    """

    name: str
    list: bool = False
    url: str = ""
    cache: str = ""
    sha256: str = ""
    force: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        if self.sha256 and not re.fullmatch(r"(sha256:)?[0-9a-fA-F]{64}", self.sha256):
            raise UserError(f"--sha256 is {self.sha256!r}; it must be 64 hexadecimal digits")
        if self.sha256 and not self.url and (self.name.startswith("minari:") or "/" in self.name):
            raise UserError("--sha256 is of a file; a Minari set is a folder")
