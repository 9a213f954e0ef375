"""Options of `seqvision weather-train` (torch-free); the docstring is the help."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from seqsuite.errors import UserError
from seqsuite.training.configs import TrainConfig


@dataclass(frozen=True, kw_only=True)
class WeatherTrainConfig(TrainConfig):
    """Options of `seqvision weather-train`.

    Steps are split by time: the last ones for the test, those before them for validation, the rest for training.
    Climatology, scales and the linear forecasts come from the training steps alone. The network corrects a linear
    forecast of each cell's anomaly.

    Args:
        file: A netCDF file or a zarr folder with axes of time, latitude and longitude.
        variables: What to forecast; empty: all variables that have these axes.
        select: A value of each further axis, such as --select.level 850.
        lead: Steps ahead.
        climatology: Mean of each month, of the days around each day, or of everything.
        missing: Missing values are refused, or count as no anomaly and are not scored.
        valid: Steps for validation; 0: none, and the last weights are kept instead of the best.
        test: Steps for the test.
        model: Name of a weather model: weather_debug, weather_vit_debug.
        model_options: Fields of its config to change, such as --model_options.history 6.
        penalty: How strongly the linear forecasts of the cells are drawn together.
        wrap: Whether longitudes go around the globe; auto: they do if their steps fill 360 degrees.
        json: Print the result as JSON instead of a table.
    """

    file: str = field(kw_only=False)
    variables: tuple[str, ...] = ()
    select: dict[str, float] = field(default_factory=dict)
    lead: int = 1
    climatology: Literal["month", "day", "mean"] = "month"
    missing: Literal["refuse", "climatology"] = "refuse"
    valid: int = 12
    test: int = 12
    model: str = "weather_debug"
    model_options: dict[str, Any] = field(default_factory=dict)
    penalty: float = 0.3
    wrap: Literal["auto", "true", "false"] = "auto"
    steps: int = 200
    batch_size: int = 8
    lr: float = 1e-3
    weight_decay: float = 0.3
    validate_every: int = 20
    json: bool = False
    out: str = "runs/weather"

    free_on_resume: ClassVar[frozenset[str]] = TrainConfig.free_on_resume | {"json", "file"}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lead < 1:
            raise UserError(f"--lead is {self.lead}; it must be at least 1.")
        if self.valid < 0 or self.test < 1:
            raise UserError(f"--valid is {self.valid} and --test {self.test}; give at least 0 and 1 steps.")
        if not self.penalty >= 0:
            raise UserError(f"--penalty is {self.penalty}; it must be at least 0.")
        own = ("variables", "units", "lead", "step_seconds", "size", "phases", "wrap", "in_chans", "num_classes")
        taken = [name for name in (*own, "class_names", "mean", "std") if name in self.model_options]
        if taken:
            raise UserError(f"--model_options.{taken[0]} follows from the data and the flags; leave it out.")
        if self.model_options.get("correct") is False:
            raise UserError(
                "--model_options.correct false leaves nothing to train; the table of any run shows that forecast."
            )
