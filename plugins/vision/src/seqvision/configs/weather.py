"""Options of `seqvision weather` (torch-free); the docstring is the help."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class WeatherConfig:
    """Options of `seqvision weather`.

    Args:
        run: A run folder of `seqvision weather-train`, or a model folder.
        file: A netCDF file or a zarr folder with the variables that the model knows, on its grid.
        out: The netCDF file to write.
        picture: The map to write (.png, .svg or .pdf); empty: beside --out, as .png.
        starts: Forecast from the last step of the file, or from every step that has enough steps before it.
        select: A value of each further axis, such as --select.level 850.
        missing: Missing values are refused, or count as no anomaly and are not scored.
        device: Where to run: cpu, cuda, ...
        overwrite: Replace the files.
        json: Print JSON instead of a table.
    """

    run: str
    file: str
    out: str = "forecast.nc"
    picture: str = ""
    starts: Literal["last", "all"] = "last"
    select: dict[str, float] = field(default_factory=dict)
    missing: Literal["refuse", "climatology"] = "refuse"
    device: str = "cpu"
    overwrite: bool = False
    json: bool = False
