"""Options of `seqvision predict` (torch-free); the docstring is the help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from seqsuite.errors import UserError

FIGURES = (".png", ".svg", ".pdf")


@dataclass(frozen=True)
class PredictConfig:
    """Options of `seqvision predict`.

    Args:
        run: A run folder of `seqvision train`, a model folder or a hub id.
        input: An image, a folder of images (searched through) or an .npz file with x or images; for a model of clips a
            video, an .npz file with frames, or a folder of them.
        out: The .csv file to write: a row an input, with the most probable classes.
        figure: A .png, .svg or .pdf file to draw the first inputs and their classes in; empty: none.
        top: How many classes to show.
        on_error: Whether an input that cannot be read ends the command, or is skipped and listed.
        batch: Inputs that run at once.
        device: Where to run: cpu, cuda, ...
        overwrite: Replace --out and --figure.
        json: Print JSON instead of a table.
    """

    run: str
    input: str
    out: str = "predictions.csv"
    figure: str = ""
    top: int = 5
    on_error: Literal["raise", "skip"] = "raise"
    batch: int = 64
    device: str = "cpu"
    overwrite: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        for name in ("top", "batch"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name} is {getattr(self, name)}; it must be at least 1")
        if not self.out.endswith(".csv"):
            raise UserError(f"--out {self.out} must end in .csv")
        if self.figure and not self.figure.endswith(FIGURES):
            raise UserError(f"--figure {self.figure} must end in {', '.join(FIGURES)}")
