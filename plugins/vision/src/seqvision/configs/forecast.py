"""Options of `seqvision forecast` (torch-free); the docstring is the help."""

from __future__ import annotations

from dataclasses import dataclass

from seqsuite.errors import UserError


@dataclass(frozen=True)
class ForecastConfig:
    """Options of `seqvision forecast`.

    Args:
        run: A run folder of `seqvision forecast-train`, or one of its models.
        input: New rows: a .csv, .csv.gz or .parquet file with the columns of the training, at least as many rows as
            the model looks back.
        out: The .csv file to write: timestamps carried on, values in the units of the input.
        horizon: Rows to forecast: at most what a model of the run was trained for; 0: as many as it can.
        figure: A picture to write as well (.png or .svg); "" for none.
        date_column: The column of timestamps; found by its name or its values if not given.
        device: Where to run: cpu, cuda, ...
        overwrite: Replace --out and --figure.
        json: Print JSON instead of a table.
    """

    run: str
    input: str
    out: str = "forecast.csv"
    horizon: int = 0
    figure: str = ""
    date_column: str = ""
    device: str = "cpu"
    overwrite: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        if self.horizon < 0:
            raise UserError(f"--horizon is {self.horizon}; it must be at least 0")
        if not self.out.endswith(".csv"):
            raise UserError(f"--out {self.out} must end in .csv")
        if self.figure and not self.figure.endswith((".png", ".svg")):
            raise UserError(f"--figure {self.figure} must end in .png or .svg")
