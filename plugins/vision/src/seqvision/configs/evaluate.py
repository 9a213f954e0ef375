"""Options of `seqvision evaluate` (torch-free); the docstring is the help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from seqsuite.errors import UserError


@dataclass(frozen=True)
class EvaluateConfig:
    """Options of `seqvision evaluate`.

    Args:
        run: A run folder of `seqvision train`, a model folder or a hub id.
        source: Labelled images or videos, as for `seqvision train`; empty: those of the run.
        split: train, valid, test or all; empty: the test where the source is the run's or marks one, else all.
        out: A folder for evaluation.json, classes.csv, predictions.csv and confusion.png; empty: write nothing.
        image_column: Of .parquet files.
        label_column: Of .parquet files.
        on_error: Whether an input that cannot be read ends the command, or is skipped and listed.
        batch: Inputs that run at once.
        device: Where to run: cpu, cuda, ...
        overwrite: Write into a folder that holds something.
        json: Print JSON instead of tables.
    """

    run: str
    source: str = ""
    split: str = ""
    out: str = ""
    image_column: str = "image"
    label_column: str = "label"
    on_error: Literal["raise", "skip"] = "raise"
    batch: int = 64
    device: str = "cpu"
    overwrite: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise UserError(f"--batch is {self.batch}; it must be at least 1")
